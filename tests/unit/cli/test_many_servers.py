"""A run on several servers, with work that a test gives."""

from __future__ import annotations

import logging
import threading

import pytest
from support.fleets import Fleet

from ztrust_mail.cli.many_servers.turns import Permission, Turns
from ztrust_mail.cli.options import ServerFlags
from ztrust_mail.cli.output import Output
from ztrust_mail.core.errors import ExitStatus, Unsafe
from ztrust_mail.reports.report import of_findings

PASSWORD = "correct-horse"


def test_an_internal_error_ends_its_server_alone_and_shows_where_but_no_value(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(output: Output, server: str | None) -> None:
        if server == "eu-1":
            raise ValueError(PASSWORD)
        if server == "eu-2":
            raise Unsafe("no")
        output.finish_report(of_findings("drift", ExitStatus.OK, ()))

    with pytest.raises(SystemExit) as ended, Output("drift") as output:
        ServerFlags(("dev", "eu-*"), (), False, 2).run(output, fleet.settings, work)
    assert ended.value.code == 70
    out = capsys.readouterr().out
    assert "3 servers: 1 done, 1 internal error, 1 refused. Exit status 70.\n" in out
    assert "in work\ninternal error: ValueError; please report the lines above\n" in out
    assert PASSWORD not in out


@pytest.mark.parametrize("parallel", [1, 2])
def test_no_more_servers_are_worked_on_at_once_than_asked_for(fleet: Fleet, parallel: int) -> None:
    guard, one_too_many = threading.Lock(), threading.Event()
    under_way: list[str | None] = []
    seen: list[str | None] = []

    def work(output: Output, server: str | None) -> None:
        with guard:
            seen.append(server)
            under_way.append(server)
            if len(under_way) > parallel:
                one_too_many.set()
        one_too_many.wait(0.2)  # time for another server to begin, which does not
        with guard:
            under_way.remove(server)
        output.finish_report(of_findings("drift", ExitStatus.OK, ()))

    with pytest.raises(SystemExit), Output("drift") as output:
        ServerFlags(("dev", "eu-*"), (), False, parallel).run(output, fleet.settings, work)
    assert sorted(map(str, seen)) == ["dev", "eu-1", "eu-2"]
    assert not one_too_many.is_set()


def test_why_several_servers_wait_is_logged_once(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    def work(output: Output, server: str | None) -> None:
        output.log_once("no worker")
        output.finish_report(of_findings("drift", ExitStatus.OK, ()))

    caplog.set_level(logging.INFO, "ztrust_mail")
    with pytest.raises(SystemExit), Output("drift") as output:
        ServerFlags(("dev", "eu-*"), (), False, 1).run(output, fleet.settings, work)
    assert caplog.messages.count("no worker") == 1


def test_nothing_is_written_after_ctrl_c_although_the_answer_was_yes_beforehand() -> None:
    turns = Turns(["dev"], 1)
    turns.answer("dev", Permission.YES)
    with turns.slot():
        turns.interrupt()
        with pytest.raises(KeyboardInterrupt):
            turns.wait_for_answer("dev")
    assert turns.may_be_abandoned("dev")


def test_a_report_that_cannot_be_made_ends_its_server_alone(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    def work(output: Output, server: str | None) -> None:
        if server == "eu-1":
            del output.own  # so that no report of this server can be completed
        output.finish_report(of_findings("drift", ExitStatus.OK, ()))

    with pytest.raises(SystemExit) as ended, Output("drift") as output:
        ServerFlags(("dev", "eu-*"), (), False, 2).run(output, fleet.settings, work)
    assert ended.value.code == 70
    assert "3 servers: 2 done, 1 internal error. Exit status 70.\n" in capsys.readouterr().out
