"""Every report as an overview: nothing that matters is missing, and no character of others is invisible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest
from support.report_samples import (
    NAMES,
    apply_report,
    changes,
    checks_report,
    drift_report,
    make_plan,
    plan_report,
    reports_of_every_kind,
)

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.rules import registry
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.overview import OverviewFormat
from ztrust_mail.reports.overview.rows import Overview
from ztrust_mail.reports.report import Report


class Probe(OverviewFormat):
    """Keeps the overview that a format would write."""

    def write(self, shown: Overview) -> str:
        """Remember the overview."""
        self.shown = shown
        return ""

    def recognises(self, beginning: bytes) -> bool:
        """Tell that this writes no files."""
        return False


def overview(report: Report, spec: str = "SPEC...") -> Overview:
    probe = Probe()
    probe.document(report, lambda text: text.replace("SPEC...", spec))
    return probe.shown


def rules_of(shown: Overview) -> dict[str, Severity]:
    return {one.rule: one.severity for one in shown.all_findings()}


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_in(one)


@pytest.mark.parametrize("report", reports_of_every_kind(), ids=lambda report: type(report).__name__)
def test_every_report_has_a_verdict_and_registered_rules(report: Report) -> None:
    shown = overview(report)
    assert shown.verdict
    assert rules_of(shown).keys() <= registry().keys()


@pytest.mark.parametrize(
    "report", reports_of_every_kind("a\x1b[31m\n\u202eb"), ids=lambda report: type(report).__name__
)
def test_no_character_of_others_is_invisible_in_an_overview(report: Report) -> None:
    shown = overview(report)
    assert [text for text in texts_in(asdict(replace(shown, text=""))) if not text.isprintable()] == []
    assert shown.text.replace("\n", "").isprintable()


def test_a_plan_has_a_finding_for_each_changed_realm_and_each_refused_danger() -> None:
    shown = overview(plan_report("new.example"))
    assert rules_of(shown)["mass-change"] is Severity.ERROR
    assert "unsafe" not in rules_of(shown), "the danger says it already"
    assert [one.realm for one in shown.all_findings() if one.rule == "planned-change"] == ["initech", "umbrella"]
    assert shown.verdict[0].startswith("Plan: 2 realms to change")


def test_an_allowed_danger_is_a_warning() -> None:
    report = plan_report("new.example")
    shown = overview(replace(report, refusal=None, refused=()))
    assert rules_of(shown)["mass-change"] is Severity.WARNING


def test_each_realm_that_drifted_is_a_finding_where_its_entry_is() -> None:
    shown = overview(drift_report("new.example"), "mail.yaml")
    found = {one.realm: one for one in shown.all_findings() if one.rule == "drifted"}
    assert found.keys() == {"initech", "umbrella"}
    assert found["initech"].location == Location("mail.yaml", 10, 3)
    assert found["initech"].message.startswith("differs from the spec: relay.host old.example → new.example; ")
    assert found["initech"].hint.endswith("ztrust-mail apply mail.yaml")


def test_a_finding_of_a_field_is_at_the_place_of_its_value() -> None:
    shown = overview(drift_report("new.example"))
    places = {one.rule: one.location for one in shown.all_findings()}
    assert places["out-of-band"] == Location("mail.yaml", 12, 5)
    assert places["vanished"] is None


def test_a_drifted_realm_has_the_cause_of_each_change_and_who_made_it() -> None:
    row = overview(drift_report("new.example")).realms[2]
    assert [(one.sign, one.field, one.cause, one.is_critical) for one in row.changes[:2]] == [
        ("~", "relay.host", "out_of_band", True),
        ("+", "relay.port", "out_of_band", True),
    ]
    assert row.note == "last applied by run 7; edited since then by new.example"
    assert Severity.CRITICAL in [one.severity for one in row.findings]


@pytest.mark.parametrize(("fails", "severity"), [(False, Severity.NOTE), (True, Severity.ERROR)])
def test_a_realm_without_an_entry_is_an_error_where_it_fails_the_command(fails: bool, severity: Severity) -> None:
    shown = overview(replace(drift_report("hooli"), uncovered_fails=fails))
    assert [(one.realm, one.severity) for one in shown.findings if one.rule == "uncovered"] == [("hooli", severity)]


def test_a_failed_write_and_the_stop_after_it_are_findings() -> None:
    shown = overview(apply_report("HTTP 400"))
    assert {row.realm: row.status for row in shown.realms} == dict(
        zip(NAMES, ["missing", "in_sync", "failed", "skipped"], strict=True)
    )
    assert (rules_of(shown)["server-says"], rules_of(shown)["stopped"]) == (Severity.ERROR, Severity.ERROR)


def test_a_failed_check_and_its_realms_are_findings() -> None:
    shown = overview(checks_report("no role"))
    assert [one.message for one in shown.findings] == ["roles: no role", "not in `no role`: no role"]
    assert shown.verdict == ("1 check failed; 1 check could not be made.",)


def test_runs_that_differ_in_a_secret_alone_are_a_finding() -> None:
    shown = overview(next(one for one in reports_of_every_kind("x") if isinstance(one, reports.DiffReport)))
    assert [(one.rule, one.realm) for one in shown.all_findings()] == [("runs-differ", "acme")]
    assert shown.realms[0].note == "relay.auth.password: changed"


def test_a_report_without_a_verdict_of_its_own_counts_its_findings() -> None:
    found = [
        Finding(Severity.ERROR, "usage", "a"),
        Finding(Severity.ERROR, "usage", "b"),
        Finding(Severity.NOTE, "usage", "c"),
    ]
    shown = overview(reports.of_findings("apply", ExitStatus.UNREACHABLE, found))
    assert shown.verdict == ("apply: 2 errors, 1 note; exit status 3.",)
    assert overview(reports.of_findings("validate", ExitStatus.OK, [])).verdict == ("No problem found.",)


def test_the_next_command_has_the_words_that_introduce_it_in_text() -> None:
    report = plan_report("x")
    assert overview(report).step_label == "If intended"
    assert overview(replace(report, refusal=None)).step_label == "Apply it with"
    assert overview(replace(report, next_step="")).step_label == ""


def test_a_secret_is_shown_by_its_reference() -> None:
    row = overview(plan_report("x")).realms[2]
    assert [(one.old, one.new) for one in row.changes if one.field == "relay.auth.password"] == [
        ("(secret, hidden)", "from env:SMTP_PASSWORD")
    ]


def test_realms_with_equal_changes_are_one_block() -> None:
    names = [f"tenant-{number}" for number in range(50)]
    shown = overview(reports.of_plan("plan", make_plan("new.example", names), ExitStatus.DIFFERS))
    blocks = {block.head: block for block in shown.blocks()}
    assert {head: len(block.realms) for head, block in blocks.items()} == {"missing": 1, "in_sync": 1, "changed": 48}
    assert [(one.kind, one.subject) for one in blocks["changed"].statements][: len(changes("x"))] == [
        ("~", "relay.host (Host)"), ("+", "relay.port"), ("-", "sender.name"), ("~", "relay.auth.password"),
    ]  # fmt: skip
