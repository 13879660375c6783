"""The verdict engine: one row for each thing that it has to tell apart, without a server and without a relay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.diagnose.evidence import Evidence, ServerAnswer
from ztrust_mail.diagnose.verdict import Verdict, judge
from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing.options import stages_of
from ztrust_mail.probing.outcome import (
    AddressOutcome,
    CertificateFacts,
    ProbeStatus,
    RelayOutcome,
    Reply,
    Stage,
    StageOutcome,
    TlsFacts,
)
from ztrust_mail.probing.relay import Relay

PLAIN = Relay("smtp.acme.example", 25, Security.NONE)
STARTTLS = replace(PLAIN, port=587, security=Security.STARTTLS)
LOGIN = replace(STARTTLS, login=Login.BASIC, username="apikey", secret=SecretRef(SecretKind.ENV, ("PW",)))
TOKEN = replace(LOGIN, login=Login.TOKEN, token_url="https://login.example/token")
SENT, REFUSED = ServerAnswer(True, "", 0.4), ServerAnswer(False, "the server says `Failed to send email`", 0.6)
WAITED = replace(REFUSED, seconds=10.1)


def probe(
    relay: Relay,
    failed: StageOutcome | None = None,
    *,
    untested: Sequence[Stage] = (Stage.MESSAGE,),
    features: Sequence[str] = ("AUTH PLAIN LOGIN",),
    slow: Stage | None = None,
) -> RelayOutcome:
    """Return the outcome of a probe that passes all stages, or those before the failed one."""
    stages: list[StageOutcome] = []
    is_over = False
    for stage in stages_of(relay):
        if failed and stage is failed.stage:
            stages.append(failed)
            is_over = True
        elif is_over or stage in untested:
            stages.append(StageOutcome(stage, ProbeStatus.NOT_TESTED, "left out"))
        else:
            stages.append(StageOutcome(stage, ProbeStatus.OK, seconds=12.0 if stage is slow else 0.01))
    addresses = (AddressOutcome("203.0.113.25", ProbeStatus.OK),)
    total = sum(one.seconds for one in stages)
    return RelayOutcome(relay, tuple(stages), addresses=addresses, features=tuple(features), seconds=total)


def failing(stage: Stage, rule: str, reply: Reply | None = None, seconds: float = 0.01) -> StageOutcome:
    finding = Finding(Severity.ERROR, rule, "it fails", "look at it")
    return StageOutcome(stage, ProbeStatus.FAILED, "it fails", seconds, reply, finding=finding)


def evidence(answer: ServerAnswer, found: RelayOutcome, **more: object) -> Evidence:
    return Evidence("acme", answer, found, found.failure, **more)  # type: ignore[arg-type]  # the tests' own values


def verdict(answer: ServerAnswer, found: RelayOutcome, **more: object) -> Verdict:
    judged = judge(evidence(answer, found, **more))
    assert judged is not None
    return judged


def ids(judged: Verdict) -> list[str]:
    return [one.id for one in judged.possible_causes]


def test_what_the_probe_sees_is_the_cause() -> None:
    judged = verdict(REFUSED, probe(STARTTLS, failing(Stage.STARTTLS, "relay-certificate-expired")))
    assert (judged.rule, judged.cause) == ("relay-certificate-expired", "The relay's certificate has expired.")
    assert judged.next_step == "renew the certificate on smtp.acme.example; then ztrust-mail test acme"
    assert judged.possible_causes == ()


def test_a_command_to_copy_has_the_host_as_one_word() -> None:
    judged = verdict(REFUSED, probe(replace(PLAIN, host="a;id")))
    checks = {one.id: one.check for one in judged.possible_causes}
    assert checks["resolution"] == "resolve the name on the server's machine: getent ahosts 'a;id'"


@pytest.mark.parametrize("rule", ["relay-name", "relay-unreachable", "relay-refuses", "relay-closed"])
def test_a_relay_that_only_the_server_may_reach_is_to_be_probed_beside_it(rule: str) -> None:
    found = probe(PLAIN, failing(Stage.CONNECT, rule))
    elsewhere = verdict(REFUSED, found)
    assert "server" in elsewhere.explanation
    assert elsewhere.next_step.endswith("ztrust-mail probe acme --as kubernetes-job")
    assert "kubernetes" not in verdict(REFUSED, found, is_local_server=True).next_step


def test_a_reply_of_the_reply_book_is_explained_in_its_words() -> None:
    reply = Reply(535, "5.7.139 Authentication unsuccessful, basic authentication is disabled.", "5.7.139")
    found = probe(replace(LOGIN, host="smtp.office365.com"), failing(Stage.LOGIN, "relay-login-refused", reply))
    judged = verdict(REFUSED, found)
    assert "turned off for the tenant" in judged.explanation
    assert judged.next_step.startswith("log in with a token: ztrust-mail presets m365")


def test_an_unknown_reply_is_shown_as_it_is() -> None:
    reply = Reply(571, "no thanks")
    judged = verdict(REFUSED, probe(PLAIN, failing(Stage.SENDER, "relay-sender", reply)))
    assert judged.cause == "The relay refuses the sender: 571 no thanks."
    assert judged.next_step == "look at it; then ztrust-mail test acme"


def test_a_check_that_fails_everywhere_comes_before_an_issuer_that_a_truststore_may_know() -> None:
    found = probe(STARTTLS, failing(Stage.STARTTLS, "relay-certificate-issuer"))
    facts = TlsFacts("TLSv1.3", "x", (), ("relay-certificate-issuer", "relay-certificate-name"))
    assert verdict(REFUSED, replace(found, tls=facts)).rule == "relay-certificate-name"
    assert "--ca-bundle FILE" in verdict(REFUSED, found).explanation


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (probe(PLAIN), ["ehlo-name", "source-address", "egress", "resolution", "message"]),
        (probe(STARTTLS), ["ehlo-name", "source-address", "egress", "resolution", "truststore", "message"]),
        (probe(LOGIN), ["ehlo-name", "source-address", "egress", "resolution", "truststore", "message"]),
        (probe(TOKEN), ["ehlo-name", "source-address", "egress", "resolution", "truststore", "token", "message"]),
        (probe(replace(PLAIN, host="203.0.113.25")), ["ehlo-name", "source-address", "egress", "message"]),
        (
            probe(PLAIN, untested=(Stage.RECIPIENT, Stage.MESSAGE)),
            ["ehlo-name", "source-address", "egress", "resolution", "recipient", "message"],
        ),
    ],
)
def test_where_the_probe_passes_the_causes_come_in_the_order_to_check(found: RelayOutcome, expected: list[str]) -> None:
    judged = verdict(REFUSED, found)
    assert (judged.rule, ids(judged)) == ("server-only", expected)
    assert "ztrust-mail probe acme --as kubernetes-job" in judged.next_step


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ({"has_own_trust": True}, "truststore"),
        ({}, "ehlo-name"),
    ],
)
def test_what_is_known_puts_the_likely_cause_first(more: dict[str, object], first: str) -> None:
    assert ids(verdict(REFUSED, probe(STARTTLS), **more))[0] == first


def test_a_server_that_waited_got_no_answer_so_that_no_refusal_can_be_the_cause() -> None:
    judged = verdict(WAITED, probe(TOKEN))
    assert judged.rule == "server-timeout"
    assert ids(judged) == ["source-address", "egress", "resolution", "timeout", "token"]


@pytest.mark.parametrize(
    ("version", "words"), [((26, 4, 0), "cannot wait longer"), ((26, 7, 4), "relay.timeouts"), ((), "relay.timeouts")]
)
def test_a_relay_slower_than_the_server_waits_is_named_by_version(version: tuple[int, ...], words: str) -> None:
    judged = verdict(WAITED, probe(PLAIN, slow=Stage.BANNER), version=version)
    cause = judged.possible_causes[0]
    assert (cause.id, cause.is_likely) == ("timeout", True)
    assert "takes 12 s for banner" in cause.text
    assert words in cause.text


def test_time_outs_of_the_settings_move_the_limit() -> None:
    assert verdict(replace(REFUSED, seconds=2.0), probe(PLAIN), gives_up_after=2.0).rule == "server-timeout"
    assert verdict(WAITED, probe(PLAIN), gives_up_after=30.0).rule == "server-only"


def test_a_server_that_waited_does_not_fail_for_what_the_relay_says_at_once() -> None:
    judged = verdict(WAITED, probe(LOGIN, failing(Stage.LOGIN, "relay-login-refused")))
    assert judged.rule == "server-timeout"
    assert "From here the relay fails, too, at login" in judged.explanation


@pytest.mark.parametrize("rule", ["relay-slow", "relay-speaks-tls", "relay-protocol"])
def test_a_server_that_waited_fits_a_relay_that_lets_it_wait(rule: str) -> None:
    assert verdict(WAITED, probe(PLAIN, failing(Stage.BANNER, rule))).rule == rule


def test_a_login_that_was_not_tested_comes_before_all_other_causes() -> None:
    untested = (Stage.LOGIN, Stage.SENDER, Stage.RECIPIENT, Stage.MESSAGE)
    judged = verdict(REFUSED, probe(LOGIN, untested=untested), has_own_trust=True)
    assert (judged.rule, ids(judged)[0]) == ("login-unknown", "secret")
    masked = verdict(REFUSED, probe(replace(LOGIN, secret=None), untested=untested))
    assert masked.next_step == "test with the secret's reference: ztrust-mail test acme --spec SPEC"
    clear = verdict(REFUSED, probe(replace(LOGIN, security=Security.NONE), untested=untested))
    assert clear.next_step.endswith("ztrust-mail probe acme --allow-clear-login")


def test_localhost_means_another_machine_to_a_server_elsewhere() -> None:
    found = replace(probe(PLAIN), addresses=(AddressOutcome("127.0.0.1", ProbeStatus.OK),))
    assert ids(verdict(REFUSED, found))[0] == "loopback"
    assert ids(verdict(REFUSED, found, is_local_server=True)) == ["ehlo-name", "loopback", "message"]


def test_a_first_address_that_does_not_work_explains_the_difference() -> None:
    warned = Finding(Severity.WARNING, "relay-address", "the first address does not work")
    connect = StageOutcome(Stage.CONNECT, ProbeStatus.WARNING, finding=warned)
    found = probe(PLAIN)
    stages = tuple(connect if one.stage is Stage.CONNECT else one for one in found.stages)
    judged = verdict(REFUSED, replace(found, stages=stages))
    assert (ids(judged)[0], judged.possible_causes[0].is_likely) == ("resolution", True)


def test_a_recipient_that_is_refused_without_a_login_hints_at_the_login() -> None:
    reply = Reply(554, "5.7.1 Access denied", "5.7.1")
    judged = verdict(REFUSED, probe(STARTTLS, failing(Stage.RECIPIENT, "relay-recipient", reply)))
    assert "the settings have none" in judged.explanation


def test_a_mail_that_was_sent_in_clear_text_is_critical_and_fails() -> None:
    judged = verdict(SENT, probe(LOGIN, failing(Stage.STARTTLS, "relay-no-starttls")))
    assert (judged.rule, judged.severity, judged.is_failure) == ("starttls-downgrade", Severity.CRITICAL, True)
    assert "the password and the mail in clear text" in judged.cause
    assert judged.next_step.endswith("then rotate the password")
    assert "password" not in verdict(SENT, probe(STARTTLS, failing(Stage.STARTTLS, "relay-no-starttls"))).cause


def test_plain_text_after_starttls_is_critical_also_if_the_mail_was_sent() -> None:
    found = failing(Stage.STARTTLS, "relay-injection")
    assert found.finding is not None
    critical = replace(found, finding=replace(found.finding, severity=Severity.CRITICAL))
    judged = verdict(SENT, probe(STARTTLS, critical))
    assert (judged.rule, judged.is_failure) == ("relay-injection", True)


def test_a_relay_that_is_silent_here_only_is_said_to_refuse_the_server() -> None:
    judged = verdict(REFUSED, probe(PLAIN, failing(Stage.BANNER, "relay-slow")))
    assert "The server failed after 0.6 s" in judged.explanation


def test_a_login_that_the_relay_does_not_offer_is_a_warning() -> None:
    judged = verdict(SENT, probe(LOGIN, features=("SIZE 1000",)))
    assert (judged.rule, judged.severity, judged.is_failure) == ("login-skipped", Severity.WARNING, False)


def test_a_certificate_that_the_server_should_not_accept_is_a_warning() -> None:
    found = probe(STARTTLS, failing(Stage.STARTTLS, "relay-certificate-name"))
    assert verdict(SENT, found).rule == "certificate-not-checked"
    assert judge(evidence(SENT, probe(STARTTLS, failing(Stage.STARTTLS, "relay-certificate-issuer")))) is None


def test_a_certificate_that_expires_soon_is_a_warning_although_the_mail_was_sent() -> None:
    found = probe(STARTTLS)
    soon = Finding(Severity.WARNING, "relay-certificate-expires", "it expires", "renew it")
    stages = tuple(replace(one, finding=soon) if one.stage is Stage.STARTTLS else one for one in found.stages)
    day = datetime(2026, 1, 31, tzinfo=UTC)
    chain = tuple(CertificateFacts("CN=a", "CN=b", (), day, day, left) for left in (5, 300))
    judged = verdict(SENT, replace(found, stages=stages, tls=TlsFacts("TLSv1.3", "AES", chain)))
    assert (judged.rule, judged.severity, judged.is_failure) == (soon.rule, Severity.WARNING, False)
    assert (judged.cause, judged.next_step) == ("The relay's certificate expires in 5 days.", "renew it")


def test_there_is_nothing_to_say_of_a_mail_that_was_sent_as_the_settings_say() -> None:
    assert judge(evidence(SENT, probe(LOGIN))) is None
    assert judge(evidence(SENT, probe(LOGIN, failing(Stage.CONNECT, "relay-unreachable")))) is None


def test_the_finding_of_a_verdict_names_the_realm_and_says_what_was_seen() -> None:
    found = verdict(REFUSED, probe(PLAIN, failing(Stage.CONNECT, "relay-unreachable"))).finding_on("acme")
    assert (found.rule, found.realm, found.severity) == ("relay-unreachable", "acme", Severity.ERROR)
    assert "From here: it fails." in found.message
    assert found.hint
