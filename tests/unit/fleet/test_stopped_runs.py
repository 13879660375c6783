"""A run that the journal or the server stopped is left to a later drain, and does not end its request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ztrust_mail.applying.outcome import Result
from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.fleet.execute import has_lost_server, require_journal
from ztrust_mail.gateways.gateway import Account
from ztrust_mail.planning.plan import Plan

RESULT = Result.of_unchanged(Plan("https://id.example.com", Account("admin", "master", None), ()), "apply")


@pytest.mark.parametrize("rule", ["journal", "lease-lost"])
def test_a_run_that_the_journal_stopped_raises_its_error(rule: str) -> None:
    finding = Finding(Severity.ERROR, rule, "the journal cannot be written", "free disk space")
    with pytest.raises(JournalError) as caught:
        require_journal(replace(RESULT, own_findings=(finding,)))
    assert (caught.value.message, caught.value.hint, caught.value.rule) == (finding.message, finding.hint, rule)


def test_a_run_that_failed_otherwise_ends_its_request() -> None:
    require_journal(replace(RESULT, own_findings=(Finding(Severity.ERROR, "canary", "the canary failed"),)))


@pytest.mark.parametrize("rule", ["reset", "slow", "unreachable", "not-read-back", "circuit-open", "too-busy"])
def test_a_run_during_which_the_server_went_down_has_lost_it(rule: str) -> None:
    assert has_lost_server(replace(RESULT, own_findings=(Finding(Severity.ERROR, rule, "the server went down"),)))


@pytest.mark.parametrize(("severity", "rule"), [(Severity.ERROR, "changed-meanwhile"), (Severity.WARNING, "reset")])
def test_a_run_with_other_findings_has_not_lost_its_server(severity: Severity, rule: str) -> None:
    assert not has_lost_server(replace(RESULT, own_findings=(Finding(severity, rule, "something else"),)))
