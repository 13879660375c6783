"""Values, lines, text and JSON as every command shows them."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace

import pytest
from support.cli import report_validator
from support.results import text_lines

from ztrust_mail.applying.outcome import RealmOutcome, Result
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.diagnose.doctor import Check, DoctorReport, RealmGroup
from ztrust_mail.diagnose.mail_test import MailTestOutcome, MailTestRun, MailTestStatus
from ztrust_mail.gateways.capabilities import Operation, Support
from ztrust_mail.gateways.gateway import Account, LiveRealm
from ztrust_mail.journal.records import Step
from ztrust_mail.model.fields import ABSENT, Duration, Masked, Raw, Security
from ztrust_mail.model.serialize import display_value
from ztrust_mail.planning.compare import Action, Change, Difference, SecretMode
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.probing.run import ProbedStatus
from ztrust_mail.reports import report as reports
from ztrust_mail.reports import style
from ztrust_mail.reports.json import FORMAT as JSON
from ztrust_mail.reports.style import Span, line
from ztrust_mail.reports.text.lines import finding_line, finding_lines
from ztrust_mail.reports.text.servers import doctor_lines, doctor_verdict
from ztrust_mail.settings import Server
from ztrust_mail.specfile.entries import Entry
from ztrust_mail.specfile.resolve import Desired, GlobMatch

NO_RECORD = "not compared (the server hides {0}; this journal has no record of {0})."
ACCOUNT = Account("admin", "master", "admin@example.com")
PASSWORD = "relay.auth.password"
REF = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
WARNING = Finding(Severity.WARNING, "odd", "something is odd", "look at it", Location("a.yaml", 3, 7))


def realm(name: str, status: Status, *changes: Change, hidden: int = 0, **more: object) -> RealmPlan:
    entry = Entry(name, Location("a.yaml", 1, 1), disabled=bool(more.get("disabled")))
    incomparable = (PASSWORD, "relay.auth.token.client_secret")[:hidden]
    difference = Difference(changes, incomparable, ("custom",) if more.get("kept") else ())
    return RealmPlan(name, status, Desired(name, entry, dict.fromkeys(incomparable, REF)), None, difference)


def applied(planned: RealmPlan) -> RealmOutcome:
    return RealmOutcome.of(planned).move_to(Status.APPLIED, Step.VERIFIED)


def plan(*realms: RealmPlan, **more: object) -> Plan:
    return Plan("https://id.example.com", ACCOUNT, realms, **more)  # type: ignore[arg-type]


def plan_text(made: Plan, width: int = 0) -> list[str]:
    return text_lines(reports.of_plan("plan", made, made.exit_status), width)


def shown(said: object) -> list[str]:
    return style.plain(said).splitlines()  # type: ignore[arg-type]


HOST = Change("relay.host", ("host",), "old.example", "new.example", Action.CHANGE, "Host")
PORT = Change("relay.port", ("port",), None, 587, Action.ADD)
NAME = Change("sender.name", ("fromDisplayName",), "Old", None, Action.REMOVE)


# words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "(not set)"),
        (ABSENT, "(not set)"),
        ("", "(not set)"),
        ("text", "text"),
        (587, "587"),
        (True, "true"),
        (False, "false"),
        (Security.STARTTLS, "starttls"),
        (Duration(1500), "1500ms"),
        (Raw("abc"), "abc"),
        (Masked(), "(secret, hidden)"),
        (REF, "(secret from env:SMTP_PASSWORD)"),
        (SecretRef(SecretKind.COMMAND, ("pass", "show", "canary")), "(secret from command:pass)"),
    ],
)
def test_a_displayed_value_never_contains_a_secret(value: object, words: str) -> None:
    assert display_value(value) == words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["(not set)", "(secret, hidden)", "a.example → b.example", "a; acme: b", ' a "b"', "a\n", '"a"']
)
def test_a_text_that_could_be_read_as_more_than_a_value_is_quoted(text: str) -> None:
    assert json.loads(display_value(text)) == json.loads(display_value(Raw(text))) == text


# lines


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": "0"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "0"}, False),
        (False, {"CLICOLOR_FORCE": "1", "TERM": "dumb"}, True),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_appear_on_terminals_unless_a_variable_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environ: dict[str, str], coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **environ}.items():
        monkeypatch.setenv(name, value)
    stream = Stream(terminal)
    style.write([line(Span("bold", "bold"), " [red]x[/red] :smile: ", Span("\x1b[2J\u202e", "red"))], stream)
    assert ("\x1b" in stream.getvalue()) == coloured
    plain = stream.getvalue().replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert plain == "bold [red]x[/red] :smile: \\x1b[2J\\u202e\n"


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_text_is_wrapped_to_the_terminal_at_blanks_with_a_hanging_indent(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Stream(terminal=True)
    style.write([line("  ", Span("words " * 60, "red"), "end")], stream)
    rows = re.sub(r"\x1b\[[0-9]*m", "", stream.getvalue()).splitlines()
    assert max(map(len, rows)) <= columns
    assert all(row.startswith(("    words", "    end")) for row in rows[1:])
    assert " ".join(row.strip() for row in rows) == "words " * 60 + "end"


def test_text_off_a_terminal_has_80_columns_but_lines_that_name_a_place_in_a_file_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    stream = Stream(terminal=False)
    located = replace(WARNING, message="word " * 30)
    style.write([finding_line(located), finding_line(replace(located, location=None))], stream)
    first, *rest = stream.getvalue().splitlines()
    assert first == f"a.yaml:3:7: warning: {'word ' * 30}; look at it [odd]"
    assert max(map(len, rest)) <= 80


def test_commands_and_long_words_are_never_broken() -> None:
    command = "ztrust-mail apply --resume --allow mass-change " + "x" * 60
    rows = style.plain([line("Continue with: ", Span(command, style.WHOLE)), line("y" * 90)], 80).splitlines()
    assert rows == ["Continue with:", f"  {command}", "y" * 90]


def test_the_values_of_a_change_begin_in_one_column_and_continue_there() -> None:
    change = replace(HOST, before="a" * 30, after="b" * 30)
    rows = plan_text(plan(realm("acme", Status.CHANGED, change, PORT)), 60)
    assert rows[3:6] == [f"  ~ relay.host (Host)  {'a' * 30} →", f"{'':23}{'b' * 30}", "  + relay.port         587"]


def test_plain_lines_have_no_trailing_blanks_and_escape_line_breaks_of_values() -> None:
    assert style.plain([line("a", Span("b\nc", "red"), "  "), line()]) == "ab\\x0ac\n\n"


def test_results_go_to_stdout_and_everything_else_to_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(terminal=False))
    style.write_out([line("result")])
    style.write([line("rest")], sys.stderr)
    assert capsys.readouterr() == ("result\n", "rest\n")


@pytest.mark.parametrize("width", [0, 40])
@pytest.mark.parametrize("command", ["::stop-commands::x", "##vso[task.x]y", "##[warning]x", "##teamcity[x]"])
def test_no_text_of_others_gives_a_command_to_a_ci_service(command: str, width: int) -> None:
    said = [line(command), line("  ", Span(command, "red")), line("sender.name  ", f"{'word ' * 10}{command}")]
    for row in style.plain(said, width).splitlines():
        assert not row.strip().startswith("::")
        assert not re.search(r"##\w*\[", row)


def test_colons_and_hashes_in_other_places_stay_as_they_are() -> None:
    said = [line("realm ::1"), line("a :: b ## c [x] #[y]")]
    assert style.plain(said).splitlines() == ["realm ::1", "a :: b ## c [x] #[y]"]


# findings


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (WARNING, "a.yaml:3:7: warning: something is odd; look at it [odd]"),
        (Finding(Severity.ERROR, "r", "what", realm="acme"), "realm acme: error: what [r]"),
        (
            Finding(Severity.NOTE, "r", "what", "hint", Location("a.yaml", 3, 7), "acme", "relay.port"),
            "a.yaml:3:7: realm acme: note: what; hint [r]",
        ),
        (Finding(Severity.ERROR, "r", "what", location=Location("the spec")), "the spec: error: what [r]"),
        (Finding(Severity.ERROR, "r", "what"), "ztrust-mail: error: what [r]"),
        (Finding(Severity.ERROR, "r", "a\x1b[31m\nb", realm="x\u202e"), r"realm x\u202e: error: a\x1b[31m\x0ab [r]"),
    ],
)
def test_a_finding_line_has_location_severity_message_hint_and_rule(found: Finding, said: str) -> None:
    assert shown([finding_line(found)]) == [said]


def test_equal_findings_are_reported_once() -> None:
    assert len(shown(finding_lines([WARNING, WARNING]))) == 1
    report = JSON.findings(reports.of_findings("validate", ExitStatus.OK, [WARNING, WARNING]))
    report_validator().validate(report)
    assert report["findings"] == [
        {
            "severity": "warning",
            "rule": "odd",
            "message": "something is odd",
            "hint": "look at it",
            "path": "a.yaml",
            "line": 3,
            "column": 7,
            "realm": None,
            "field": None,
        }
    ]


def test_equal_findings_of_many_realms_are_one_line_of_text_and_one_json_finding_each() -> None:
    many = [replace(WARNING, realm=f"tenant-{number}") for number in range(40)]
    other = replace(WARNING, message="something else", realm="tenant-1")
    placeless = [Finding(Severity.ERROR, "r", f"`{name}` is odd", realm=name) for name in ("a", "b")]
    assert shown(finding_lines([*many, other, *placeless])) == [
        "a.yaml:3:7: 40 realms (tenant-0 … tenant-39): warning: something is odd; look at it [odd]",
        "a.yaml:3:7: realm tenant-1: warning: something else; look at it [odd]",
        "2 realms (a and b): error: `{realm}` is odd [r]",
    ]
    assert len(JSON.findings(reports.of_findings("plan", ExitStatus.OK, many))["findings"]) == 40


def test_a_hint_of_several_findings_of_one_rule_is_said_once_after_the_last() -> None:
    found = [Finding(Severity.ERROR, "r", f"what {n}", "do this", realm=name) for n, name in enumerate("ab")]
    assert shown(finding_lines(found)) == ["realm a: error: what 0 [r]", "realm b: error: what 1; do this [r]"]


def test_findings_of_one_rule_at_their_places_in_a_spec_are_shortened_too() -> None:
    found = [
        Finding(
            Severity.WARNING, "r", f"KEY_{n * n} is not set", location=Location("a.yaml", n // 2 + 4, 1), realm=f"t{n}"
        )
        for n in range(10_000)
    ]
    assert len(shown(finding_lines(found))) == 10_000
    assert shown(finding_lines(found, fold=True))[2:] == [
        "a.yaml:5:1: realm t2: warning: KEY_4 is not set [r]",
        "9,997 realms (t3 … t9999): warning: 9,997 more findings of this kind; --details shows each [r]",
    ]


def test_a_long_list_of_findings_of_one_rule_is_shortened_where_that_is_asked_for() -> None:
    found = [Finding(Severity.ERROR, "r", f"what {n * n}", realm=f"t{n}") for n in range(40)]
    assert len(shown(finding_lines(found))) == 40
    assert shown(finding_lines(found, fold=True))[2:] == [
        "realm t2: error: what 4 [r]",
        "37 realms (t3 … t39): error: 37 more findings of this kind; --details shows each [r]",
    ]


def test_a_location_without_line_and_column_is_null_in_json() -> None:
    found = Finding(Severity.ERROR, "r", "what", location=Location("the spec"))
    report = JSON.findings(reports.of_findings("validate", ExitStatus.USAGE, [found]))
    report_validator().validate(report)
    assert [report["findings"][0][key] for key in ("path", "line", "column")] == ["the spec", None, None]


# plans


def test_the_heading_names_the_server_the_account_and_what_globs_matched() -> None:
    globs = tuple(GlobMatch(Entry(name, Location("a.yaml")), n) for name, n in (("a-*", 0), ("b-*", 1), ("c-*", 1234)))
    assert plan_text(plan(globs=globs)) == [
        "https://id.example.com, as admin (realm master)",
        "",
        "a-* matches 0 realms",
        "b-* matches 1 realm",
        "c-* matches 1,234 realms",
        "",
        "0 realms in sync.",
    ]
    named = replace(reports.of_plan("plan", plan(), ExitStatus.OK), title="dev (https://id.example.com)")
    assert text_lines(named)[0] == "dev (https://id.example.com), as admin (realm master)"


def test_unmanaged_attributes_are_wrapped_at_80_columns() -> None:
    made = realm("acme", Status.CHANGED, NAME, kept=True)
    kept = tuple(f"custom-{n}" for n in range(20))
    lines = plan_text(plan(replace(made, difference=replace(made.difference, unmanaged=kept))), 80)
    assert max(map(len, lines)) <= 80
    assert " ".join(map(str.strip, lines)).count("custom-") == 20


def test_a_plan_aligns_its_changes_and_counts_realms_and_fields() -> None:
    made = plan(
        realm("acme", Status.CHANGED, HOST, PORT, NAME, hidden=1, kept=True),
        realm("quiet", Status.IN_SYNC, hidden=2),
        realm("gone", Status.MISSING),
        realm("off", Status.CHANGED, NAME, disabled=True),
    )
    assert plan_text(made)[2:] == [
        "acme",
        "  ~ relay.host (Host)  old.example → new.example",
        "  + relay.port         587",
        "  - sender.name        Old",
        "    also written: relay.auth.password (secret from env:SMTP_PASSWORD)",
        "    unmanaged, preserved: custom",
        "",
        "gone  missing",
        "",
        "off",
        "  - sender.name  Old",
        "    the realm will have no e-mail settings at all",
        "",
        "Plan: 2 realms to change (4 fields: 1 to add, 1 to change, 2 to remove), 1 in sync, 1 missing.",
        f"2 passwords {NO_RECORD.format('them')}",
    ]


def test_warnings_about_lost_secrets_are_wrapped_at_80_columns() -> None:
    lost = {PASSWORD: "env:SMTP_PASSWORD_OF_EVERY_TENANT", "relay.auth.token.client_secret": ""}
    made = plan(replace(realm("acme", Status.CHANGED, HOST), losses=lost))
    assert plan_text(made, 80)[4:8] == [
        "    this overwrites a password that cannot be read back: relay.auth.password; it",
        "      last came from env:SMTP_PASSWORD_OF_EVERY_TENANT",
        "    this overwrites a password that cannot be read back:",
        "      relay.auth.token.client_secret",
    ]


def test_the_loss_of_an_earlier_value_of_the_same_reference_is_one_sentence_for_many_realms() -> None:
    planned = []
    for number in range(12):
        ref, one = (
            SecretRef(SecretKind.ENV, (f"KEY_{number}",)),
            realm(f"{number}-corp", Status.CHANGED, HOST, hidden=1),
        )
        planned.append(replace(one, wanted=replace(one.wanted, fields={PASSWORD: ref}), losses={PASSWORD: str(ref)}))
    same = "    this overwrites a password that cannot be read back: relay.auth.password; it last came from the same"
    assert [line for line in plan_text(plan(*planned)) if "cannot be read back" in line] == [f"{same} reference"]


def test_a_plan_says_that_a_stored_secret_is_kept() -> None:
    made = plan(realm("acme", Status.CHANGED, HOST, hidden=1), secrets=SecretMode.KEEP)
    assert "    kept as stored: relay.auth.password (secret from env:SMTP_PASSWORD)" in plan_text(made)


def test_a_changed_secret_is_not_listed_again_as_also_written() -> None:
    change = Change(PASSWORD, ("password",), Masked(), REF, Action.CHANGE)
    said = plan_text(plan(realm("acme", Status.CHANGED, change, hidden=1)))
    assert [one for one in said if PASSWORD in one] == ["  ~ relay.auth.password  new value from env:SMTP_PASSWORD"]


@pytest.mark.parametrize(
    ("realms", "said"),
    [
        ([], "0 realms in sync."),
        ([realm("a", Status.IN_SYNC)], "1 realm in sync."),
        ([realm("a", Status.IN_SYNC, hidden=1)], f"1 realm in sync; 1 password {NO_RECORD.format('it')}"),
        ([realm(str(n), Status.IN_SYNC, hidden=1) for n in range(1234)],
         f"1,234 realms in sync; 1,234 passwords {NO_RECORD.format('them')}"),
    ],
)  # fmt: skip
def test_a_plan_without_changes_is_one_line(realms: list[RealmPlan], said: str) -> None:
    assert plan_text(plan(*realms))[2:] == [said]


def test_a_result_lists_planned_realms_and_counts_all_realms() -> None:
    planned = [realm(name, Status.CHANGED, HOST) for name in "abc"] + [realm("d", Status.IN_SYNC)]
    ends = (Status.APPLIED, Status.FAILED, Status.SKIPPED, Status.IN_SYNC)
    realms = tuple(RealmOutcome.of(one).move_to(end, Step.PLANNED) for one, end in zip(planned, ends, strict=True))
    report = reports.of_result(Result(plan(*planned), realms, interrupted=True))
    assert text_lines(replace(report, next_step="ztrust-mail apply a.yaml --resume")) == [
        "a  applied",
        "b  failed",
        "c  skipped",
        "Interrupted: 1 realm applied, 1 in sync, 1 failed, 1 skipped; realms marked skipped were not touched.",
        "Fix the cause, then continue with: ztrust-mail apply a.yaml --resume",
    ]


def test_an_interrupted_run_that_wrote_all_realms_prints_no_continue_command() -> None:
    planned = [realm(name, Status.CHANGED, HOST) for name in "ab"]
    done = Result(plan(*planned), tuple(applied(one) for one in planned), interrupted=True)
    assert text_lines(reports.of_result(done)) == [
        "2 realms (a and b)  applied",
        "Interrupted: 2 realms applied; no realm was skipped.",
    ]


def test_a_json_plan_has_all_changes_masked_secrets_and_unmanaged_attributes() -> None:
    made = plan(
        realm("acme", Status.CHANGED, HOST, PORT, NAME, hidden=1, kept=True),
        realm("\ud800", Status.FAILED),
        own_findings=(WARNING,),
        uncovered=("x",),
    )
    document = JSON.document(reports.of_plan("plan", made, ExitStatus.PARTIAL))
    data = json.loads(document)
    report_validator().validate(data)
    assert document.isascii()
    assert document.endswith("}\n")
    assert (data["status"], data["exit_status"], data["server"]) == ("partial", 4, "https://id.example.com")
    assert data["summary"] == {"realms": 2, "changed": 1, "failed": 1}
    assert [c["action"] for c in data["realms"][0]["changes"]] == ["change", "add", "remove"]
    assert (data["realms"][0]["incomparable"], data["realms"][0]["kept"]) == ([PASSWORD], ["custom"])
    assert data["findings"][0]["rule"] == "odd"


# explain, test, doctor


def test_long_values_do_not_push_all_origins_to_the_right() -> None:
    entry = Entry("acme", Location("a.yaml", 2, 3))
    origin = Location("a.yaml", 4, 5)
    wanted = Desired("acme", entry, {"sender.name": "n" * 50, "relay.port": 25}, {"sender.name": origin})
    assert text_lines(reports.of_explained(wanted, ExitStatus.OK)) == [
        "acme  uses entry acme (a.yaml:2:3)",
        f"  sender.name  {'n' * 50}  a.yaml:4:5",
        f"  relay.port   25{' ' * 34}  by default",
    ]


def run_of(*statuses: MailTestStatus, email: str | None = "a@b.example") -> MailTestRun:
    proofs = {MailTestStatus.SENT: "sent over TLS", MailTestStatus.SKIPPED: "has no e-mail settings to test"}
    outcomes = tuple(MailTestOutcome(str(n), status, proofs.get(status, "")) for n, status in enumerate(statuses))
    return MailTestRun("https://id.example.com", Account("admin", "master", email), outcomes)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (run_of(MailTestStatus.FAILED), ["0  failed"]),
        (
            run_of(MailTestStatus.SENT, email=None),
            [
                "0  sent over TLS",
                "The mail went to an address this account may not see, the account admin of realm master.",
            ],
        ),
        (
            run_of(MailTestStatus.SENT, MailTestStatus.SENT, MailTestStatus.SKIPPED),
            [
                "2 realms (0 and 1)  sent over TLS",
                "2  has no e-mail settings to test",
                "Tested 3 realms: 2 sent, 1 skipped.",
                "The mails went to a@b.example, the account admin of realm master.",
            ],
        ),
    ],
)
def test_mail_tests_are_listed_one_by_one_and_counted(run: MailTestRun, said: list[str]) -> None:
    assert text_lines(reports.of_tests(run))[2:] == said
    report = JSON.mail_tests(reports.of_tests(run))
    report_validator().validate(report)
    assert report["recipient"] == run.account.email


def test_the_doctor_prints_a_hint_below_each_answer_that_is_not_yes() -> None:
    groups = (RealmGroup(("a", "b", "c", "d", "e"), "why", "what to do"), RealmGroup(("f",), "why else", "do that"))
    checks = (
        Check("reach and log in", True, "admin", "not needed"),
        Check("server version", None, "cannot be seen", "a hint"),
        Check("read", False, "in no realm", groups=groups),
    )
    able = (Support(Operation.PLAN, True, "by hand"), Support(Operation.CANARY, False, "--wave"))
    found = DoctorReport("https://id.example.com", checks, ExitStatus.PARTIAL, "Form", able)
    plain = shown([*doctor_lines(found), *doctor_verdict(found)])
    whole = shown([*doctor_lines(found, capabilities=True), *doctor_verdict(found)])
    assert plain == [
        "https://id.example.com",
        "  yes reach and log in        admin",
        "  ?   server version          cannot be seen",
        f"{'':8}a hint",
        "  no  read                    in no realm",
        "      not in `a`, `b`, `c` and 2 more: why",
        f"{'':8}what to do",
        "      not in `f`: why else",
        f"{'':8}do that",
        "1 check failed; 1 check could not be made.",
    ]
    table = ["What Form can do:", "  yes plan      by hand", "  no  --canary  --wave"]
    assert whole == [*plain[:-1], *table, plain[-1]]
    report = JSON.checks(reports.of_examination(found))
    report_validator().validate(report)
    assert [check["answer"] for check in report["checks"]] == [True, None, False]
    assert report["abilities"][1] == {"verb": "--canary", "able": False, "remark": "--wave"}
    assert report["checks"][2]["groups"][1] == {"realms": ["f"], "message": "why else", "hint": "do that"}


def test_the_report_of_an_unreachable_server_has_nothing_after_the_failed_check() -> None:
    checks = (Check("reach and log in", False, "cannot connect", "check the port"),)
    found = DoctorReport("https://id.example.com", checks, ExitStatus.UNREACHABLE, "Form", ())
    for capabilities in (False, True):
        assert shown(doctor_lines(found, capabilities=capabilities)) == [
            "https://id.example.com",
            "  no  reach and log in        cannot connect",
            f"{'':8}check the port",
        ]


def test_commands_to_run_are_in_the_json_report() -> None:
    report = JSON.commands(reports.of_commands("doctor", ["a", "b"]))
    report_validator().validate(report)
    assert report["commands"] == ["a", "b"]


def test_every_status_a_realm_can_have_is_in_the_report_schema() -> None:
    known = report_validator().schema["$defs"]["realm"]["properties"]["status"]["enum"]
    assert set(known) == {one.value for statuses in (Status, MailTestStatus, ProbedStatus) for one in statuses}


def test_a_report_never_contains_live_attributes_or_the_servers_login() -> None:
    made = plan(realm("acme", Status.IN_SYNC))
    live = LiveRealm("acme", {"password": "canary"}, 0.0)
    made = plan(*(RealmPlan(r.realm, r.status, r.wanted, live, r.difference) for r in made.realms))
    report = JSON.document(reports.of_plan("plan", made, ExitStatus.OK))
    assert "canary" not in report + "".join(plan_text(made)) + repr(Server("https://id.example.com"))
