"""What a journal stores and returns, in SQLite and in PostgreSQL alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.journals import FINGERPRINT, RUN, SERVER, asked, begun, change, journal_at, write

from ztrust_mail._version import __version__
from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal import queries
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.records import LastKnown, Outcome, Step, Update
from ztrust_mail.model.fields import ABSENT, PASSWORD, Duration, Login, Masked, Raw

OTHER = "https://other.example.com"
ODD = 'Ärger "und" \\ ‮ 漢 \U0001f600'


def test_a_run_is_read_back_as_it_was_stored(journal: Journal) -> None:
    before = datetime.now(UTC)
    number = journal.begin(replace(RUN, spec_digest="sha256:1", plan_digest="sha256:2"), [write("acme")])
    run = journal.run(number)
    assert run
    assert (run.server, run.command, run.who) == (RUN.server, RUN.command, RUN.who)
    assert (run.spec_digest, run.plan_digest) == ("sha256:1", "sha256:2")
    assert (run.number, run.tool_version, run.outcome, run.ended) == (number, __version__, Outcome.RUNNING, None)
    assert run.started.utcoffset() == UTC.utcoffset(None)
    assert abs((run.started - before).total_seconds()) < 3600


def test_writes_are_read_back_in_the_order_of_the_plan(journal: Journal) -> None:
    number = begun(journal, "zeta", "acme", "Übung", "beta")
    assert [one.realm for one in journal.writes(number)] == ["zeta", "acme", "Übung", "beta"]


def test_a_write_is_read_back_as_it_was_intended(journal: Journal) -> None:
    intended = write("acme")
    number = journal.begin(RUN, [intended])
    assert journal.writes(number) == [replace(intended, run=number)]


def test_values_of_every_kind_are_read_back(journal: Journal) -> None:
    fields = {
        "relay.auth": Login.NONE,
        "relay.timeouts.read": Duration(1500),
        "relay.port": Raw("12x"),
        PASSWORD: Masked(),
        "extra.x": ABSENT,
        "relay.debug": True,
        "sender.name": ODD,
    }
    intended = replace(write("acme"), before={"x": ODD, "null": "\x00", "lone": "\ud800"}, intent=fields, after={})
    number = journal.begin(RUN, [intended, replace(write("empty"), before={}, intent=None, fingerprints={})])
    odd, empty = journal.writes(number)
    assert (odd.before, odd.intent, odd.after) == (intended.before, fields, {})
    assert (empty.before, empty.intent, empty.fingerprints, empty.after) == ({}, None, {}, None)


def test_a_realm_name_of_any_script_is_found_again(journal: Journal) -> None:
    begun(journal, ODD, step=Step.VERIFIED)
    assert list(journal.last_known(SERVER)) == [ODD]
    assert [one.realm for one in journal.history_of(SERVER, ODD)] == [ODD]


def test_control_characters_in_names_and_errors_are_escaped(journal: Journal) -> None:
    number = journal.begin(replace(RUN, who="eve\x1b[2J\x00", command="apply\n"), [write("acme")])
    journal.record(number, [Update("acme", Step.FAILED, error="bad\x1b]0;\x07\ud800")])
    run = journal.run(number)
    assert run
    assert (run.who, run.command) == ("eve\\x1b[2J\\x00", "apply\\x0a")
    assert journal.writes(number)[0].error == "bad\\x1b]0;\\x07\\ud800"


def test_a_secret_object_cannot_be_stored(journal: Journal) -> None:
    smuggled = {"password": Secret("geheim")}
    with pytest.raises(TypeError) as caught:
        journal.begin(RUN, [replace(write("acme"), before=smuggled)])  # type: ignore[arg-type]  # what is tested
    assert "geheim" not in str(caught.value)
    assert journal.runs() == []


def test_a_run_is_stored_with_all_its_writes_or_not_at_all(journal: Journal) -> None:
    with pytest.raises(JournalError):
        journal.begin(RUN, [write("acme"), write("beta"), write("acme")])
    assert journal.runs() == []
    assert journal.last_known(SERVER) == {}


def test_a_run_without_writes_is_stored(journal: Journal) -> None:
    number = journal.begin(RUN, [])
    assert [run.number for run in journal.runs()] == [number]
    assert journal.writes(number) == []


def test_steps_store_their_times_and_the_result_on_the_server(journal: Journal) -> None:
    number = begun(journal, "acme")
    planned = journal.writes(number)[0]
    assert (planned.started, planned.ended) == (None, None)
    journal.record(number, [Update("acme", Step.WRITING)])
    writing = journal.writes(number)[0]
    assert writing.step is Step.WRITING
    assert writing.started
    assert writing.ended is None
    journal.record(number, [Update("acme", Step.WRITTEN), Update("acme", Step.VERIFIED, {"host": "smtp"})])
    done = journal.writes(number)[0]
    assert (done.step, done.after, done.started) == (Step.VERIFIED, {"host": "smtp"}, writing.started)
    assert done.ended
    assert done.ended >= writing.started


def test_a_later_step_without_a_reading_preserves_the_earlier_reading(journal: Journal) -> None:
    number = begun(journal, "acme")
    journal.record(number, [Update("acme", Step.FAILED, {"host": "other"}, "not kept")])
    journal.record(number, [Update("acme", Step.FAILED, error="given up")])
    (one,) = journal.writes(number)
    assert (one.after, one.error) == ({"host": "other"}, "given up")


def test_steps_are_stored_all_or_none(journal: Journal) -> None:
    number = begun(journal, "acme", "beta")
    with pytest.raises(JournalError, match=f"holds no such write of run {number}"):
        journal.record(number, [Update("acme", Step.WRITING), Update("nobody", Step.WRITING)])
    assert [one.step for one in journal.writes(number)] == [Step.PLANNED, Step.PLANNED]


def test_a_run_keeps_its_end_time_when_it_is_resumed(journal: Journal) -> None:
    number = begun(journal, "acme")
    journal.finish(number, Outcome.INTERRUPTED)
    ended = journal.run(number)
    assert ended
    assert (ended.outcome, ended.ended is None) == (Outcome.INTERRUPTED, False)
    journal.finish(number, Outcome.RESUMED)
    assert journal.run(number) == replace(ended, outcome=Outcome.RESUMED)


def test_runs_are_listed_newest_first(journal: Journal) -> None:
    numbers = [begun(journal, "acme", server=server) for server in (SERVER, OTHER, SERVER)]
    assert [run.number for run in journal.runs()] == numbers[::-1]
    assert [run.number for run in journal.runs(SERVER)] == [numbers[2], numbers[0]]
    assert [run.number for run in journal.runs(limit=1)] == [numbers[2]]
    assert journal.run(numbers[-1] + 1) is None


def test_a_realms_history_is_newest_first(journal: Journal) -> None:
    first, second = begun(journal, "acme", "beta"), begun(journal, "acme")
    begun(journal, "acme", server=OTHER)
    assert [one.run for one in journal.history_of(SERVER, "acme")] == [second, first]


def test_the_last_verified_write_is_the_last_known(journal: Journal) -> None:
    begun(journal, "acme", "beta", step=Step.VERIFIED)
    second = begun(journal, "acme", step=Step.VERIFIED)
    for step in (Step.PLANNED, Step.FAILED, Step.SKIPPED):
        begun(journal, "acme", "gamma", step=step)
    begun(journal, "acme", "delta", step=Step.VERIFIED, server=OTHER)
    known = journal.last_known(SERVER)
    assert sorted(known) == ["acme", "beta"]
    assert known["acme"] == LastKnown(journal.writes(second)[0])
    assert known["acme"].last
    assert known["acme"].last.fingerprints == {PASSWORD: FINGERPRINT}


@pytest.mark.parametrize("step", [Step.WRITING, Step.WRITTEN])
def test_a_later_write_with_unknown_outcome_is_known_besides_the_last(journal: Journal, step: Step) -> None:
    first = begun(journal, "acme", step=Step.VERIFIED)
    second = begun(journal, "acme", "beta", step=step)
    begun(journal, "acme", step=Step.FAILED)
    known = journal.last_known(SERVER)
    assert {name: (one.last and one.last.run, one.doubt and one.doubt.run) for name, one in known.items()} == {
        "acme": (first, second),
        "beta": (None, second),
    }


def test_a_later_write_that_was_not_preserved_is_known_until_one_is_verified(journal: Journal) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    for error, after in (
        ("the server did not keep `x` as written", {"host": "h"}),
        ("the server holds something else", {}),
    ):
        run = begun(journal, "acme")
        journal.record(run, [Update("acme", Step.FAILED, after, error)])
    known = journal.last_known(SERVER)["acme"]
    assert known.last
    assert known.unkept
    assert (known.last.run, known.unkept.run, known.doubt) == (1, 2, None)
    begun(journal, "acme", step=Step.VERIFIED)
    assert journal.last_known(SERVER)["acme"].unkept is None


RANDOM_WRITES = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(Step)), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RANDOM_WRITES, st.sets(st.sampled_from("abcdx")))
def test_the_state_of_chosen_realms_is_a_part_of_the_state_of_all(
    journal: Journal, writes: list[tuple[str, Step]], chosen: set[str]
) -> None:
    server = f"https://{uuid4()}.example"  # another one for each example
    for realm, step in writes:
        begun(journal, realm, step=step, server=server)
        begun(journal, realm, step=step, server=OTHER)
    known = journal.last_known(server)
    assert journal.last_known(server, chosen) == {name: one for name, one in known.items() if name in chosen}
    assert {one.realm: one for one in journal.in_doubt(server)} == {
        name: one.doubt for name, one in known.items() if one.doubt
    }


def test_the_state_of_more_realms_than_one_statement_asks_for_is_complete(journal: Journal) -> None:
    names = [f"tenant-{n}" for n in range(2 * queries.MOST_NAMED + 1)]
    begun(journal, *names, step=Step.VERIFIED)
    assert journal.last_known(SERVER, names).keys() == {*names}
    assert journal.last_known(SERVER, []) == {}


@pytest.mark.parametrize("name", ["nul\0", "lone\ud800"])
def test_nothing_is_known_of_a_name_that_no_journal_can_hold(journal: Journal, name: str) -> None:
    begun(journal, "acme", step=Step.VERIFIED)
    assert journal.last_known(SERVER, [name, "acme"]).keys() == {"acme"}


def test_an_unknown_outcome_ends_with_a_later_verified_write(journal: Journal) -> None:
    begun(journal, "acme", step=Step.WRITING)
    last = begun(journal, "acme", step=Step.VERIFIED)
    assert journal.last_known(SERVER) == {"acme": LastKnown(journal.writes(last)[0])}


@pytest.mark.parametrize("outcome", [Outcome.RUNNING, Outcome.STOPPED, Outcome.INTERRUPTED, Outcome.FAILED])
def test_an_incomplete_run_can_be_resumed(journal: Journal, outcome: Outcome) -> None:
    number = begun(journal, "acme")
    journal.finish(number, outcome)
    journal.begin(RUN, [])  # it had nothing to write, so it does not count
    begun(journal, "acme", server=OTHER)
    assert journal.resumable(SERVER) == journal.run(number)


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.RESUMED])
def test_after_a_complete_run_there_is_nothing_to_resume(journal: Journal, outcome: Outcome) -> None:
    journal.finish(begun(journal, "acme"), Outcome.STOPPED)
    journal.finish(begun(journal, "acme"), outcome)
    assert journal.resumable(SERVER) is None


def test_runs_that_begin_at_once_get_different_numbers(journal: Journal) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: begun(journal, f"realm-{n}", step=Step.WRITING), range(24)))
    assert len(set(numbers)) == 24
    assert [journal.writes(number)[0].realm for number in numbers] == [f"realm-{n}" for n in range(24)]


def test_a_reopened_journal_holds_everything(journal: Journal, journal_url: Secret) -> None:
    number = begun(journal, "acme", step=Step.VERIFIED)
    expected = (journal.run(number), journal.last_known(SERVER), journal.fingerprint(Secret("geheim")))
    journal.close()
    with journal_at(journal_url) as again:
        assert (again.run(number), again.last_known(SERVER), again.fingerprint(Secret("geheim"))) == expected


def test_another_connection_sees_a_stored_step_at_once(journal: Journal, journal_url: Secret) -> None:
    number = begun(journal, "acme", step=Step.WRITING)
    assert asked(journal_url, "SELECT run, realm, step FROM writes") == [(number, "acme", "writing")]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE writes SET before = '{'",
        "UPDATE writes SET before = '[]'",
        "UPDATE writes SET before = '{\"a\": 1}'",
        "UPDATE writes SET intent = '{\"a\": []}'",
        "UPDATE writes SET step = 'flown'",
    ],
)
def test_the_error_for_a_damaged_row_names_run_and_realm(journal: Journal, journal_url: Secret, damage: str) -> None:
    number = begun(journal, "acme", step=Step.VERIFIED)
    change(journal_url, damage)
    with pytest.raises(JournalError, match=f"^the journal is damaged at run {number}, realm `acme`$") as caught:
        journal.writes(number)
    assert "backup" in caught.value.hint


def test_the_error_for_a_damaged_run_names_it(journal: Journal, journal_url: Secret) -> None:
    number = begun(journal, "acme")
    change(journal_url, "UPDATE runs SET outcome = 'lost'")
    with pytest.raises(JournalError, match=f"^the journal is damaged at run {number}$"):
        journal.runs()


def test_many_realms_are_begun_in_one_statement(journal: Journal) -> None:
    number = journal.begin(RUN, [write(f"realm-{n}") for n in range(3000)])
    journal.record(number, [Update(f"realm-{n}", Step.VERIFIED, {"n": str(n)}) for n in range(3000)])
    known = journal.last_known(SERVER)
    assert len(known) == 3000
    assert all(one.last and one.last.after == {"n": name.removeprefix("realm-")} for name, one in known.items())
