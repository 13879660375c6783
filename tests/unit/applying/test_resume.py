"""What ``apply --resume`` makes of a run whose writes were answered, and which could not look at them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.cli import Cli, Ran
from support.fault_proxy import Fault, FaultProxy

from ztrust_mail.sandbox import Sandbox

SPEC = """
version: 1
defaults: {sender: {address: no-reply@acme.example}, relay: {host: smtp.example.com}}
realms: {acme: {}, globex: {}}
"""


@pytest.fixture
def proxy(sandbox: Sandbox) -> Iterator[FaultProxy]:
    with FaultProxy(sandbox.url) as made:
        yield made


@pytest.fixture
def blind(cli: Cli, sandbox: Sandbox, proxy: FaultProxy) -> Ran:
    """A run, the first, that wrote two realms and then could read nothing any more; the server is back again."""
    cli.set(URL=proxy.url)
    proxy.fault(Fault.CUT_BEFORE_ANSWER, method="GET", path="/admin/realms/", at=3, times=100)
    ran = cli("apply", cli.write("mail.yaml", SPEC), "--yes")
    proxy.clear()
    return ran


def test_resume_settles_writes_that_arrived_and_has_nothing_left_to_do(cli: Cli, proxy: FaultProxy, blind: Ran) -> None:
    assert blind.status == 4
    assert "--resume" in blind.out
    again = cli("apply", "mail.yaml", "--resume", "--yes")
    assert (again.status, again.err) == (0, "")
    assert again.out.endswith("\nNothing is left of run 1: all its writes succeeded.\n")
    said = "2 realms (acme and globex): note: run 1 was interrupted during this write: the server has stored the write"
    assert again.out.count(said) == 1
    assert len(proxy.forwarded("PUT")) == 2
    assert cli("plan", "mail.yaml").status == 0


def test_resuming_a_second_time_changes_nothing(cli: Cli, blind: Ran) -> None:
    settled = [("settled", "acme"), ("settled", "globex")]
    for told in (settled, []):
        report = cli.json("apply", "mail.yaml", "--resume", "--yes")
        assert report["exit_status"] == 0
        assert [(finding["rule"], finding["realm"]) for finding in report["findings"]] == told


def test_history_shows_that_a_resumed_run_has_nothing_left(cli: Cli, blind: Ran) -> None:
    assert cli.json("history")["runs"][0]["outcome"] == "failed"
    assert cli("apply", "mail.yaml", "--yes").status == 0
    assert [run["outcome"] for run in cli.json("history")["runs"]] == ["resumed"]


def test_without_a_run_there_is_nothing_to_resume(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("apply", cli.write("mail.yaml", SPEC), "--resume", "--yes")
    assert ran.status == 2
    assert "nothing to resume" in ran.err


def test_after_a_run_that_did_all_there_is_nothing_to_resume(cli: Cli, sandbox: Sandbox) -> None:
    assert cli("apply", cli.write("mail.yaml", SPEC), "--yes").status == 0
    ran = cli("apply", "mail.yaml", "--resume", "--yes")
    assert ran.status == 2
    assert "nothing to resume" in ran.err
