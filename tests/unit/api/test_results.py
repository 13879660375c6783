"""What all results have in common: one line of text, all findings, an error where something failed, a report."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.cli import report_validator
from support.mail_settings import BASIC, NO_LOGIN

import ztrust_mail
from ztrust_mail.api.session import Session
from ztrust_mail.cli.main import run
from ztrust_mail.core.errors import (
    ExitStatus,
    MailTestFailed,
    RealmMissing,
    ResultError,
    SecretError,
    ZtrustMailError,
)
from ztrust_mail.core.results import ResultMethods
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.specfile.entries import Spec

LOGIN = {"ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": "admin"}
SECRET = "relay-Passw0rd"


@pytest.fixture
def session(ztrust_sandbox: Sandbox) -> Iterator[Session]:
    with ztrust_mail.connect(ztrust_sandbox.url, environ={**LOGIN, "SMTP_PASSWORD": SECRET}) as opened:
        yield opened


def spec_of(**realms: object) -> Spec:
    return ztrust_mail.load_spec({"version": 1, "realms": realms})


def results(session: Session) -> dict[str, ResultMethods]:
    spec = spec_of(acme=BASIC, globex=NO_LOGIN, missing=NO_LOGIN)
    made = ztrust_mail.plan(spec, session)
    return {
        "plan": made,
        "apply": ztrust_mail.apply(made, session),
        "drift": ztrust_mail.drift(spec, session),
        "test": ztrust_mail.test(session, ["acme"]),
        "probe": ztrust_mail.probe(session, ["acme"], options=ztrust_mail.ProbeOptions(deadline=5.0)),
        "check": ztrust_mail.check("starttls", session, ["acme"]),
        "doctor": ztrust_mail.doctor(session),
        "pull": ztrust_mail.pull(session),
    }


def test_the_report_of_each_result_follows_the_schema_and_names_its_command(session):
    for command, result in results(session).items():
        report = result.to_dict()
        report_validator().validate(json.loads(json.dumps(report)))
        assert (report["command"], report["exit_status"]) == (command, result.exit_status)


def test_the_report_of_a_plan_is_what_the_command_prints(session, ztrust_sandbox, tmp_path, monkeypatch, capsys):
    for name, value in {**LOGIN, "SMTP_PASSWORD": SECRET}.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "mail.json"
    path.write_text(json.dumps({"version": 1, "realms": {"acme": BASIC, "missing": NO_LOGIN}}), encoding="utf-8")
    report = ztrust_mail.plan(ztrust_mail.load_spec(str(path)), session).to_dict()
    assert run(["plan", str(path), "--server", ztrust_sandbox.url, "--format", "json"]) == ExitStatus.PARTIAL
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(report))


def test_a_result_is_shown_in_one_short_line_without_a_secret(session, ztrust_sandbox):
    for result in results(session).values():
        for text in (str(result), repr(result), str(RuntimeError(result)), repr(RuntimeError(result))):
            assert len(text) < 160
            assert "\n" not in text
            assert SECRET not in text
    made = ztrust_mail.plan(spec_of(acme=BASIC, missing=NO_LOGIN), session)
    assert str(made) == f"{ztrust_sandbox.url}: 2 realms: 1 in sync, 1 missing"
    assert repr(made) == f"<Plan {made}>"
    assert repr(made.realms) == "(<RealmPlan `acme`: in_sync>, <RealmPlan `missing`: missing>)"


def test_findings_are_all_those_of_the_realms_too(session):
    made = ztrust_mail.plan(spec_of(acme=NO_LOGIN, missing=NO_LOGIN), session)
    assert [(f.rule, f.realm) for f in made.findings] == [("no-realm", "missing")]
    assert [(f.rule, f.realm) for f in ztrust_mail.apply(made, session).findings] == [("no-realm", "missing")]


def test_a_result_without_a_failure_raises_nothing(session):
    made = ztrust_mail.plan(spec_of(acme=NO_LOGIN), session)
    assert made.exit_status is ExitStatus.DIFFERS
    made.raise_for_status()  # changes are what a plan is for
    ztrust_mail.apply(made, session).raise_for_status()
    ztrust_mail.drift(spec_of(acme=NO_LOGIN), session).raise_for_status()


def test_a_missing_realm_and_an_unresolved_secret_raise_their_own_errors(session):
    with pytest.raises(RealmMissing, match=r"1 missing; realm missing: there is no realm `missing`") as missing:
        ztrust_mail.plan(spec_of(missing=NO_LOGIN), session).raise_for_status()
    assert missing.value.exit_status is ExitStatus.PARTIAL
    assert [finding.rule for finding in missing.value.findings] == ["no-realm"]
    unset = {**BASIC, "relay": {"host": "h.example", "auth": {"username": "u", "password": {"env": "UNSET"}}}}
    result = ztrust_mail.apply(ztrust_mail.plan(spec_of(acme=unset), session), session)
    with pytest.raises(SecretError, match="`UNSET` is not set"):
        result.raise_for_status()
    both = ztrust_mail.plan(spec_of(acme=unset, missing=NO_LOGIN), session)
    with pytest.raises(ResultError, match=r"\(and 1 more\)") as several:
        ztrust_mail.apply(both, session).raise_for_status()
    assert [f.realm for f in several.value.findings if f.severity is ztrust_mail.core.findings.Severity.ERROR] == [
        "acme",
        "missing",
    ]


def test_a_failed_test_mail_and_drift_raise(session, ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", {"host": "127.0.0.1", "port": "1", "from": "a@acme.example"})
    with pytest.raises(MailTestFailed) as failed:
        ztrust_mail.test(session, ["acme"]).raise_for_status()
    assert failed.value.exit_status is ExitStatus.DIFFERS
    with pytest.raises(ResultError, match="1 drifted") as drifted:
        ztrust_mail.drift(spec_of(acme=NO_LOGIN), session).raise_for_status()
    assert drifted.value.exit_status is ExitStatus.DIFFERS
    assert issubclass(ResultError, ZtrustMailError)


def test_every_result_has_its_realms(session):
    found = results(session)
    names = {verb: [realm.realm for realm in found[verb].realms] for verb in ("plan", "apply", "drift", "test")}
    assert names["test"] == ["acme"]
    assert names["plan"] == names["apply"] == ["acme", "globex", "missing"]
    assert names["drift"] == ["acme", "globex", "missing"]
