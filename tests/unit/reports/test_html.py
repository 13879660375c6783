"""Reports as an HTML page: whole, escaped, self-contained and small."""

from __future__ import annotations

import hashlib
import re
import sys
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources

import pytest
from support.cli import Cli
from support.html_pages import HtmlPage
from support.report_samples import apply_report, drift_report, make_plan, plan_report, realm_plan, reports_of_every_kind

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.diagnose.doctor import Check, DoctorReport
from ztrust_mail.drift_detection.attribution import Cause
from ztrust_mail.planning.compare import Action, Change, Difference
from ztrust_mail.planning.plan import Plan
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.html import HtmlFormat
from ztrust_mail.reports.report import OutputFormat, Report, load_format

HOSTILE = (
    """<script>alert(1)</script></style><img src=//evil.example onerror='x()'>" a="b" &amp; {{ 7 * 7 }} {% if %} -->"""
)
TENANTS = tuple(f"tenant-{number:05}" for number in range(5))


def page(report: Report) -> HtmlPage:
    return HtmlPage(HtmlFormat().document(report))


def row_of(document: str, realm: str) -> str:
    """Return the row of a realm, as the page's source has it."""
    return next(row for row in document.split("<li ")[1:] if f"<b>{realm}</b>" in row)


@pytest.mark.parametrize("report", reports_of_every_kind(), ids=lambda report: type(report).__name__)
def test_a_page_has_its_verdict_and_reaches_for_nothing_outside(report: Report) -> None:
    shown = page(report)
    assert shown.markup_of_others == []
    reached = {value for name, value in shown.attributes if name in ("src", "href", "action", "srcset", "data")}
    assert {value for value in reached if not value.startswith("#")} == {"data:,"}
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?:", "".join(shown.own.values()))


@pytest.mark.parametrize("report", reports_of_every_kind(), ids=lambda report: type(report).__name__)
def test_every_link_of_a_page_leads_to_one_of_its_parts(report: Report) -> None:
    attributes = page(report).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = {value[1:] for name, value in attributes if name == "href" and value.startswith("#")}
    wanted |= {value for name, value in attributes if name == "aria-labelledby"}
    assert wanted <= set(ids)


def test_the_policy_permits_the_pages_own_style_and_script_alone() -> None:
    shown = page(plan_report("x"))
    [policy] = [value for name, value in shown.attributes if name == "content" and "default-src" in value]
    hashes = {tag: b64encode(hashlib.sha256(content.encode()).digest()).decode() for tag, content in shown.own.items()}
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes['style']}'; "
        f"script-src 'sha256-{hashes['script']}'; base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("report", reports_of_every_kind(HOSTILE), ids=lambda report: type(report).__name__)
def test_markup_in_any_value_is_shown_as_text(report: Report) -> None:
    shown = page(report)
    assert shown.markup_of_others == []
    is_in_report = "alert(1)" in load_format(OutputFormat.JSON).document(report)
    assert (HOSTILE[:35] in shown.text) == is_in_report


def test_markup_in_the_names_of_realms_and_of_the_server_is_shown_as_text() -> None:
    names = tuple(f"{HOSTILE}{number}" for number in range(4))
    for report in reports_of_every_kind("a text", names):
        shown = page(replace(report, title=HOSTILE, command="drift", next_step=HOSTILE))
        assert shown.markup_of_others == []
        assert shown.text.count(HOSTILE) >= 2


def test_only_the_style_and_the_script_are_exempt_from_escaping() -> None:
    template = (resources.files("ztrust_mail") / "data" / "report.html.j2").read_text("utf-8")
    assert re.findall(r"\{\{ ?(\w+) ?\| ?safe ?\}\}", template) == ["style", "script"]
    assert template.count("safe") == template.count("|safe") + 1, "the other one is in the comment above the template"
    assert "autoescape" not in template


def test_a_row_has_its_own_changes_and_a_link_to_those_of_its_group() -> None:
    document = HtmlFormat().document(reports.of_plan("plan", plan_of(5), ExitStatus.DIFFERS))
    assert "5 realms (tenant-00000 … tenant-00004): the same 9 changes" in document
    assert "<ins>no-reply@{realm}.example.com</ins>" in document
    row = row_of(document, "tenant-00003")
    assert "<ins>no-reply@tenant-00003.example.com</ins>" in row
    assert "relay.example.com" not in row
    assert '<a href="#g1">and 7 equal changes</a>' in row


def test_a_realm_with_changes_of_its_own_has_all_of_them_in_its_row() -> None:
    made = plan_of(1)
    row = row_of(HtmlFormat().document(reports.of_plan("plan", made, ExitStatus.DIFFERS)), TENANTS[0])
    assert all(f"<ins>{change.after}</ins>" in row for change in made.realms[0].changes)
    assert "<details open>" in row


def test_realms_that_failed_come_first_and_open_with_their_findings() -> None:
    document = HtmlFormat().document(apply_report("HTTP 400"))
    names = re.findall(r'<li data-is="[^"]*"><details[^>]*><summary class=row><b>(\w+)</b>', document)
    assert names == ["acme", "initech", "umbrella", "globex"]
    assert "<details open>" in row_of(document, "initech")
    assert ">server-says</a>" in row_of(document, "initech")


def test_a_critical_drift_is_critical_on_the_page_and_says_live_and_spec() -> None:
    document = HtmlFormat().document(drift_report("smtp.attacker.example"))
    row = row_of(document, "initech")
    assert 'data-is="changed critical warning"' in document
    assert '<span class="badge critical">critical</span>' in row
    assert "live <del>old.example</del><p>spec <ins>smtp.attacker.example</ins>" in row
    assert "<i>4 changes · changed outside ztrust-mail · 1 warning</i>" in row
    assert 'class="verdict bad"' in document


def test_a_realm_that_drifted_for_several_reasons_has_the_reason_of_each_change() -> None:
    report = drift_report("smtp.attacker.example")
    causes = {realm: {**of, "relay.host": Cause.NOT_KEPT} for realm, of in report.drift.causes.items()}
    document = HtmlFormat().document(replace(report, drift=replace(report.drift, causes=causes)))
    assert "<small>Host</small><i>written, but not kept by the server</i>" in row_of(document, "initech")
    assert "<i>4 changes · 1 warning</i>" in row_of(document, "initech")


def test_a_finding_has_its_place_its_next_step_and_the_help_of_its_rule() -> None:
    document = HtmlFormat().document(plan_report("x"))
    assert "<code>mail.yaml:3:7</code>" in document
    assert '<a class=rule href="#rule-google">[google]</a>' in document
    assert '<dt id="rule-google">' in document


def test_realms_without_rows_are_all_named_by_their_finding() -> None:
    found = [Finding(Severity.NOTE, "uncovered", "no entry", realm=name) for name in ("x", "ab", "z", "other")]
    shown = page(reports.of_findings("drift", ExitStatus.OK, found))
    assert "4 realms (x, ab and 2 more)x, ab, z, other" in shown.text


def test_a_column_that_is_empty_in_every_row_is_left_out() -> None:
    checks = (Check("server version", True, "26.7.4"), Check("roles", True, "all"))
    found = reports.of_examination(DoctorReport("https://id.example.com", checks, ExitStatus.OK, "Keycloak", ()))
    document = HtmlFormat().document(found)
    assert re.findall("<th scope=col>([a-z ]+)", document) == ["check", "answer", "detail"]


def test_the_page_says_when_it_was_made_and_by_which_exit_status() -> None:
    clock = datetime(2026, 1, 31, 12, 5, tzinfo=UTC)
    document = HtmlFormat(lambda: clock).document(apply_report("x"))
    assert '<time datetime="2026-01-31T12:05:00+00:00">2026-01-31 12:05 UTC</time>. Exit status 4.' in document


@pytest.mark.parametrize("status", ExitStatus)
def test_every_exit_status_has_a_word(status: ExitStatus) -> None:
    assert re.search(r'<span class="badge \w+">[A-Z]\w', HtmlFormat().document(reports.of_findings("x", status, [])))


@pytest.mark.parametrize("arguments", [["--report", "html=report.html"], ["--format", "html"]], ids=lambda one: one[0])
def test_without_jinja_the_error_says_what_to_install_before_any_work(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    ran = cli("plan", "missing.yaml", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "ztrust-mail: error: Jinja2, which makes reports in HTML, is not installed; install it:"
        " pip install 'ztrust-mail[html]' [plan]\n"
    )
    assert not (cli.folder / "report.html").exists()


def plan_of(count: int) -> Plan:
    """Return a plan whose realms have nine changes, of which two have the realm's name, and a warning."""
    shared = {
        "relay.host": "relay.example.com", "relay.port": 587, "relay.security": "starttls", "relay.auth": "basic",
        "relay.auth.username": "apikey", "sender.name": "Example Corporation", "envelope_from": "bounce@example.com",
    }  # fmt: skip
    realms = []
    for name in TENANTS[:count]:
        own = {"sender.address": f"no-reply@{name}.example.com", "reply_to.address": f"help@{name}.example.com"}
        values = {**shared, **own}
        changes = tuple(Change(field, (field,), None, value, Action.ADD, "A label") for field, value in values.items())
        made = realm_plan(name, f"the From domain of {name} changes; check SPF, DKIM and DMARC")
        realms.append(replace(made, difference=Difference(changes)))
    return replace(make_plan("x"), realms=tuple(realms))
