"""Results as one JSON object, by ``schemas/report.schema.json``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding
from ztrust_mail.model.serialize import display_value
from ztrust_mail.planning.compare import told
from ztrust_mail.planning.plan import Plan, RealmPlan
from ztrust_mail.specfile.resolve import Desired

if TYPE_CHECKING:
    from ztrust_mail.applying.apply import Result
    from ztrust_mail.diagnose.doctor import DoctorReport
    from ztrust_mail.diagnose.mail_test import MailTestRun

SCHEMAS = "urn:ztrust-mail:schema:report:"
SCHEMA = f"{SCHEMAS}1"


@dataclass(frozen=True)
class Report:
    """What every report holds, whatever the command."""

    command: str
    exit_status: ExitStatus
    server: str = ""
    realms: tuple[Mapping[str, JsonLike], ...] = ()
    findings: tuple[Finding, ...] = ()
    more: Mapping[str, JsonLike] = field(default_factory=dict)

    def text(self) -> str:
        """Return the report as one line-broken JSON object in ASCII, so that nothing in it steers a terminal."""
        return json.dumps(self.data(), indent=2, ensure_ascii=True) + "\n"

    def with_findings(self, more: Iterable[Finding]) -> Report:
        """Return the report with more findings."""
        return replace(self, findings=(*self.findings, *more))

    def data(self) -> dict[str, JsonLike]:
        """Return the report as plain data."""
        statuses = Counter(str(realm["status"]) for realm in self.realms)
        return {
            "schema": SCHEMA,
            "command": self.command,
            "server": self.server,
            "status": self.exit_status.name.lower(),
            "exit_status": int(self.exit_status),
            "summary": {"realms": len(self.realms), **statuses},
            "realms": list(self.realms),
            "findings": _findings(self.findings),
            **self.more,
        }


def of_findings(command: str, status: ExitStatus, found: Iterable[Finding]) -> Report:
    """Report findings alone."""
    return Report(command, status, findings=tuple(found))


def with_converted(report: Report, converted: str) -> Report:
    """Return the report with the text that was made."""
    return replace(report, more={**report.more, "converted": converted})


def of_plan(
    command: str, plan: Plan, realms: Sequence[RealmPlan], status: ExitStatus, found: Iterable[Finding] = ()
) -> Report:
    """Report a plan, or what an apply made of a plan; ``found`` comes on top."""
    more: dict[str, JsonLike] = {
        "globs": {g.entry.name: g.count for g in plan.globs},
        "uncovered": list(plan.uncovered),
    }
    return Report(command, status, plan.url, tuple(_realm(realm) for realm in realms), (*plan.findings, *found), more)


def of_result(done: Result, found: Iterable[Finding] = ()) -> Report:
    """Report what an apply made of a plan; ``found`` comes on top."""
    report = of_plan(done.command, done.plan, done.realms, done.exit_status, (*found, *done.findings))
    return replace(report, more={**report.more, "run": done.run, "stopped": done.stopped})


def of_tests(run: MailTestRun) -> Report:
    """Report test mails."""
    realms = tuple(
        {
            "realm": outcome.realm,
            "status": outcome.status.value,
            "proof": outcome.proof,
            "changes": [],
            "findings": _findings(outcome.findings),
        }
        for outcome in run.outcomes
    )
    return Report("test", run.exit_status, run.url, realms, more={"recipient": run.account.email})


def of_explained(wanted: Desired, status: ExitStatus) -> Report:
    """Report one realm's resolved settings."""
    origins = wanted.origins
    settings: list[JsonLike] = [
        {"field": name, "value": display_value(value), "origin": str(origins[name]) if name in origins else None}
        for name, value in wanted.fields.items()
    ]
    more: dict[str, JsonLike] = {"realm": wanted.realm, "entry": wanted.entry.name, "disabled": wanted.disabled}
    return Report("explain", status, findings=wanted.findings, more={**more, "settings": settings})


def of_examination(found: DoctorReport) -> Report:
    """Report what the doctor saw."""
    checks: list[JsonLike] = [
        {"question": c.question, "answer": c.answer, "detail": c.detail, "hint": c.hint} for c in found.checks
    ]
    able: list[JsonLike] = [{"verb": a.verb.value, "able": a.able, "remark": a.remark} for a in found.abilities]
    return Report("doctor", found.exit_status, found.url, more={"checks": checks, "abilities": able})


def of_commands(command: str, commands: Sequence[str]) -> Report:
    """Report commands for the reader to run."""
    return Report(command, ExitStatus.OK, more={"commands": list(commands)})


def _realm(realm: RealmPlan) -> Mapping[str, JsonLike]:
    return {
        "realm": realm.realm,
        "status": realm.status.value,
        "changes": [told(change) for change in realm.changes],
        "incomparable": list(realm.difference.masked_fields),
        "kept": list(realm.difference.kept),
        "secrets": {name: state.value for name, state in realm.secrets.items()},
        "losses": dict(realm.losses),
        "findings": _findings(realm.findings),
    }


def _findings(found: Iterable[Finding]) -> list[JsonLike]:
    return [
        {
            "severity": one.severity.value,
            "rule": one.rule,
            "message": one.message,
            "hint": one.hint,
            "path": one.location.path if one.location else None,
            "line": one.location.line or None if one.location else None,
            "column": one.location.column or None if one.location else None,
            "realm": one.realm,
            "field": one.field,
        }
        for one in dict.fromkeys(found)
    ]
