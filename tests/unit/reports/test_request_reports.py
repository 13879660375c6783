"""Reports about requests, whatever a worker of another version has stored with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.report_samples import request

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.journal.request_list import RequestStatus
from ztrust_mail.journal.requests import RequestState
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.report import OutputFormat, ServerResult, load_format
from ztrust_mail.reports.server_result import count_realms, result_of

ODD = {
    "nothing": "",
    "no JSON": "{",
    "no object": "[]",
    "no findings": '{"summary": {"realms": 1}}',
    "no summary": '{"findings": []}',
    "odd findings": '{"findings": [1, null, {}, {"severity": "grave"}], "summary": {"realms": "x"}}',
    "odd realms": '{"findings": [], "summary": {}, "realms": [1, {"realm": 7, "findings": "x"}]}',
    "realms of another kind": '{"findings": [], "summary": {}, "realms": {"acme": 1}}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("stored", ODD.values(), ids=ODD)
@pytest.mark.parametrize("format", OutputFormat)
def test_every_format_shows_a_request_whatever_is_stored_as_its_report(format: OutputFormat, stored: str) -> None:
    one = replace(request("a text", state=RequestState.FAILED), report=stored)
    for report in (
        reports.of_request_result("apply", one),
        reports.of_requests("requests", [RequestStatus(one)], ExitStatus.OK, whole=True),
        reports.of_servers_run("apply", [ServerResult("prod", reports.of_request_result("apply", one))], ExitStatus.OK),
    ):
        assert load_format(format).document(report)


@pytest.mark.parametrize(
    ("state", "rule"),
    [("dead", "dead-request"), ("cancelled", "cancelled-request"), ("failed", "failed-request")],
)
def test_a_request_that_ended_without_a_report_says_why_and_how_to_try_again(state: str, rule: str) -> None:
    one = replace(request("the server is down", state=RequestState(state)), report="", report_text="", exit_status=None)
    [found] = reports.of_request_result("apply", one).findings
    assert (found.rule, found.message) == (rule, f"request 12 is {state}: the server is down")
    assert found.hint == "try it again with: ztrust-mail requests 12 --retry"


def test_a_server_of_several_shows_its_request_with_the_realms_that_the_worker_counted() -> None:
    failed = reports.of_request_result("apply", request("a text", state=RequestState.FAILED))
    assert result_of(ServerResult("prod", failed)) == "failed in part (request 12)"
    assert count_realms(failed) == (1, 0, 1)
    waiting = reports.of_requests("apply", [RequestStatus(request("", state=RequestState.WAITING))], ExitStatus.OK)
    assert result_of(ServerResult("prod", waiting)) == "waiting (request 12)"
    assert count_realms(waiting) is None
