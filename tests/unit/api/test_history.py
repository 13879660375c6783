"""History: what runs did, from the journal alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from support.connecting import connected
from support.mail_settings import BASIC, ENVIRON, NO_LOGIN, realms

from ztrust_mail import SecretMode, api
from ztrust_mail.core.errors import JournalError, UsageError
from ztrust_mail.journal.records import NewRun, Outcome, Run, Step, Update, Write
from ztrust_mail.planning.past_runs import PastRun
from ztrust_mail.reports.json import FORMAT
from ztrust_mail.reports.report import of_runs
from ztrust_mail.reports.style import plain
from ztrust_mail.reports.text.history import run_lines, run_table
from ztrust_mail.sandbox import Sandbox

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def apply(sandbox: Sandbox, entries: Mapping[str, Mapping[str, object]], environ=ENVIRON) -> None:
    with connected(sandbox, environ) as connection:
        api.apply(api.plan(realms(entries), connection, secrets=SecretMode.AUTO), connection, allow=["all"])


def history(sandbox: Sandbox, run: int | None = None, **how) -> list[PastRun]:
    with connected(sandbox) as connection:
        return api.history(connection, run, **how)


def numbers(found: list[PastRun]) -> list[int]:
    return [one.run.number for one in found]


def listed(*runs: PastRun) -> str:
    return plain(run_table(runs, "https://id.example.com"))


def made(number: int, command: str = "apply", who: str = "admin (realm master), mo on box", **more) -> PastRun:
    steps = more.pop("steps", {Step.VERIFIED: 2})
    started = NOON + timedelta(minutes=number)
    run = Run("https://id.example.com", command, who, number=number, outcome=Outcome.DONE, started=started, **more)
    return PastRun(run, steps)


def test_history_lists_runs_in_a_table_newest_first():
    failed = made(8, steps={Step.VERIFIED: 1_200, Step.FAILED: 1})
    assert listed(failed, made(7, "revert 12")) == (
        "RUN  WHEN (UTC)        COMMAND    OUTCOME  REALMS                    WHO\n"
        "8    2026-01-31 12:08  apply      done     1,200 verified, 1 failed  admin, mo\n"
        "7    2026-01-31 12:07  revert 12  done     2 verified                admin, mo\n"
    )


def test_history_uses_the_room_that_other_columns_leave_for_the_realms():
    partly = made(2, steps={Step.VERIFIED: 128, Step.SKIPPED: 172})
    assert listed(partly).splitlines()[1] == (
        "2    2026-01-31 12:02  apply    done     128 verified, 172 skipped  admin, mo"
    )
    full = made(10**4, "revert 1000", steps={Step.VERIFIED: 128, Step.SKIPPED: 172, Step.FAILED: 1}, who="w" * 99)
    assert all(len(line) <= 80 for line in listed(full, partly).splitlines())


def test_history_shows_none_for_a_run_without_realms():
    assert "  none    admin" in listed(made(1, steps={}))


def test_names_in_history_cannot_steer_the_terminal():
    assert "\x1b" not in listed(made(1, who="\x1b[31mmo"))


def test_history_shows_a_run_realm_by_realm(ztrust_sandbox):
    ztrust_sandbox.edit_smtp(
        "globex", {"from": "a@globex.example", "host": "old.example.com", "envelopeFrom": "b@x.example"}
    )
    apply(ztrust_sandbox, {"acme": BASIC, "globex": NO_LOGIN})
    ztrust_sandbox.faults.before_write = ztrust_sandbox.remove_realm
    other = {**BASIC, "sender": {"address": "no-reply@acme.example"}}
    apply(ztrust_sandbox, {"acme": other})
    ztrust_sandbox.faults.before_write = None
    (one,), (two,) = history(ztrust_sandbox, 1), history(ztrust_sandbox, 2)
    told = re.sub(r"\d{4}-\d\d-\d\d .*UTC|by .*", "…", plain(run_lines(one)))
    assert told == (
        "Run 1  apply  done\n"
        "  …, …\n"
        "  realms: 2 verified\n"
        "\n"
        "acme  verified\n"
        "    sender.address       (not set) → no-reply@acme.example\n"
        "    sender.name          (not set) → Acme\n"
        "    reply_to.address     (not set) → help@acme.example\n"
        "    reply_to.name        (not set) → Help\n"
        "    relay.host           (not set) → smtp.example.com\n"
        "    relay.port           (not set) → 587\n"
        "    relay.security       (not set) → starttls\n"
        "    relay.auth           (not set) → basic\n"
        "    relay.auth.username  (not set) → apikey\n"
        "    relay.auth.password  (not set) → (secret from env:SMTP_PASSWORD)\n"
        "\n"
        "globex  verified\n"
        "    sender.address  a@globex.example → no-reply@acme.example\n"
        "    envelope_from   b@x.example → (not set)\n"
        "    relay.host      old.example.com → smtp.example.com\n"
        "    relay.port      (not set) → 587\n"
        "    relay.security  (not set) → starttls\n"
    )
    told = plain(run_lines(two))
    assert "Run 2  apply  failed\n" in told
    assert "    sender.name  Acme → (not set)\n    with relay.auth.password (secret from env:SMTP_PASSWORD)\n" in told
    assert "acme  failed\n" in told
    assert two.realms[0].write.error
    assert f"    {two.realms[0].write.error}\n" in told
    assert ENVIRON["SMTP_PASSWORD"] not in told


def test_a_realm_that_could_not_be_planned_failed_without_changes(ztrust_sandbox):
    ztrust_sandbox.faults.failing_realms.add("globex")
    apply(ztrust_sandbox, {"acme": NO_LOGIN, "globex": BASIC})
    (one,) = history(ztrust_sandbox, 1)
    assert one.steps == {Step.VERIFIED: 1, Step.FAILED: 1}
    globex = one.realms[1]
    assert (globex.write.step, globex.changes, globex.secrets) == (Step.FAILED, (), {})
    assert globex.write.error


def test_listing_runs_counts_realms_without_reading_their_writes(ztrust_sandbox):
    apply(ztrust_sandbox, {"acme": NO_LOGIN, "globex": NO_LOGIN})
    with connected(ztrust_sandbox) as connection, connection.journal._database.writing() as database:
        database.execute("UPDATE writes SET intent = 'damaged'")
    assert history(ztrust_sandbox)[0].steps == {Step.VERIFIED: 2}
    assert history(ztrust_sandbox, realms=["ac*"])[0].steps == {Step.VERIFIED: 1}
    with pytest.raises(JournalError, match="damaged"):
        history(ztrust_sandbox, 1)


def test_an_unknown_step_is_reported_as_damage(ztrust_sandbox):
    apply(ztrust_sandbox, {"acme": NO_LOGIN})
    with connected(ztrust_sandbox) as connection:
        connection.journal.record(1, [Update("acme", Step.VERIFIED)])
        with connection.journal._database.writing() as database:
            database.execute("UPDATE writes SET step = 'sideways'")
        with pytest.raises(JournalError, match="the journal is damaged at the step `sideways`"):
            api.history(connection)


def test_a_run_that_was_cut_off_has_no_end_time(ztrust_sandbox):
    with connected(ztrust_sandbox) as connection:
        write = Write("acme", {}, None)
        number = connection.journal.begin(NewRun(connection.gateway.url, "apply", "mo"), [write])
        connection.journal.record(number, [Update("acme", Step.WRITING)])
    (one,) = history(ztrust_sandbox, number)
    told = plain(run_lines(one))
    assert re.search(r"Run 1  apply  running\n  [-0-9]+ [:0-9]+ UTC, by mo\n  realms: 1 writing\n", told)
    assert "acme  writing\n" in told
    data = FORMAT.history(of_runs([one], "x"))["runs"][0]
    assert (data["ended"], data["outcome"], data["steps"]) == (None, "running", {"writing": 1})


def test_runs_are_limited_to_the_newest_and_to_the_realms_asked_for(ztrust_sandbox):
    for name in ("One", "Two"):
        apply(ztrust_sandbox, {"acme": {**NO_LOGIN, "sender": {"address": "a@acme.example", "name": name}}})
    apply(ztrust_sandbox, {"globex": NO_LOGIN})
    assert numbers(history(ztrust_sandbox)) == [3, 2, 1]
    assert numbers(history(ztrust_sandbox, limit=2)) == [3, 2]
    assert numbers(history(ztrust_sandbox, realms=["ac*"])) == [2, 1]
    assert numbers(history(ztrust_sandbox, realms=["ac*"], limit=1)) == [2]
    assert history(ztrust_sandbox, realms=["initech"]) == []
    assert history(ztrust_sandbox, 3, realms=["acme"])[0].realms == ()
    assert history(ztrust_sandbox, 3)[0].steps == {Step.VERIFIED: 1}


def test_history_shows_only_runs_on_this_server(ztrust_sandbox):
    apply(ztrust_sandbox, {"acme": NO_LOGIN})
    with connected(ztrust_sandbox) as connection:
        connection.journal.begin(NewRun("https://other.example", "apply", "mo"), [])
        assert numbers(api.history(connection)) == [1]
        with pytest.raises(UsageError, match=r"run 2 wrote to `https://other.example`, not to"):
            api.history(connection, 2)
        with pytest.raises(UsageError, match="there is no run 3"):
            api.history(connection, 3)


def test_history_creates_no_journal(ztrust_sandbox, state_folder):
    assert history(ztrust_sandbox) == []
    with pytest.raises(UsageError, match="there is no run 1"):
        history(ztrust_sandbox, 1)
    assert not state_folder.exists()


def test_history_reports_a_missing_journal_and_sends_nothing(cli, sandbox):
    ran = cli("history")
    assert (ran.status, ran.out) == (0, f"{sandbox.url}\n\nNo runs recorded for {sandbox.url}.\n")
    assert cli.json("history")["runs"] == []
    assert sandbox.requests == ()


SPEC = """
version: 1
realms:
  acme: {sender: {address: no-reply@acme.example}, relay: {host: smtp.example.com}}
"""


def test_the_history_command_lists_runs_and_shows_one(cli, sandbox):
    cli("apply", cli.write("spec.yaml", SPEC), "--yes")
    sent = len(sandbox.requests)
    assert cli("history").out.splitlines()[-1].startswith("1    20")
    assert "    relay.host      (not set) → smtp.example.com\n" in cli("history", "1").out
    (run,) = cli.json("history", "1")["runs"]
    assert (run["run"], run["command"], run["outcome"], run["steps"]) == (1, "apply", "done", {"verified": 1})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run["ended"])
    (realm,) = run["realms"]
    assert (realm["realm"], realm["step"], realm["error"], realm["secrets"]) == ("acme", "verified", "", {})
    host = next(change for change in realm["changes"] if change["field"] == "relay.host")
    assert host == {
        "field": "relay.host", "attributes": ["host"], "action": "add", "before": None, "after": "smtp.example.com"
    }  # fmt: skip
    assert cli("history", "7").status == 2
    assert len(sandbox.requests) == sent


# Taking out what is old or gone


GLOB = SPEC.replace("acme:", "'tenant-*':")


def vanished(cli) -> list[str]:
    return cli.json("drift", "glob.yaml")["vanished"]


def test_a_forgotten_realm_is_no_longer_reported_as_vanished(cli, sandbox):
    sandbox.create_realm("tenant-a")
    sandbox.create_realm("tenant-b")
    assert cli("apply", cli.write("glob.yaml", GLOB), "--yes").status == 0
    sandbox.remove_realm("tenant-a")
    assert vanished(cli) == ["tenant-a"]
    assert "history --forget REALM" in cli("drift", "glob.yaml").out
    sent = len(sandbox.requests)
    declined = cli("history", "--forget", "tenant-a", typed="no\n")
    assert (declined.status, "It cannot be reverted after that. [y/N]" in declined.err) == (1, True)
    ran = cli("history", "--forget", "tenant-a", typed="yes\n")
    assert (ran.status, ran.out) == (0, "Removed from the journal: tenant-a, 1 write.\n")
    assert len(sandbox.requests) == sent
    assert vanished(cli) == []
    assert cli("history", "--forget", "tenant-a", "--yes").status == 2


def test_old_runs_are_pruned_and_a_revert_is_still_possible(cli, sandbox):
    for number in range(5):
        cli("apply", cli.write("spec.yaml", SPEC.replace("smtp.", f"smtp{number}.")), "--yes")
    assert cli("history", "--prune", "1", typed="n\n").status == 1
    report = cli.json("history", "--prune", "2", "--yes")
    assert report["removed"] == {"runs": 1, "writes": 1}
    assert cli("history", "--prune", "2", "--yes").out == (
        "Pruned: 0 runs and 0 writes removed; 2 more keep the writes that revert and plan need.\n"
    )
    assert cli("history", "--prune", "2020-01-31", "--yes").out == "No run to prune.\n"
    assert cli("history", "--prune", "9", "--yes").out == "No run to prune.\n"
    assert cli("revert", "--yes").status == 0
    assert sandbox.smtp("acme")["host"] == "smtp3.example.com"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prune", "0"],
        ["--prune", "-1"],
        ["--prune", "soon"],
        ["--prune", "2026-02-30"],
        ["--prune", "99999999999"],
        ["--prune", "2", "--forget", "acme"],
        ["1", "--prune", "2"],
        ["--forget", "acme", "--realm", "a*"],
    ],
)
def test_history_refuses_invalid_or_conflicting_options(cli, sandbox, arguments):
    ran = cli("history", *arguments, "--yes")
    assert (ran.status, ran.out) == (2, "")


def test_nothing_is_removed_without_confirmation_or_without_a_journal(cli, sandbox, state_folder):
    assert "stdin is not a terminal" in cli("history", "--forget", "acme").err
    assert "there is no journal yet" in cli("history", "--forget", "acme", "--yes").err
    assert cli("history", "--prune", "1", "--yes").out == "No run to prune.\n"
    assert not state_folder.exists()


def test_nothing_is_removed_while_a_run_is_under_way(cli, sandbox):
    cli("apply", cli.write("spec.yaml", SPEC), "--yes")
    with connected(sandbox) as connection, connection.lock():
        ran = cli("history", "--forget", "acme", "--yes")
    assert (ran.status, "[locked]" in ran.err) == (5, True)


def test_a_message_is_recorded_with_its_run_and_in_its_report(ztrust_sandbox):
    with connected(ztrust_sandbox) as connection:
        made = api.plan(realms({"acme": BASIC}), connection)
        api.apply(made, connection, allow=["all"], message="Move to the new relay, ticket 42")
    assert [one.run.message for one in history(ztrust_sandbox)] == ["Move to the new relay, ticket 42"]
    report = FORMAT.render(of_runs(history(ztrust_sandbox), ztrust_sandbox.url))
    assert report["runs"][0]["message"] == "Move to the new relay, ticket 42"


def test_a_secret_in_a_message_is_not_recorded(ztrust_sandbox):
    with connected(ztrust_sandbox) as connection:
        made = api.plan(realms({"acme": BASIC}), connection)
        api.apply(made, connection, allow=["all"], message=f"now it is {ENVIRON['SMTP_PASSWORD']}")
    assert history(ztrust_sandbox)[0].run.message == "now it is …"


@pytest.mark.parametrize("message", ["two\nlines", "\x1b[31mred", "right\u202eleft", "\0", "\ud800", "x" * 501])
def test_a_message_that_is_long_or_no_plain_line_is_refused_before_any_request(ztrust_sandbox, message):
    with connected(ztrust_sandbox) as connection:
        made = api.plan(realms({"acme": BASIC}), connection)
        before = len(ztrust_sandbox.requests)
        with pytest.raises(UsageError, match="the message has"):
            api.apply(made, connection, allow=["all"], message=message)
        assert len(ztrust_sandbox.requests) == before
    assert history(ztrust_sandbox) == []
