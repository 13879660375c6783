"""Logging in: by which mechanism, when not at all, and never with a secret in what is shown."""

from __future__ import annotations

import base64

import pytest
from support.relays import OddRelays, Talk, answering

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.model.fields import Login
from ztrust_mail.probing.line import Record
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, Stage

PASSWORD = "pässwörd-Кана"
BOTH = b"250-odd\r\n250 AUTH PLAIN LOGIN\r\n"
PLAIN = b"250-odd\r\n250 AUTH PLAIN\r\n"


def scripted(*steps: bytes, offer: bytes = BOTH, heard: list[bytes] | None = None):
    """Return a script that offers a login, and answers the lines after that in order."""

    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        talk.hear()
        talk.say(offer)
        for reply in steps:
            line = talk.hear()
            if heard is not None:
                heard.append(line)
            talk.say(reply)
        while (line := talk.hear()) != b"QUIT":
            talk.say(b"250 OK\r\n")
        talk.say(b"221 bye\r\n")

    return play


def log_in(odd_relays: OddRelays, look, script, secret: str = PASSWORD, **more: object) -> RelayOutcome:
    relay = odd_relays(script).settings(login=Login.BASIC, username="üser")
    return look(relay, secret=secret, allow_clear_login=True, **more)


def texts(outcome: RelayOutcome) -> str:
    return repr(outcome) + "".join(one.text for one in outcome.transcript)


def assert_hidden(outcome: RelayOutcome, secret: str = PASSWORD) -> None:
    for shown in (
        secret,
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(b"\0" + secret.encode()).decode(),
    ):
        assert shown not in texts(outcome)


def test_a_password_that_is_not_ascii_is_sent_as_utf_8(odd_relays: OddRelays, look) -> None:
    heard: list[bytes] = []
    outcome = log_in(odd_relays, look, scripted(b"235 ok\r\n", offer=PLAIN, heard=heard))
    assert outcome.stage(Stage.LOGIN).status is ProbeStatus.OK
    assert heard[0].startswith(b"AUTH PLAIN ")
    assert base64.b64decode(heard[0].split()[2]) == f"\0üser\0{PASSWORD}".encode()
    assert outcome.stage(Stage.SENDER).status is ProbeStatus.OK
    assert_hidden(outcome)


def test_login_sends_user_name_and_password_one_after_the_other(odd_relays: OddRelays, look) -> None:
    heard: list[bytes] = []
    steps = [b"334 VXNlcm5hbWU6\r\n", b"334 \xff\xfe junk!\r\n", b"235 ok\r\n"]
    outcome = log_in(odd_relays, look, scripted(*steps, heard=heard))
    assert outcome.stage(Stage.LOGIN).detail == "LOGIN as üser accepted"  # Java's first choice of both
    assert [base64.b64decode(line) for line in heard[1:]] == ["üser".encode(), PASSWORD.encode()]
    assert_hidden(outcome)


@pytest.mark.parametrize("reply", [b"504 no such mechanism\r\n", b"502 not implemented\r\n"])
def test_another_mechanism_is_tried_where_the_first_is_a_lie(odd_relays: OddRelays, look, reply: bytes) -> None:
    outcome = log_in(odd_relays, look, scripted(reply, b"235 ok\r\n"))
    assert outcome.stage(Stage.LOGIN).detail == "PLAIN as üser accepted"


def test_a_refused_login_is_tried_once_and_its_reply_is_shown(odd_relays: OddRelays, look) -> None:
    heard: list[bytes] = []
    outcome = log_in(odd_relays, look, scripted(b"535 5.7.8 bad credentials\r\n", offer=PLAIN, heard=heard))
    failed = outcome.failure
    assert (failed.stage, failed.rule, failed.reply.enhanced) == (Stage.LOGIN, "relay-login-refused", "5.7.8")
    assert len(heard) == 1
    assert outcome.stage(Stage.SENDER).status is ProbeStatus.NOT_TESTED


def test_a_relay_that_repeats_the_login_shows_no_secret(odd_relays: OddRelays, look) -> None:
    encoded = base64.b64encode(f"\0üser\0{PASSWORD}".encode())
    reply = b"535-5.7.8 " + encoded + b"\r\n535 " + PASSWORD.encode() + b"\r\n"
    for steps, offer in (([reply], PLAIN), ([b"334 x\r\n", b"334 y\r\n", reply], BOTH)):
        outcome = log_in(odd_relays, look, scripted(*steps, offer=offer))
        assert outcome.failure.rule == "relay-login-refused"
        assert_hidden(outcome)


@pytest.mark.parametrize("filler", [" " * 3_990, "{secret}" * 102])
def test_a_secret_at_the_end_of_what_is_searched_is_not_shown(filler: str) -> None:
    secret = "s3cr3t-canary" * 3
    redactor = Redactor()
    redactor.add([Secret(secret)])
    shown = Record("relay", redactor.redact).show(filler.format(secret=secret) + secret * 2)
    assert "s3cr3t" not in shown


def test_only_other_mechanisms_are_not_tested_or_wrong(odd_relays: OddRelays, look) -> None:
    outcome = log_in(odd_relays, look, scripted(offer=b"250-x\r\n250 AUTH DIGEST-MD5 NTLM\r\n"))
    assert outcome.stage(Stage.LOGIN).status is ProbeStatus.NOT_TESTED
    assert (outcome.status, outcome.exit_status) == (ProbeStatus.NOT_TESTED, ExitStatus.OK)
    outcome = log_in(odd_relays, look, scripted(offer=b"250-x\r\n250 AUTH XOAUTH2\r\n"))
    assert outcome.failure.rule == "relay-login-method"


def test_a_login_is_not_sent_on_a_clear_line(odd_relays: OddRelays, look) -> None:
    heard: list[bytes] = []
    relay = odd_relays(scripted(offer=BOTH, heard=heard)).settings(login=Login.BASIC, username="u")
    outcome = look(relay, secret=PASSWORD)
    stage = outcome.stage(Stage.LOGIN)
    assert (stage.status, stage.rule) == (ProbeStatus.NOT_TESTED, "relay-login-not-tested")
    assert stage.finding.severity is Severity.NOTE
    assert "--allow-clear-login" in stage.detail
    assert not any("AUTH" in one.text for one in outcome.transcript if one.sent)
    assert outcome.stage(Stage.SENDER).status is ProbeStatus.NOT_TESTED
    assert outcome.status is ProbeStatus.NOT_TESTED


def test_no_object_of_a_dialogue_shows_the_secret_in_its_repr(odd_relays: OddRelays, look) -> None:
    outcome = log_in(odd_relays, look, lambda talk: (talk.say(b"220 x\r\n"), talk.hear(), talk.say(BOTH), talk.hear()))
    assert outcome.failure.rule == "relay-closed"
    assert_hidden(outcome)


def test_a_plain_login_that_is_asked_again_is_refused_without_an_answer(odd_relays: OddRelays, look) -> None:
    outcome = log_in(odd_relays, look, answering({"EHLO": BOTH, "AUTH": b"334 \r\n"}))
    assert outcome.failure.rule == "relay-login-refused"
