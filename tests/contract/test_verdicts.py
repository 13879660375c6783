"""Broken relays, each seen by a server's own test and by the probe: the verdict is that of an expert."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trustme
from support.admin_api import AdminApi
from support.broken_relays import AT_ONCE, EHLO_NAME, SECRETS, SENT, TIMEOUT, BrokenRelays, Case
from support.keycloak_server import KEYCLOAK_26, KeycloakServer
from support.main_job import connected, spec_of
from support.postfix import Postfix, postfix
from support.results import rules, statuses
from support.server_under_test import SANDBOXES, ServerUnderTest, real_server, sandbox_server
from support.smtp import Relays

import ztrust_mail
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Severity
from ztrust_mail.diagnose.mail_test import MailTestOutcome, MailTestRun, MailTestStatus
from ztrust_mail.probing.options import ProbeOptions
from ztrust_mail.specfile.entries import Spec

__all__ = ["postfix"]

PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"
BEGIN, END = "<!-- observed: verdicts -->", "<!-- end of observed -->"
WRITE = "ZTRUST_MAIL_WRITE_VERDICTS"


@pytest.fixture(scope="module", params=["sandbox-26", "real-26"])
def server(request: pytest.FixtureRequest, ca_file: Path) -> Iterator[ServerUnderTest]:
    """The sandbox and a real Keycloak, which trust the authority of the tests."""
    if request.param in SANDBOXES:
        with sandbox_server(request.param, ca_file) as sandbox:
            yield sandbox
    else:
        with real_server(request.getfixturevalue("keycloak_26")) as real:
            yield real


@pytest.fixture(scope="module")
def broken(authority: trustme.CA, postfix: Postfix) -> Iterator[BrokenRelays]:
    with BrokenRelays(authority, postfix) as started:
        yield started


@pytest.fixture(scope="module")
def how(ca_file: Path) -> ProbeOptions:
    """How the relays are probed: by a name of its own, and with the authority of the tests."""
    return ProbeOptions(deadline=15, patience=1, ehlo_name=EHLO_NAME, ca_bundle=str(ca_file), allow_clear_login=True)


@pytest.fixture(scope="module")
def cases(server: ServerUnderTest, broken: BrokenRelays) -> Mapping[str, Case]:
    return {name: case for name, case in broken.cases.items() if server.is_real or not case.only_real}


@pytest.fixture(scope="module")
def run(server: ServerUnderTest, cases: Mapping[str, Case], how: ProbeOptions) -> Iterator[MailTestRun]:
    """The tests of all cases at once: those of a spec, then those of stored settings."""
    spec = spec_of({name: case.entry for name, case in cases.items() if not case.stored})
    stored = spec_of({name: case.entry for name, case in cases.items() if case.stored})
    more = {**SECRETS, "ZTRUST_MAIL_CONNECTIONS": "32"}
    admin = AdminApi(server.url, server.admin_user, server.admin_password)
    with admin.with_realms(cases), connected(server, spec, **more) as session:
        ztrust_mail.apply(ztrust_mail.plan(stored, session), session, spec=stored, allow=["all"])
        first = ztrust_mail.test(session, spec=spec, probe=how)
        second = ztrust_mail.test(session, [entry.name for entry in stored.entries], probe=how)
        diagnoses = (*first.diagnoses, *second.diagnoses)
        yield MailTestRun(first.url, first.account, (*first.outcomes, *second.outcomes), diagnoses)


def answer_of(outcome: MailTestOutcome) -> str:
    """Return what the server did, in classes that do not depend on the machine's load."""
    if outcome.status is MailTestStatus.SENT:
        return SENT
    return TIMEOUT if outcome.seconds >= 9.5 else AT_ONCE


def test_the_verdict_on_each_broken_relay_is_that_of_an_expert(run: MailTestRun, cases: Mapping[str, Case]) -> None:
    found = {realm: one.verdict for one in run.diagnoses for realm in one.realms}
    seen = {}
    for outcome in run.outcomes:
        verdict = found.get(outcome.realm)
        causes = verdict.possible_causes if verdict else ()
        rule = verdict.rule if verdict else ""
        seen[cases[outcome.realm].relay] = answer_of(outcome), rule, causes[0].id if causes else ""
    assert seen == {case.relay: (case.answer, case.rule, case.cause) for case in cases.values()}
    assert len(cases) >= 30


def test_a_verdict_is_a_finding_of_its_realm_and_fails_the_test(run: MailTestRun, cases: Mapping[str, Case]) -> None:
    for outcome in run.outcomes:
        case = cases[outcome.realm]
        assert [one.rule for one in outcome.findings if one.rule != "test-failed"] == ([case.rule] if case.rule else [])
        is_fine = case.answer == SENT and case.rule != "starttls-downgrade"
        assert outcome.exit_status is (ExitStatus.OK if is_fine else ExitStatus.DIFFERS)


def test_no_secret_is_in_a_report(run: MailTestRun) -> None:
    shown = repr(run.to_dict()) + repr(run.diagnoses) + repr(run.outcomes)
    assert [value for value in SECRETS.values() if value in shown] == []


def test_the_page_shows_what_a_real_server_and_the_probe_said(
    server: ServerUnderTest, run: MailTestRun, cases: Mapping[str, Case]
) -> None:
    if not server.is_real:
        return  # the page is about real servers
    table = "\n".join(table_of(run, cases))
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    shown, after = rest.split(END)
    if os.environ.get(WRITE):
        PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", "utf-8")
    else:
        assert shown.strip() == table, f"write the page anew: {WRITE}=1 pytest {Path(__file__).name}"


def table_of(run: MailTestRun, cases: Mapping[str, Case]) -> Iterator[str]:
    """Yield a row for each case: the answer of the server, what the probe saw, and the verdict."""
    diagnoses = {realm: one for one in run.diagnoses for realm in one.realms}
    yield "| relay | server | probe | verdict |"
    yield "| --- | --- | --- | --- |"
    for outcome in run.outcomes:
        one, answer = diagnoses.get(outcome.realm), answer_of(outcome)
        said = SENT if answer == SENT else f"failed, {answer}"
        if one is None:
            yield f"| {cases[outcome.realm].relay} | {said} | – | nothing to say |"
            continue
        failed, causes = one.probe.failure, one.verdict.possible_causes
        probe = f"{failed.stage.label} failed" if failed else "ok"
        more = f", first: {causes[0].id}" if causes else ""
        yield f"| {cases[outcome.realm].relay} | {said} | {probe} | `{one.verdict.rule}`{more} |"


def test_a_downgrade_passes_on_the_server_and_fails_here(server: ServerUnderTest, relays: Relays) -> None:
    relay = relays.with_login()
    auth = {"username": "relay-user", "password": {"env": "SMTP_PASSWORD"}}
    where = {"host": "localhost", "port": relay.port, "security": "starttls", "auth": auth}
    spec = spec_of({"downgrade": {"sender": {"address": "no-reply@acme.example"}, "relay": where}})
    admin = AdminApi(server.url, server.admin_user, server.admin_password)
    with admin.with_realms(["downgrade"]), connected(server, spec, **SECRETS) as session:
        own = ztrust_mail.test(session, spec=spec, probe=False)
        run = ztrust_mail.test(session, spec=spec)
    assert (statuses(own), own.exit_status) == ({"downgrade": "sent"}, ExitStatus.OK)
    assert (statuses(run), run.exit_status) == ({"downgrade": "sent"}, ExitStatus.DIFFERS)
    assert [(one.rule, one.severity) for one in run.findings] == [("starttls-downgrade", Severity.CRITICAL)]
    assert [(mail.tls, mail.login) for mail in relay.wait_for(2)] == [(False, "relay-user")] * 2


@pytest.fixture(scope="module")
def without_truststore() -> Iterator[ServerUnderTest]:
    """A real Keycloak that does not trust the authority of the tests."""
    with KeycloakServer(KEYCLOAK_26) as keycloak, real_server(keycloak) as real:
        admin = AdminApi(real.url, real.admin_user, real.admin_password)
        admin.set_email("master", real.admin_user, "admin@sandbox.example")
        admin.close()
        yield real


def test_a_server_without_the_authority_in_its_truststore_is_told_so(
    without_truststore: ServerUnderTest, relays: Relays, how: ProbeOptions
) -> None:
    relay = relays.starttls()

    def spec_with(security: str) -> Spec:
        where = {"host": "localhost", "port": relay.port, "security": security}
        return spec_of({"trust": {"sender": {"address": "no-reply@acme.example"}, "relay": where}})

    server = without_truststore
    admin = AdminApi(server.url, server.admin_user, server.admin_password)
    with admin.with_realms(["trust"]), connected(server) as session:
        run = ztrust_mail.test(session, spec=spec_with("starttls"), probe=how)
        unencrypted = ztrust_mail.test(session, spec=spec_with("none"), probe=how)
    assert rules(run) == ["test-failed", "server-only"]
    cause = run.diagnoses[0].verdict.possible_causes[0]
    assert (cause.id, cause.is_likely) == ("truststore", True)
    assert statuses(unencrypted) == {"trust": "sent"}  # Java leaves a STARTTLS alone that the settings do not ask for
