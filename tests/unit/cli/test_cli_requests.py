"""``requests`` on a journal in a file, where the test does the requests itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from support.cli import Cli
from support.journals import change

from ztrust_mail import fleet
from ztrust_mail import settings as config
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.requests import RequestState
from ztrust_mail.reports.report import OutputFormat
from ztrust_mail.sandbox import Sandbox

RELAY = {"host": "127.0.0.1", "port": 25, "security": "none"}


@dataclass
class Shop:
    """The server ``prod`` of some settings, and the engine of its requests."""

    cli: Cli
    engine: fleet.Engine
    url: Secret

    @property
    def server(self) -> config.Server:
        return config.choose_server(config.load(), "prod")

    def submit(self, *realms: str, key: str = "", host: str = "127.0.0.1", message: str = "") -> int:
        """Submit an apply for realms and return its number."""
        entries = {one: {"sender": {"address": "a@b.example"}, "relay": {**RELAY, "host": host}} for one in realms}
        work = fleet.ApplySpec(cast("Any", {"version": 1, "realms": entries}), allow=["all"])
        return self.engine.submit(work, self.server, key=key, message=message).number

    def drain(self) -> None:
        """Do all requests."""
        self.engine.drain_all()

    def set(self, number: int, **values: object) -> None:
        """Change the row of a request."""
        changes = ", ".join(f"{name} = {value!r}" for name, value in values.items())
        change(self.url, f"UPDATE journal_requests SET {changes} WHERE number = {number}")


@pytest.fixture
def shop(cli: Cli, ztrust_sandbox: Sandbox) -> Iterator[Shop]:
    """A sandbox named ``prod`` in the settings, with a journal in a file."""
    journal = f"sqlite:///{cli.folder}/journal.sqlite3"
    entry = f'[servers.prod]\nurl = "{ztrust_sandbox.url}"\nusername = "admin"\npassword = "admin"\n'
    cli.set(CONFIG=cli.write("s.toml", f'{entry}[journal]\nurl = "{journal}"\n'))
    with fleet.open_engine() as engine:
        yield Shop(cli, engine, Secret(journal))


def test_without_a_journal_there_are_no_requests_and_none_is_created(cli: Cli) -> None:
    assert cli("requests").out == "No requests.\n"
    ran = cli("requests", "7")
    assert (ran.status, "there is no request 7" in ran.err) == (2, True)
    assert not [*cli.folder.parent.rglob("journal.sqlite3")]


def test_a_damaged_request_is_reported_above_the_others_and_by_its_number(shop: Shop) -> None:
    damaged, other = shop.submit("acme"), shop.submit("globex")
    shop.set(damaged, submitted="lately")
    listed = shop.cli("requests")
    assert listed.status == 0
    assert f"request {damaged} is damaged in the journal: `submitted` cannot be read" in listed.out
    assert f"ztrust-mail requests {damaged} --retry" in listed.out
    [found] = shop.cli("requests", "--format", "json").json["findings"]
    assert (found["severity"], found["rule"]) == ("warning", "journal")
    shown = shop.cli("requests", str(damaged))
    assert (shown.status, "is damaged at request 1" in shown.err) == (2, True)
    shop.drain()
    states = [shop.engine.status(number).state for number in (damaged, other)]
    assert states == [RequestState.FAILED, RequestState.DONE]
    assert shop.cli("requests", "--format", "json").json["findings"] == []


def test_requests_are_listed_with_server_work_state_and_why(shop: Shop) -> None:
    shop.submit("acme", message="ticket 12")
    shop.submit("nobody")
    shop.drain()
    shop.submit("globex", message="ticket 13")
    lines = shop.cli("requests").out.splitlines()
    assert [line.split()[:4] for line in (lines[0], lines[1], lines[3], lines[5])] == [
        ["REQUEST", "SERVER", "WORK", "STATE"],
        ["3", "prod", "apply", "waiting"],
        ["2", "prod", "apply", "failed"],
        ["1", "prod", "apply", "done"],
    ]
    assert [lines[number].strip() for number in (2, 4, 6)] == [
        "ticket 13", "1 realm: 1 missing", "1 realm: 1 applied",
    ]  # fmt: skip
    assert lines[-2:] == ["Requests: 1 waiting, 1 done, 1 failed.", "Show one: ztrust-mail requests 3"]


def test_the_table_fits_80_columns(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    number = shop.submit("acme", message="a long message " * 20)
    shop.set(number, name="a-server-with-a-very-long-name-in-the-settings", kind="test-stored", who="somebody " * 20)
    assert all(len(line) <= 80 for line in shop.cli("requests").out.splitlines())
    assert all(len(line) <= 80 for line in shop.cli("requests", str(number)).out.splitlines())


def test_equal_requests_of_a_server_are_one_row_unless_details_are_wanted(shop: Shop) -> None:
    for number in range(6):
        shop.submit("acme", key=f"order {number}")
    folded = shop.cli("requests").out.splitlines()
    assert folded[1].split()[:5] == ["1-6", "prod", "apply", "6", "waiting"]
    assert len(folded) == 4
    assert len(shop.cli("requests", "--details").out.splitlines()) == 3 + 6
    assert len(shop.cli.json("requests")["requests"]) == 6


def test_of_ended_requests_the_newest_are_listed_up_to_a_limit(shop: Shop) -> None:
    numbers = [shop.submit("acme", host=f"{number}.example") for number in range(5)]
    for number in numbers:
        shop.set(number, state="done", summary=f"number {number}")
    out = shop.cli("requests", "--limit", "2").out
    assert [line.split()[0] for line in out.splitlines()[1:-2:2]] == ["5", "4"]
    assert "Requests: 5 done." in out
    assert [one["request"] for one in shop.cli.json("requests", "--limit", "2")["requests"]] == [5, 4]


def test_the_list_can_be_limited_to_a_server_by_name_and_by_url(shop: Shop) -> None:
    number = shop.submit("acme")
    other = shop.submit("globex")
    shop.set(other, server="https://other.example", name="other")
    for server in ("prod", shop.server.url):
        assert [one["request"] for one in shop.cli.json("requests", "--server", server)["requests"]] == [number]
    ran = shop.cli("requests", "--server", "prdo")
    assert (ran.status, "did you mean `prod`?" in ran.err) == (2, True)


def test_one_request_is_shown_with_its_run_and_the_report_of_its_worker(shop: Shop) -> None:
    number = shop.submit("acme", key="order 4711", message="ticket 12")
    shop.drain()
    ran = shop.cli("requests", str(number))
    assert ran.status == 0
    assert ran.out.startswith(f"Request {number}  apply  done\n  {shop.server.url}, server `prod`\n")
    for text in ("key: order 4711", "message: ticket 12", "attempts: 1", "run: 1, realms: 1 verified"):
        assert f"  {text}\n" in ran.out
    assert "Done: 1 realm applied (run 1).\n" in ran.out
    assert "ztrust-mail report:" not in ran.out
    [found] = shop.cli.json("requests", str(number))["requests"]
    assert (found["run"], found["steps"], found["report"]["command"]) == (1, {"verified": 1}, "apply")


def test_a_waiting_request_says_how_many_are_ahead_and_why_it_waits(shop: Shop) -> None:
    shop.submit("acme")
    number = shop.submit("globex")
    shop.set(number, summary="the server is down", due="2999-01-01T00:00:00")
    out = shop.cli("requests", str(number)).out
    assert "  waiting: 1 ahead, not before 2999-01-01 00:00:00 UTC\n" in out
    assert f"Request {number} on `prod` is waiting (1 ahead): the server is down.\n" in out


def test_several_requests_are_shown_each_once_in_the_order_given(shop: Shop) -> None:
    first, second = shop.submit("acme"), shop.submit("globex")
    found = shop.cli.json("requests", str(second), str(first), str(second))["requests"]
    assert [one["request"] for one in found] == [second, first]


def test_cancelled_requests_are_not_done_and_can_be_retried(shop: Shop, ztrust_sandbox: Sandbox) -> None:
    number = shop.submit("acme")
    assert f"Request {number} on `prod` is cancelled.\n" in shop.cli("requests", str(number), "--cancel").out
    shop.drain()
    assert ztrust_sandbox.smtp("acme") == {}
    ran = shop.cli("requests", str(number), "--retry")
    assert ran.out.splitlines() == [
        f"Request {number} on `prod` is waiting (0 ahead).", f"Follow: ztrust-mail requests {number} --follow",
    ]  # fmt: skip
    shop.drain()
    assert ztrust_sandbox.smtp("acme")["from"] == "a@b.example"


def test_a_running_request_is_only_asked_to_stop(shop: Shop) -> None:
    number = shop.submit("acme")
    shop.engine.journal.requests.take([shop.engine.status(number)])
    ran = shop.cli("requests", str(number), "--cancel")
    assert ran.out == f"Request {number} on `prod` is cancelling, and will stop before the next realm.\n"
    [found] = shop.cli.json("requests", str(number))["requests"]
    assert (found["state"], found["cancelling"]) == ("running", True)


def test_a_request_with_a_key_can_be_retried_where_one_with_another_key_asks_for_the_same(shop: Shop) -> None:
    first, _ = shop.submit("acme", key="a"), shop.submit("acme", key="b")
    shop.cli("requests", str(first), "--cancel")
    assert shop.cli("requests", str(first), "--retry").status == 0
    assert shop.engine.status(first).state is RequestState.WAITING


def test_a_request_that_is_done_cannot_be_retried(shop: Shop) -> None:
    number = shop.submit("acme")
    shop.drain()
    ran = shop.cli("requests", str(number), "--retry")
    assert (ran.status, f"request {number} is done and cannot be retried" in ran.err) == (2, True)


def test_nothing_is_cancelled_where_one_of_the_numbers_is_unknown(shop: Shop) -> None:
    number = shop.submit("acme")
    ran = shop.cli("requests", str(number), "999", "--cancel")
    assert (ran.status, "there is no request 999" in ran.err) == (2, True)
    assert shop.engine.status(number).state is RequestState.WAITING


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--follow"], "--follow needs request numbers"),
        (["--cancel"], "--cancel needs request numbers"),
        (["1", "--cancel", "--retry"], "--cancel and --retry exclude each other"),
        (["1", "--server", "prod"], "--server cannot be combined with request numbers"),
        (["3-1"], "`3-1` is not the number of a request; give a number, or a range such as 5-7"),
        (["0"], "`0` is not the number of a request; give a number, or a range such as 5-7"),
        (["1-10001"], "more than 10,000 requests were named"),
    ],
)
def test_options_that_do_not_fit_are_refused(shop: Shop, arguments: list[str], problem: str) -> None:
    ran = shop.cli("requests", *arguments)
    assert (ran.status, problem in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("state", "exit_status", "expected"),
    [
        ("done", 0, 0),
        ("done", 1, 1),
        ("failed", 5, 5),
        ("failed", None, 4),
        ("dead", None, 4),
        ("cancelled", None, 130),
    ],
)
def test_following_an_ended_request_exits_with_its_status(
    shop: Shop, state: str, exit_status: int | None, expected: int
) -> None:
    number = shop.submit("acme")
    shop.set(number, state=state, ended="2026-01-31T12:00:00")
    if exit_status is not None:
        shop.set(number, exit_status=exit_status)
    assert shop.cli("requests", str(number)).status == 0
    assert shop.cli("requests", str(number), "--follow").status == expected


def test_following_waits_until_all_have_ended_and_notes_each_state(shop: Shop) -> None:
    first, second = shop.submit("acme"), shop.submit("nobody")
    follower = threading.Thread(target=shop.drain)
    follower.start()
    ran = shop.cli("requests", str(first), str(second), "--follow")
    follower.join()
    assert ran.status == 4
    assert "Done: 1 realm applied" in ran.out
    assert f"Request {second}  apply  failed\n" in ran.out


def test_requests_are_named_by_ranges(shop: Shop) -> None:
    numbers = [shop.submit("acme", key=f"order {number}") for number in range(4)]
    ran = shop.cli("requests", f"{numbers[0]}-{numbers[2]}", str(numbers[1]), "--cancel")
    assert [line.partition(" on ")[0] for line in ran.out.splitlines()] == [f"Request {one}" for one in numbers[:3]]
    again = shop.cli("requests", f"{numbers[0]}-{numbers[2]}", "--retry")
    assert again.out.endswith(f"Follow: ztrust-mail requests {numbers[0]}-{numbers[2]} --follow\n")


@pytest.mark.parametrize("format", OutputFormat)
def test_every_format_shows_a_failed_request(shop: Shop, format: OutputFormat) -> None:
    number = shop.submit("nobody")
    shop.drain()
    ran = shop.cli("requests", str(number), "--format", format)
    assert (ran.status, ran.err) == (0, "")
    assert "nobody" in ran.out


def test_none_of_several_requests_is_tried_again_where_one_cannot_be(shop: Shop) -> None:
    failed, done = shop.submit("nobody"), shop.submit("acme")
    shop.drain()
    ran = shop.cli("requests", str(failed), str(done), "--retry")
    assert (ran.status, f"request {done} is done and cannot be retried" in ran.err) == (2, True)
    assert shop.engine.status(failed).state is RequestState.FAILED


def test_a_journal_in_a_file_gets_no_advice_to_start_a_worker(shop: Shop) -> None:
    number = shop.submit("acme")
    shop.set(number, submitted="2026-01-31T12:00:00", due="2026-01-31T12:00:00")
    assert "worker" not in shop.cli("requests").out


def test_untrusted_text_in_a_request_is_made_visible(shop: Shop) -> None:
    number = shop.submit("acme")
    change(shop.url, "UPDATE journal_requests SET summary = 'a' || char(27) || '[31m', who = 'b' || char(8238)")
    for arguments in (["requests"], ["requests", str(number)]):
        assert not {"\x1b", "\u202e"}.intersection(shop.cli(*arguments).out)


def test_the_advice_of_a_worker_to_try_again_has_the_number(shop: Shop) -> None:
    number = shop.submit("acme")
    shop.set(number, server="https://moved.example")
    shop.engine.drain("https://moved.example")
    assert f"ztrust-mail requests {number} --retry" in shop.cli("requests", str(number)).out
    [found] = shop.cli.json("requests", str(number))["requests"][0]["report"]["findings"]
    assert f"ztrust-mail requests {number} --retry" in found["hint"]
