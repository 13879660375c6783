"""Reports as one JSON object, by ``schemas/report.schema.json``."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.text import to_iso
from ztrust_mail.model.serialize import display_value
from ztrust_mail.planning.compare import Change
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.report import ReportFormat
from ztrust_mail.reports.server_result import result_of
from ztrust_mail.reports.style import disarm_document, escape_in_json

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import RealmOutcome
    from ztrust_mail.diagnose.mail_test import MailTestOutcome
    from ztrust_mail.drift_detection.attribution import Cause
    from ztrust_mail.kits.result import CheckedRealm
    from ztrust_mail.planning.differences import RealmDiff
    from ztrust_mail.planning.past_runs import PastRun, PastWrite
    from ztrust_mail.planning.saved.write import SavedPlan
    from ztrust_mail.probing.run import ProbedRealm
    from ztrust_mail.providers.presets import Preset
    from ztrust_mail.specfile.entries import Variable

SCHEMAS = "urn:ztrust-mail:schema:report:"
SCHEMA = f"{SCHEMAS}1"

Data = Mapping[str, JsonLike]

_BEGINNING = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"schema"\s*:\s*"([^"]*)"')


class JsonFormat(ReportFormat[Data]):
    """One JSON object per report, with the same keys for every command and some of its own."""

    def document(self, report: reports.Report, fill_in: Callable[[str], str] = str) -> str:
        """Return a report as JSON in ASCII with line breaks, in which nothing steers a terminal or a CI service."""
        content = json.dumps(_fill_in_hints(self.render(report), fill_in), indent=2, ensure_ascii=True)
        return disarm_document(content, escape_in_json) + "\n"

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file begins with the schema of a report."""
        return schema_at(beginning).startswith(SCHEMAS)

    def findings(self, report: reports.FindingsReport) -> Data:
        """Return findings, and how many are not shown."""
        return _data(report, more={} if report.hidden is None else {"hidden": report.hidden})

    def conversion(self, report: reports.ConversionReport) -> Data:
        """Return a conversion, with its text unless that went elsewhere."""
        return _data(report, more={} if report.converted is None else {"converted": report.converted})

    def plan(self, report: reports.PlanReport) -> Data:
        """Return a plan with all changes, and the dangers with all their realms."""
        dangers: list[JsonLike] = [
            {"reason": one.reason.value, "message": one.message, "realms": list(one.realms)} for one in report.dangers
        ]
        more: Data = {
            **_matches(report.plan),
            "dangers": dangers,
            **(_describe_file(report.saved) if report.saved else {}),
        }
        return _data(report, map(_realm, report.plan.realms), more)

    def apply(self, report: reports.ApplyReport) -> Data:
        """Return the outcome of each realm of an applied plan."""
        done = report.result
        return _data(
            report, map(_realm_outcome, done.realms), {**_matches(done.plan), "run": done.run, "stopped": done.stopped}
        )

    def drift(self, report: reports.DriftReport) -> Data:
        """Return a plan's realms with the cause of each change; findings of a changed realm are with the realm."""
        found = report.drift
        realms = (
            _realm(realm, [one for one in found.own_findings if one.realm == realm.realm], found.causes[realm.realm])
            if realm.status is Status.CHANGED
            else _realm(realm)
            for realm in found.plan.realms
        )
        limit: Data = {"fail_on": found.fail_on.value, "below_limit": list(found.below_limit)}
        return _data(report, realms, {**_matches(found.plan), "vanished": list(found.vanished), **limit})

    def history(self, report: reports.HistoryReport) -> Data:
        """Return runs of the journal."""
        return _data(report, more={"runs": [_run(one) for one in report.runs]})

    def diff(self, report: reports.DiffReport) -> Data:
        """Return the realms with their changes from the first run to the second."""
        found = report.diff
        numbers = {"from": found.first.number, "to": found.second.number}
        return _data(report, map(_realm_diff, found.realms), {"diff": numbers})

    def comparison(self, report: reports.ComparisonReport) -> Data:
        """Return the realms with their changes from the first server to the second."""
        found = report.found
        servers = {
            "from": {"name": found.first, "url": found.urls[0]},
            "to": {"name": found.second, "url": found.urls[1]},
        }
        return _data(report, map(_realm_diff, found.realms), {"compare": servers})

    def removal(self, report: reports.RemovalReport) -> Data:
        """Return how much was removed from the journal."""
        return _data(report, more={"removed": {"runs": report.runs, "writes": report.writes}})

    def mail_tests(self, report: reports.MailTestReport) -> Data:
        """Return the result of each test mail."""
        from ztrust_mail.reports.json.relays import diagnosis_data

        diagnoses: list[JsonLike] = [*map(diagnosis_data, report.run.diagnoses)]
        more: Data = {"recipient": report.run.account.email, "diagnoses": diagnoses}
        return _data(report, map(_outcome, report.run.outcomes), more)

    def probe(self, report: reports.ProbeReport) -> Data:
        """Return the stages of each relay, and the realms that use it."""
        from ztrust_mail.reports.json.relays import relay_data

        rows = (_row(one, relay=one.relay) for one in report.run.realms)
        return _data(report, rows, {"relays": [*map(relay_data, report.run.relays)]})

    def check(self, report: reports.CheckReport) -> Data:
        """Return the facts of each subject, the probes, and the realms."""
        from ztrust_mail.reports.json.relays import relay_data, subject_data

        rows = (_row(one, subject=one.subject) for one in report.run.realms)
        run, more = report.run, {"relays": [*map(relay_data, report.run.relays)]} if report.run.relays else {}
        return _data(report, rows, {"check": run.kit, "subjects": [*map(subject_data, run.subjects)], **more})

    def checks(self, report: reports.ChecksReport) -> Data:
        """Return the doctor's checks, and what can be done with the product."""
        found = report.doctor
        checks: list[JsonLike] = [
            {
                **{"question": c.question, "answer": c.answer, "detail": c.detail, "hint": c.hint},
                "groups": [{"realms": [*g.realms], "message": g.message, "hint": g.hint} for g in c.groups],
            }
            for c in found.checks
        ]
        able: list[JsonLike] = [
            {"verb": a.operation.value, "able": a.is_supported, "remark": a.remark} for a in found.abilities
        ]
        return _data(report, more={"checks": checks, "abilities": able})

    def commands(self, report: reports.CommandsReport) -> Data:
        """Return commands for the reader to run."""
        return _data(report, more={"commands": list(report.commands)})

    def explanation(self, report: reports.ExplanationReport) -> Data:
        """Return a realm's resolved settings, each with the place that it comes from."""
        wanted = report.wanted
        origins = wanted.origins
        settings: list[JsonLike] = [
            {
                "field": name,
                "value": display_value(value),
                "origin": str(origins[name]) if name in origins else None,
                **({"preset": wanted.presets[name]} if name in wanted.presets else {}),
                **({"overlay": True} if name in wanted.overlaid else {}),
                **({"variables": _variables(wanted.variables[name])} if name in wanted.variables else {}),
            }
            for name, value in wanted.fields.items()
        ]
        more: Data = {"realm": wanted.realm, "entry": wanted.entry.name, "disabled": wanted.disabled}
        if wanted.entry.overlays:
            more = {**more, "overlays": [str(overlay.location) for overlay in wanted.entry.overlays]}
        return _data(report, more={**more, "settings": settings})

    def rules(self, report: reports.RulesReport) -> Data:
        """Return rules with their help."""
        rows: list[JsonLike] = [
            {"id": one.id, "group": one.group, "severity": one.severity.value, "title": one.title, "help": one.help}
            for one in report.rules
        ]
        return _data(report, more={"rules": rows})

    def presets(self, report: reports.PresetsReport) -> Data:
        """Return presets with all their facts."""
        return _data(report, more={"presets": [_preset(one) for one in report.presets]})

    def servers(self, report: reports.ServersReport) -> Data:
        """Return servers with their logins, without secrets, and with the results of checks."""
        from ztrust_mail.reports.json.servers import server_data

        return _data(report, more={"servers": [server_data(one, report.listed) for one in report.listed.servers]})

    def many_servers(self, report: reports.ManyServersReport) -> Data:
        """Return one object per server, with its whole report; the summary counts the realms of all."""
        rows: list[Mapping[str, JsonLike]] = []
        counts: Counter[str] = Counter({"realms": 0})
        for one in report.servers:
            data = _fill_in_hints(self.render(one.report), one.fill_in)
            assert isinstance(data, Mapping)  # what render returns
            counts.update(cast("Mapping[str, int]", data["summary"]))
            rows.append({"name": one.name, "labels": dict(one.labels), "result": result_of(one), "report": data})
        return {**_data(report, more={"servers": rows}), "summary": dict(counts)}

    def request_list(self, report: reports.RequestListReport) -> Data:
        """Return requests without their reports, and how many of all are in each state."""
        from ztrust_mail.reports.json.servers import request_data

        counts = {state.value: number for state, number in report.listed.counts.items()}
        rows: list[JsonLike] = [*map(request_data, report.listed.requests)]
        return _data(report, more={"requests": rows, "counts": counts})

    def requests(self, report: reports.RequestsReport) -> Data:
        """Return requests with how far each came; with ``whole`` also with their reports."""
        from ztrust_mail.reports.json.servers import status_data

        return _data(report, more={"requests": [status_data(one, whole=report.whole) for one in report.requests]})

    def request_result(self, report: reports.RequestResultReport) -> Data:
        """Return the report that the worker stored, with the findings of this program in front."""
        from ztrust_mail.reports.stored import stored_report

        stored, own = stored_report(report.request), _data(report)
        if stored is None:
            return own
        found = [*cast("Sequence[JsonLike]", own["findings"]), *cast("Sequence[JsonLike]", stored["findings"])]
        return {**stored, "findings": found}


FORMAT = JsonFormat()


def _fill_in_hints(data: JsonLike, fill_in: Callable[[str], str]) -> JsonLike:
    """Return data with each hint filled in, however deep it is."""
    if isinstance(data, Mapping):
        return {
            key: fill_in(value) if key == "hint" and isinstance(value, str) else _fill_in_hints(value, fill_in)
            for key, value in data.items()
        }
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [_fill_in_hints(one, fill_in) for one in data]
    return data


def schema_at(beginning: bytes) -> str:
    """Return the schema that the first bytes of a JSON file name, empty if they name none."""
    found = _BEGINNING.match(beginning)
    return found[1].decode(errors="replace") if found else ""


def _data(report: reports.Report, realms: Iterable[Data] = (), more: Data | None = None) -> Data:
    rows = list(realms)
    statuses = Counter(str(realm["status"]) for realm in rows)
    return {
        "schema": SCHEMA,
        "command": report.command,
        "server": report.server,
        "status": report.exit_status.name.lower(),
        "exit_status": int(report.exit_status),
        "summary": {"realms": len(rows), **statuses},
        "realms": rows,
        "findings": _findings(report.findings),
        **(more or {}),
    }


def _matches(plan: Plan) -> Data:
    return {"globs": {glob.entry.name: glob.count for glob in plan.globs}, "uncovered": list(plan.uncovered)}


def _realm(realm: RealmPlan, found: Iterable[Finding] = (), causes: Mapping[str, Cause] | None = None) -> Data:
    return {
        "realm": realm.realm,
        "status": realm.status.value,
        "changes": [_change(change, causes) for change in realm.changes],
        "incomparable": list(realm.difference.masked_fields),
        "kept": list(realm.difference.unmanaged),
        "secrets": {name: state.value for name, state in realm.secrets.items()},
        "losses": dict(realm.losses),
        "findings": _findings((*realm.findings, *found)),
    }


def _realm_outcome(done: RealmOutcome) -> Data:
    return {**_realm(done.plan), "status": done.status.value, "findings": _findings(done.findings)}


def _change(change: Change, causes: Mapping[str, Cause] | None) -> Data:
    return {**change.as_dict(), "cause": causes[change.field].value} if causes else change.as_dict()


def _outcome(outcome: MailTestOutcome) -> Data:
    return {
        "realm": outcome.realm,
        "status": outcome.status.value,
        "proof": outcome.proof,
        "seconds": round(outcome.seconds, 3),
        "changes": [],
        "findings": _findings(outcome.findings),
    }


def _row(one: ProbedRealm | CheckedRealm, **used: str) -> Data:
    return {"realm": one.realm, "status": one.status.value, "changes": [], **used, "findings": _findings(one.findings)}


def _run(one: PastRun) -> Data:
    run = one.run
    return {
        "run": run.number,
        "server": run.server,
        "command": run.command,
        "who": run.who,
        "started": to_iso(run.started),
        "ended": to_iso(run.ended) if run.ended else None,
        "outcome": run.outcome.value,
        "steps": {step.value: number for step, number in one.steps.items()},
        "spec_digest": run.spec_digest,
        "plan_digest": run.plan_digest,
        "message": run.message,
        "request": run.request,
        "tool_version": run.tool_version,
        "realms": [_write(realm) for realm in one.realms],
    }


def _describe_file(saved: SavedPlan) -> Data:
    specs: list[JsonLike] = [{"path": path, "digest": digest} for path, digest in saved.specs.items()]
    plan: Data = {"digest": saved.digest, "created": saved.created, "tool_version": saved.tool_version, "spec": specs}
    filled: Data = {"filled": dict(saved.filled)} if saved.filled else {}
    more: Data = {"command": saved.command, "secrets": saved.secrets.value, "in_sync": saved.in_sync, **filled}
    return {"plan": {**plan, **more}}


def _realm_diff(realm: RealmDiff) -> Data:
    return {
        "realm": realm.realm,
        "status": realm.status.value,
        "changes": [change.as_dict() for change in realm.changes],
        "secrets": {name: state.value for name, state in realm.secrets.items()},
        **({"only": realm.only} if realm.only else {}),
        "findings": _findings(realm.findings),
    }


def _write(realm: PastWrite) -> Data:
    write = realm.write
    return {
        "realm": write.realm,
        "step": write.step.value,
        "changes": [change.as_dict() for change in realm.changes],
        "secrets": {name: str(ref) for name, ref in realm.secrets.items()},
        "error": write.error,
    }


def _variables(used: Mapping[str, Variable]) -> list[JsonLike]:
    return [{"name": name, "value": one.text, "origin": one.source or str(one.location)} for name, one in used.items()]


def _preset(one: Preset) -> Data:
    facts: Data = json.loads(json.dumps(asdict(one), default=str))
    return {**facts, "port": one.port, "security": one.security.value, "regions": list(one.regions)}


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
