"""A report of every kind, with a given text wherever a report has text of others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ztrust_mail.applying.outcome import RealmOutcome, Result
from ztrust_mail.core.errors import ExitStatus, RealmError
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.rules import registry
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.diagnose.doctor import Check, DoctorReport, RealmGroup
from ztrust_mail.diagnose.mail_test import MailTestOutcome, MailTestRun, MailTestStatus
from ztrust_mail.diagnose.servers import ReachCheck, ReachStatus, ServerList
from ztrust_mail.drift_detection.attribution import Cause
from ztrust_mail.drift_detection.drift import Drift
from ztrust_mail.gateways.capabilities import Operation, Support
from ztrust_mail.gateways.gateway import Account
from ztrust_mail.journal.records import Outcome, Run, Step, Write
from ztrust_mail.journal.request_list import RequestList, RequestStatus
from ztrust_mail.journal.requests import RequestState, StoredRequest
from ztrust_mail.kits.result import CheckedRealm, CheckedSubject, CheckRun, fact_of, not_tested, ok
from ztrust_mail.model.fields import Login, Masked, Security
from ztrust_mail.planning.compare import Action, Change, Difference, SecretState
from ztrust_mail.planning.differences import RealmDiff, RunDiff, ServerDiff
from ztrust_mail.planning.past_runs import PastRun, PastWrite
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.safety import Danger, Reason
from ztrust_mail.probing.outcome import (
    AddressOutcome,
    CertificateFacts,
    ProbeStatus,
    RelayOutcome,
    RelayProblem,
    Reply,
    SenderOutcome,
    Stage,
    StageOutcome,
    TlsFacts,
    TokenFacts,
    TranscriptLine,
)
from ztrust_mail.probing.relay import Relay
from ztrust_mail.probing.run import ProbedRealm, ProbedStatus, ProbeRun
from ztrust_mail.providers.presets import all_presets
from ztrust_mail.reports import report as reports
from ztrust_mail.reports.json import FORMAT
from ztrust_mail.reports.report import Report, ServerResult
from ztrust_mail.reports.text import HEADING
from ztrust_mail.settings import Server
from ztrust_mail.settings.inventory import ListedServer
from ztrust_mail.settings.limits import Limits, Window
from ztrust_mail.settings.server_entry import LoginReferences
from ztrust_mail.specfile.entries import Entry
from ztrust_mail.specfile.resolve import Desired

SERVER = "https://id.example.com"
ACCOUNT = Account("admin", "master", "admin@example.com")
STARTED = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
PASSWORD = "relay.auth.password"
REFERENCE = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
NAMES = ("acme", "globex", "initech", "umbrella")
RELAY = Relay("smtp.example.com", 587, Security.STARTTLS, Login.BASIC, "apikey", SecretRef(SecretKind.ENV, ("A",)))
EXPIRED = Finding(Severity.ERROR, "relay-certificate-expired", "smtp.example.com:587: expired", "renew it")
STAGES = (
    StageOutcome(Stage.EHLO, ProbeStatus.OK, "SIZE", 0.1, Reply(250, "SIZE")),
    StageOutcome(Stage.STARTTLS, ProbeStatus.FAILED, "expired", 0.2, finding=EXPIRED),
)
CERTIFICATE = CertificateFacts("CN=a", "CN=b", ("a",), STARTED, STARTED, -1)
PROBED = ProbeRun(
    SERVER,
    (
        RelayOutcome(
            RELAY,
            STAGES,
            ("acme",),
            (AddressOutcome("192.0.2.1", ProbeStatus.OK),),
            ("SIZE",),
            TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", (CERTIFICATE,), ("relay-certificate-expired",)),
            TokenFacts(("aud",), ("role",), ("scope",), STARTED),
            (SenderOutcome("a@acme.example", ProbeStatus.NOT_TESTED),),
            (TranscriptLine("EHLO a", sent=True, encrypted=False), TranscriptLine("500 b", False, True, False)),
        ),
    ),
    (ProbedRealm("acme", ProbedStatus.FAILED, str(RELAY)), ProbedRealm("master", ProbedStatus.SKIPPED)),
)

FACTS = (
    ok("DMARC", "policy none"),
    fact_of("SPF", RelayProblem("spf-broken", "the SPF record includes itself", "remove the circle")),
    not_tested("DKIM", "only the relay knows the selector"),
)
LOST = Finding(Severity.ERROR, "spf-broken", "acme.example: the SPF record includes itself", "correct it", realm="acme")
CHECKED = CheckRun(
    "sender",
    SERVER,
    (CheckedSubject("acme.example via smtp.example.com", ("acme",), FACTS),),
    (
        CheckedRealm("acme", ProbedStatus.FAILED, "acme.example via smtp.example.com", (LOST,), ExitStatus.DIFFERS),
        CheckedRealm("master", ProbedStatus.SKIPPED),
    ),
    PROBED.relays,
    ("A sentence.",),
)


def changes(text: str) -> tuple[Change, ...]:
    """Return a change of each sort, one of them a secret."""
    return (
        Change("relay.host", ("host",), "old.example", text, Action.CHANGE, "Host"),
        Change("relay.port", ("port",), None, 587, Action.ADD),
        Change("sender.name", ("fromDisplayName",), text, None, Action.REMOVE),
        Change(PASSWORD, ("password",), Masked(), REFERENCE, Action.CHANGE),
    )


def finding(text: str, severity: Severity = Severity.WARNING, realm: str | None = None) -> Finding:
    """Return a finding at a place in a spec."""
    return Finding(severity, "google", text, text, Location("mail.yaml", 3, 7), realm, "relay.host" if realm else None)


def realm_plan(name: str, text: str, status: Status = Status.CHANGED) -> RealmPlan:
    """Return a realm of a plan, whose entry and host have places in the spec."""
    entry = Entry(name, Location("mail.yaml", 10, 3))
    wanted = Desired(
        name, entry, {"relay.host": text, PASSWORD: REFERENCE}, {"relay.host": Location("mail.yaml", 12, 5)}
    )
    changed = changes(text) if status is Status.CHANGED else ()
    return RealmPlan(name, status, wanted, None, Difference(changed, (), ("custom",)), (finding(text, realm=name),))


def make_plan(text: str, names: Sequence[str] = NAMES) -> Plan:
    """Return a plan in which the first realm is missing, the second in sync, and the others change."""
    states = [Status.MISSING, Status.IN_SYNC, *[Status.CHANGED] * (len(names) - 2)]
    realms = tuple(realm_plan(name, text, status) for name, status in zip(names, states, strict=True))
    return Plan(SERVER, ACCOUNT, realms, uncovered=(text or "hooli",), own_findings=(finding(text),), listed=True)


def plan_report(text: str, names: Sequence[str] = NAMES) -> reports.PlanReport:
    """Return a plan that is refused for a danger."""
    danger = Danger(Reason.MASS_CHANGE, "3 of 4 realms would change (limit 30 %)", tuple(names))
    refusal = Finding(Severity.ERROR, "unsafe", f"Refused: {danger}", "review the plan")
    made = reports.of_plan("plan", make_plan(text, names), ExitStatus.UNSAFE, [danger]).with_findings([refusal])
    return replace(made, refusal=refusal, refused=(danger,), next_step="ztrust-mail x")


def apply_report(text: str, names: Sequence[str] = NAMES) -> reports.ApplyReport:
    """Return an apply that stopped after its first write had failed."""
    made = make_plan(text, names)
    outcomes = [RealmOutcome.of(one) for one in made.realms]
    outcomes[2] = outcomes[2].fail(RealmError(text, text, "server-says"))
    outcomes[3] = outcomes[3].move_to(Status.SKIPPED, Step.SKIPPED)
    return reports.of_result(Result(made, tuple(outcomes), run=7, stopped=f"1 realm failed {text}"))


def drift_report(text: str, names: Sequence[str] = NAMES) -> reports.DriftReport:
    """Return drift with a realm that somebody else changed critically, one to be applied, and one that vanished."""
    made = make_plan(text, names)
    cause = {0: Cause.OUT_OF_BAND}
    causes = {
        realm.realm: {one.field: cause.get(number, Cause.PENDING) for one in realm.changes}
        for number, realm in enumerate(made.changed)
    }
    first = made.changed[0].realm
    own = (
        Finding(Severity.CRITICAL, "out-of-band", f"`relay.host` changed: {text}", realm=first, field="relay.host"),
        Finding(Severity.ERROR, "vanished", f"gone {text}", realm="gone"),
    )
    found = Drift(made, causes, own, ("gone",), {first: "run 7"}, {first: text})
    return reports.of_drift(found, ExitStatus.PARTIAL)


def history_report(text: str) -> reports.HistoryReport:
    """Return a run with a realm that failed."""
    run = Run(SERVER, "apply", text, number=7, outcome=Outcome.FAILED, started=STARTED, ended=STARTED, message=text)
    write = Write(text or "acme", {}, None, step=Step.FAILED, error=text)
    past = PastRun(run, {Step.FAILED: 1}, (PastWrite(write, changes(text), {PASSWORD: REFERENCE}),))
    return reports.of_runs([past], SERVER, whole=True)


def checks_report(text: str) -> reports.ChecksReport:
    """Return checks with every answer, one of which names realms."""
    checks = (
        Check("reach and log in", True, text),
        Check("version", None, text, text),
        Check("roles", False, text, text, (RealmGroup((text or "acme",), text, text),)),
    )
    able = (Support(Operation.UNCOVERED, is_supported=False, remark=text),)
    return reports.of_examination(DoctorReport(SERVER, checks, ExitStatus.PARTIAL, text, able), capabilities=True)


def servers_report(text: str) -> reports.ServersReport:
    """Return a server with all that an entry may have and its check, and a broken one."""
    limits = Limits(2.5, (Window("0 22 * * SAT", timedelta(hours=6)),))
    login = LoginReferences({"password": REFERENCE})
    server = Server(SERVER, "prod", username=text, labels={"stage": text}, vars={"a": text}, login=login, limits=limits)
    problem = finding(text, Severity.ERROR)
    listed = (
        ListedServer("prod", "ztrust-mail.toml", server.labels, server, {"password": str(REFERENCE)}),
        ListedServer(text or "broken", "ztrust-mail.toml", problem=problem),
    )
    checks = {"prod": ReachCheck(ReachStatus.REFUSED, text, 0.5, finding(text, Severity.ERROR))}
    return reports.of_servers(ServerList(listed, (problem,), checks))


def many_servers_report(text: str, names: Sequence[str] = NAMES) -> reports.ManyServersReport:
    """Return a run on two servers, one of which cannot be used."""
    failed = reports.of_findings("plan", ExitStatus.UNREACHABLE, [finding(text, Severity.ERROR)])
    servers = (
        ServerResult("eu-1", plan_report(text, names), {"stage": text}),
        ServerResult(text or "eu-2", failed, remark=f"not started: {text}"),
    )
    return reports.of_servers_run("plan", servers, ExitStatus.OK, text)


def request(text: str, number: int = 12, state: RequestState = RequestState.DONE) -> StoredRequest:
    """Return a request with a report that has a finding and a realm with another one."""
    found = {
        "severity": "error", "rule": "google", "message": text, "hint": text, "path": "mail.yaml", "line": 3,
        "column": None, "realm": None, "field": None,
    }  # fmt: skip
    realms = [
        {"realm": text or "acme", "status": "failed", "changes": [], "findings": [{**found, "realm": text or "acme"}]}
    ]
    whole = FORMAT.render(reports.of_findings("apply", ExitStatus.PARTIAL, ()))
    report = json.dumps({**whole, "realms": realms, "summary": {"realms": 1, "failed": 1}, "findings": [found]})
    return StoredRequest(
        SERVER, text, "default", "apply", "{}", "digest", text, 20, text, text, number, "1.0", state, 1,
        exit_status=4 if state.is_final else None, summary=text, report=report, report_text=f"{HEADING}apply\n{text}\n",
        submitted=STARTED, due=STARTED, started=STARTED, ended=STARTED if state.is_final else None,
    )  # fmt: skip


def request_reports(text: str) -> list[Report]:
    """Return a report of each kind about requests."""
    waiting = [request(text, number, RequestState.WAITING) for number in range(20, 25)]
    counts = {RequestState.WAITING: 5, RequestState.RUNNING: 1, RequestState.FAILED: 1}
    running = request(text, 13, RequestState.RUNNING)
    failed = request(text, state=RequestState.FAILED)
    steps = RequestStatus(running, 0, 7, {Step.VERIFIED: 3, Step.PLANNED: 1})
    several = [RequestStatus(waiting[0], 2), steps, RequestStatus(failed)]
    dead = replace(request(text, state=RequestState.DEAD), report="", report_text="", exit_status=None)
    return [
        reports.of_request_list(RequestList((running, *waiting), (failed,), counts), next_step=text),
        reports.of_requests("apply", several, ExitStatus.OK, "ztrust-mail requests 12 --follow"),
        reports.of_requests("requests", several, ExitStatus.OK, whole=True),
        reports.of_request_result("apply", failed),
        reports.of_request_result("apply", dead),
    ]


def reports_of_every_kind(text: str = "a text", names: Sequence[str] = NAMES) -> list[Report]:
    """Return at least one report of each kind, with the text in every place where others' text may be."""
    wanted = realm_plan(names[0], text).wanted
    runs = [Run(SERVER, "apply", text, number=number, started=STARTED) for number in (1, 2)]
    diffs = (RealmDiff(names[0], changes(text), {PASSWORD: SecretState.CHANGED}), RealmDiff(names[1]))
    outcomes = (
        MailTestOutcome(names[0], MailTestStatus.SENT, text),
        MailTestOutcome(names[1], MailTestStatus.FAILED, "", (finding(text, Severity.ERROR, names[1]),)),
        MailTestOutcome(names[2], MailTestStatus.SKIPPED, text),
    )
    return [
        reports.of_findings("validate", ExitStatus.USAGE, [finding(text, one) for one in Severity]),
        reports.of_conversion(ExitStatus.OK, [finding(text)], f"version: 1\n# {text}\n"),
        reports.of_removal(2, 3),
        reports.of_commands("doctor", ["a", text]),
        history_report(text),
        reports.of_rules([registry()["tls"]], whole=True),
        reports.of_rules(list(registry().values())),
        reports.of_presets(all_presets()[:4], whole=True),
        reports.of_presets(all_presets()),
        reports.of_probe(PROBED),
        reports.of_check(CHECKED),
        servers_report(text),
        plan_report(text, names),
        many_servers_report(text, names),
        apply_report(text, names),
        drift_report(text, names),
        reports.of_run_diff(RunDiff(SERVER, runs[0], runs[1], diffs)),
        reports.of_server_diff(ServerDiff("dev", text, (SERVER, SERVER), (*diffs, RealmDiff(names[2], only=text)))),
        reports.of_tests(MailTestRun(SERVER, ACCOUNT, outcomes)),
        checks_report(text),
        reports.of_explained(wanted, ExitStatus.OK),
        *request_reports(text),
    ]
