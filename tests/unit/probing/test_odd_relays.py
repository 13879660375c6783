"""Relays that break the protocol, hang, or lie: the probe always ends with an outcome that says what happened."""

from __future__ import annotations

import pytest
from support.relays import OddRelays, Talk, answering, converse

from ztrust_mail.core.findings import Severity
from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, Stage

EHLO = b"250-odd\r\n250-SIZE 1000\r\n250 AUTH PLAIN LOGIN\r\n"
STARTTLS = b"250-odd\r\n250 STARTTLS\r\n"


def failure(outcome: RelayOutcome) -> tuple[Stage, str]:
    assert outcome.failure is not None, outcome
    return outcome.failure.stage, outcome.failure.rule


def test_a_plain_relay_goes_through_all_stages(odd_relays: OddRelays, look) -> None:
    outcome = look(odd_relays(answering({"EHLO": EHLO})).settings(), to="a@b.example", send=False)
    tested = {one.stage for one in outcome.stages if one.status is not ProbeStatus.NOT_TESTED}
    assert outcome.status is ProbeStatus.OK, outcome
    assert tested == {
        *(Stage.NAME, Stage.CONNECT, Stage.BANNER, Stage.EHLO),
        *(Stage.SENDER, Stage.RECIPIENT, Stage.QUIT),
    }
    assert outcome.features == ("SIZE 1000", "AUTH PLAIN LOGIN")
    assert [one.status for one in outcome.addresses] == [ProbeStatus.OK]


@pytest.mark.parametrize(
    ("script", "stage", "rule"),
    [
        (answering(banner=b"421 4.7.0 too many connections\r\n"), Stage.BANNER, "relay-refuses"),
        (answering(banner=b"554 no\r\n"), Stage.BANNER, "relay-refuses"),
        (answering(banner=b"SSH-2.0-OpenSSH_9.2\r\n"), Stage.BANNER, "relay-protocol"),
        (answering(banner=b"HTTP/1.1 400 Bad Request\r\n\r\n"), Stage.BANNER, "relay-protocol"),
        (answering(banner=b"220 " + b"x" * 100_000 + b"\r\n"), Stage.BANNER, "relay-protocol"),
        (answering(banner=b"220-more\r\n" * 20_000), Stage.BANNER, "relay-protocol"),
        (answering(banner=b"\xff\xfe\x80\r\n"), Stage.BANNER, "relay-protocol"),
        (answering(banner=b"2\r\n"), Stage.BANNER, "relay-protocol"),
        (answering(banner=b"\x00\x00\r\n"), Stage.BANNER, "relay-protocol"),
        (lambda talk: talk.close(), Stage.BANNER, "relay-closed"),
        (lambda talk: (talk.say(b"220 hi\r\n"), talk.hear(), talk.close()), Stage.EHLO, "relay-closed"),
        (answering(dict.fromkeys(("EHLO", "HELO"), b"504 5.5.2 need a name\r\n")), Stage.EHLO, "relay-ehlo"),
        (lambda talk: (talk.say(b"220 hi\r\n"), talk.hear(), talk.say(b"421 (EHLO)\r\n")), Stage.EHLO, "relay-ehlo"),
        (answering({"EHLO": b"250-x\r\n" + b"250-y\r\n" * 20_000}), Stage.EHLO, "relay-protocol"),
        (answering({"MAIL": b"550 5.7.1 Sender address rejected\r\n"}), Stage.SENDER, "relay-sender"),
        (answering({"MAIL": b"451 4.7.1 later\r\n"}), Stage.SENDER, "relay-defers"),
        (answering({"MAIL": b"530 5.7.0 Authentication required\r\n"}), Stage.SENDER, "relay-needs-login"),
        (answering({"MAIL": b"530 Must issue a STARTTLS command first\r\n"}), Stage.SENDER, "relay-needs-starttls"),
        (answering({"MAIL": b"451 5.7.3 STARTTLS is required\r\n"}), Stage.SENDER, "relay-needs-starttls"),
        (answering({"RCPT": b"554 5.7.1 Email address is not verified\r\n"}), Stage.RECIPIENT, "relay-recipient"),
        (answering({"RCPT": b"450 4.2.0 Greylisted\r\n"}), Stage.RECIPIENT, "relay-defers"),
        (answering({"RCPT": b"504 5.5.2 <x>: Helo command rejected\r\n"}), Stage.RECIPIENT, "relay-ehlo"),
        (answering({"DATA": b"354 go\r\n", "": b"", ".": b"554 5.6.0 no\r\n"}), Stage.MESSAGE, "relay-message"),
        (answering({"DATA": b"503 no\r\n"}), Stage.MESSAGE, "relay-message"),
    ],
)  # fmt: skip
def test_what_a_relay_refuses_or_breaks_has_a_stage_and_a_rule(odd_relays, look, script, stage, rule) -> None:
    if stage is Stage.MESSAGE and rule == "relay-message":
        script = _with_message(script)
    outcome = look(odd_relays(script).settings(), to="a@b.example", send=stage is Stage.MESSAGE)
    assert failure(outcome) == (stage, rule)
    after = outcome.stages[[one.stage for one in outcome.stages].index(stage) + 1 :]
    assert {one.status for one in after} == {ProbeStatus.NOT_TESTED}


def test_a_relay_that_takes_helo_only_is_asked_on_and_offers_no_starttls(odd_relays: OddRelays, look) -> None:
    relay = odd_relays(answering({"EHLO": b"502 5.5.1 what?\r\n"}))
    outcome = look(relay.settings(), to="a@b.example")
    assert outcome.status is ProbeStatus.OK
    assert outcome.stage(Stage.EHLO).detail.startswith("takes HELO only")
    outcome = look(relay.settings(Security.STARTTLS))
    assert failure(outcome) == (Stage.STARTTLS, "relay-no-starttls")


def _with_message(script):
    """Answer nothing to the lines of a message, which are no commands."""
    refusal = b"503 no\r\n"

    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while (line := talk.hear().upper()) != b"QUIT":
            talk.say(refusal if line == b"DATA" else b"250 OK\r\n")

    return play


def test_a_message_is_refused_after_its_end(odd_relays: OddRelays, look) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while talk.hear().upper() != b"DATA":
            talk.say(b"250 OK\r\n")
        talk.say(b"354 go\r\n")
        while talk.hear() != b".":
            pass
        talk.say(b"554 5.6.0 spam\r\n")
        converse(talk, {})

    outcome = look(odd_relays(play).settings(), to="a@b.example", send=True)
    assert failure(outcome) == (Stage.MESSAGE, "relay-message")
    assert outcome.message_id == ""


@pytest.mark.parametrize("said", [b"", b"2", b"220-"])
def test_a_tarpit_ends_by_the_deadline(odd_relays: OddRelays, look, said: bytes) -> None:
    relay = odd_relays(lambda talk: talk.drip(said + b"x" * 10_000, 0.05))
    outcome = look(relay.settings(), deadline=0.6)
    assert failure(outcome) == (Stage.BANNER, "relay-slow")


def test_a_reply_that_never_ends_ends_by_the_deadline(odd_relays: OddRelays, look) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        talk.drip(b"250-x\r\n" * 10_000, 0.02)

    assert failure(look(odd_relays(play).settings(), deadline=0.6)) == (Stage.EHLO, "relay-slow")


def test_a_line_that_never_ends_is_not_read_until_the_deadline(odd_relays: OddRelays, look) -> None:
    def play(talk: Talk) -> None:
        while True:
            talk.say(b"x" * 1_000)

    assert failure(look(odd_relays(play).settings(), deadline=600)) == (Stage.BANNER, "relay-protocol")


def test_a_relay_that_accepts_and_stays_silent_is_slow(odd_relays: OddRelays, look) -> None:
    relay = odd_relays(Talk.wait_for_the_end)
    outcome = look(relay.settings(Security.STARTTLS), deadline=0.8, patience=0.1)
    assert failure(outcome) == (Stage.BANNER, "relay-slow")
    assert relay.connections == 2  # the second asks whether the port expects TLS


def test_a_handshake_that_does_not_end_is_slow_and_not_broken(odd_relays: OddRelays, look) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while talk.hear() != b"STARTTLS":
            talk.say(STARTTLS)
        talk.say(b"220 go\r\n")
        talk.wait_for_the_end()

    outcome = look(odd_relays(play).settings(Security.STARTTLS), deadline=0.5)
    assert failure(outcome) == (Stage.STARTTLS, "relay-slow")
    outcome = look(odd_relays(Talk.wait_for_the_end).settings(Security.TLS), deadline=0.5)
    assert failure(outcome) == (Stage.TLS, "relay-slow")


def test_nobody_waits_long_for_the_reply_to_quit(odd_relays: OddRelays, look) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while talk.hear() != b"QUIT":
            talk.say(b"250 OK\r\n")
        talk.wait_for_the_end()

    outcome = look(odd_relays(play).settings(), patience=0.1, deadline=600)
    assert outcome.status is ProbeStatus.OK
    assert outcome.stage(Stage.QUIT).detail == "closed without a reply"


def test_a_relay_that_greets_late_passes(odd_relays: OddRelays, look) -> None:
    def play(talk: Talk) -> None:
        talk.pause(0.3)
        answering()(talk)

    assert look(odd_relays(play).settings(), patience=0.05).status is ProbeStatus.OK


def test_terminal_escapes_and_8_bit_text_are_made_visible(odd_relays: OddRelays, look) -> None:
    relay = odd_relays(answering(banner=b"220 \x1b]0;owned\x07\x1b[2J caf\xc3\xa9 \xff\xe2\x80\xae\r\n"))
    outcome = look(relay.settings())
    text = outcome.stage(Stage.BANNER).detail
    assert outcome.status is ProbeStatus.OK
    assert "\x1b" not in text
    assert "\\x1b[2J café \\xff\\u202e" in text


def test_long_replies_are_cut(odd_relays: OddRelays, look) -> None:
    outcome = look(odd_relays(answering({"MAIL": b"550 " + b"y" * 5_000 + b"\r\n"})).settings())
    assert len(outcome.failure.detail) < 500


def test_plain_text_after_the_reply_to_starttls_is_critical(odd_relays: OddRelays, look) -> None:
    relay = odd_relays(answering({"EHLO": STARTTLS, "STARTTLS": b"220 go\r\n250 injected\r\n"}))
    outcome = look(relay.settings(Security.STARTTLS))
    assert failure(outcome) == (Stage.STARTTLS, "relay-injection")
    assert outcome.failure.finding.severity is Severity.CRITICAL


def test_a_relay_without_starttls_is_critical(odd_relays: OddRelays, look) -> None:
    outcome = look(odd_relays(answering({"EHLO": EHLO})).settings(Security.STARTTLS))
    assert failure(outcome) == (Stage.STARTTLS, "relay-no-starttls")
    assert outcome.failure.finding.severity is Severity.CRITICAL
    assert outcome.offers_starttls is False


@pytest.mark.parametrize("reply", [b"454 TLS not available\r\n", b"220 go\r\n"])
def test_a_starttls_that_does_not_come_about_fails(odd_relays: OddRelays, look, reply: bytes) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while talk.hear() != b"STARTTLS":
            talk.say(STARTTLS)
        talk.say(reply)
        talk.hear()
        talk.say(b"this is no TLS\r\n")

    assert failure(look(odd_relays(play).settings(Security.STARTTLS))) == (Stage.STARTTLS, "relay-tls")


def test_a_relay_that_offers_starttls_to_settings_without_it_is_a_warning(odd_relays: OddRelays, look) -> None:
    outcome = look(odd_relays(answering({"EHLO": STARTTLS})).settings())
    assert outcome.status is ProbeStatus.WARNING
    assert outcome.stage(Stage.EHLO).rule == "relay-offers-starttls"


def test_the_name_in_ehlo_is_the_given_one(odd_relays: OddRelays, look) -> None:
    outcome = look(odd_relays(answering()).settings(), ehlo_name="id.acme.example")
    assert " -> ehlo id.acme.example" in [f"{one.mark} {one.text}" for one in outcome.transcript]


def test_the_transcript_marks_what_was_sent_received_and_refused(odd_relays: OddRelays, look) -> None:
    outcome = look(odd_relays(answering({"MAIL": b"550 no\r\n"})).settings(), ehlo_name="a.example")
    assert [f"{one.mark} {one.text}" for one in outcome.transcript] == [
        "<-  220 odd ESMTP",
        " -> ehlo a.example",
        "<-  250 OK",
        " -> mail FROM:<no-reply@acme.example>",
        "<** 550 no",
        " -> QUIT",
    ]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("name", Stage.NAME),
        ("connect", Stage.CONNECT),
        ("banner", Stage.BANNER),
        ("ehlo", Stage.EHLO),
        ("ehlo-tls", Stage.EHLO),
        ("login", Stage.EHLO),
        ("mail-from", Stage.SENDER),
    ],
)
def test_until_stops_after_a_stage_and_says_good_bye(odd_relays: OddRelays, look, until: str, last: Stage) -> None:
    outcome = look(odd_relays(answering()).settings(), until=Stage(until), to="a@b.example")
    tested = [one.stage for one in outcome.stages if one.status is ProbeStatus.OK]
    assert [one for one in tested if one is not Stage.QUIT][-1] is last
    assert (Stage.QUIT in tested) is (until != "name")


def test_senders_are_tried_in_one_dialogue_until_three_are_refused(odd_relays: OddRelays, look) -> None:
    relay = odd_relays(answering({"MAIL": b"550 no\r\n"}))
    outcome = look(relay.settings(), senders=[f"a{n}@acme.example" for n in range(9)])
    assert [one.status for one in outcome.senders].count(ProbeStatus.FAILED) == 3
    assert relay.connections == 1
    assert "2 more senders" in outcome.failure.detail


def test_a_sender_with_other_than_ascii_needs_smtputf8(odd_relays: OddRelays, look) -> None:
    outcome = look(odd_relays(answering()).settings(), senders=["bücher@acme.example"])
    assert failure(outcome) == (Stage.SENDER, "relay-sender")
    relay = odd_relays(answering({"EHLO": b"250-x\r\n250 SMTPUTF8\r\n"}))
    assert look(relay.settings(), senders=["bücher@acme.example"]).status is ProbeStatus.OK


def test_line_breaks_in_an_address_are_not_sent(odd_relays: OddRelays, look) -> None:
    relay = odd_relays(answering())
    outcome = look(relay.settings(), senders=["a@b.example>\r\nRSET"])
    assert failure(outcome) == (Stage.SENDER, "relay-sender")
    assert not any("RSET" in one.text or "MAIL" in one.text for one in outcome.transcript)


def test_a_login_without_an_offer_is_reported(odd_relays: OddRelays, look) -> None:
    relay = odd_relays(answering()).settings(login=Login.BASIC, username="u")
    outcome = look(relay, secret="pw-canary", allow_clear_login=True)
    assert failure(outcome) == (Stage.LOGIN, "relay-no-login")
