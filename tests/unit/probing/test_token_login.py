"""Logging in by XOAUTH2: the token is fetched as Keycloak fetches it, and shown only by its claims."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from support.relays import OddRelays, Talk
from support.token_endpoint import token_endpoint, unsigned_token

from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, Stage
from ztrust_mail.probing.relay import Relay

SECRET = "client-s3cret-canary"
CLAIMS = {"aud": "https://outlook.office.com", "roles": ["SMTP.SendAsApp"], "exp": 4_102_444_800}
TOKEN = unsigned_token(CLAIMS)


def relay_script(*replies: bytes, heard: list[bytes]):
    """Return a relay's script that offers XOAUTH2, and answers the lines after that in order."""

    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        talk.hear()
        talk.say(b"250-x\r\n250 AUTH XOAUTH2 LOGIN\r\n")
        for reply in replies:
            heard.append(talk.hear())
            talk.say(reply)
        while talk.hear() != b"QUIT":
            talk.say(b"250 OK\r\n")
        talk.say(b"221 bye\r\n")

    return play


@pytest.fixture
def log_in(odd_relays: OddRelays, look, authority: trustme.CA, ca_file: Path):
    def run(answer: object, *replies: bytes, status: int = 200, scope: str = "mail", **more: object):
        heard: list[bytes] = []
        with token_endpoint(authority, answer, status) as endpoint:
            relay: Relay = replace(
                odd_relays(relay_script(*replies, heard=heard)).settings(login=Login.TOKEN, username="u@acme.example"),
                token_url=endpoint.url,
                token_client_id="mailer",
                token_scope=scope,
            )
            outcome = look(relay, secret=SECRET, ca_bundle=str(ca_file), allow_clear_login=True, **more)
        return outcome, heard, endpoint.forms

    return run


def assert_hidden(outcome: RelayOutcome) -> None:
    for secret in (SECRET, TOKEN, base64.b64encode(TOKEN.encode()).decode()[:40]):
        assert secret not in repr(outcome)


def test_one_post_fetches_the_token_and_its_claims_are_shown(log_in, caplog) -> None:
    caplog.set_level("DEBUG", "ztrust_mail.requests")
    outcome, heard, forms = log_in({"access_token": TOKEN, "expires_in": 3600}, b"235 ok\r\n")
    assert re.search(r"^POST localhost:\d+/token: 200$", "\n".join(caplog.messages), re.MULTILINE)
    assert not any(secret in caplog.text for secret in (SECRET, TOKEN))
    assert outcome.status is ProbeStatus.OK, outcome
    assert forms == [
        {
            "client_id": ["mailer"],
            "client_secret": [SECRET],
            "scope": ["mail"],
            "grant_type": ["client_credentials"],
        }
    ]
    assert (outcome.token.audience, outcome.token.roles) == (("https://outlook.office.com",), ("SMTP.SendAsApp",))
    assert "until 2100-01-01" in outcome.stage(Stage.TOKEN).detail
    assert base64.b64decode(heard[0].split()[2]) == f"user=u@acme.example\x01auth=Bearer {TOKEN}\x01\x01".encode()
    assert_hidden(outcome)


def test_no_scope_is_sent_where_the_settings_have_none(log_in) -> None:
    _, _, forms = log_in({"access_token": "opaque"}, b"235 ok\r\n", scope="")
    assert "scope" not in forms[0]


def test_the_error_in_the_challenge_is_decoded_and_answered_by_an_empty_line(log_in) -> None:
    error = base64.b64encode(json.dumps({"status": "401", "schemes": "bearer", "scope": "x"}).encode())
    outcome, heard, _ = log_in({"access_token": TOKEN}, b"334 " + error + b"\r\n", b"535 5.7.3 failed\r\n")
    assert outcome.failure.rule == "relay-login-refused"
    assert "its error: status 401, schemes bearer, scope x" in outcome.failure.detail
    assert heard[1] == b""
    assert_hidden(outcome)


@pytest.mark.parametrize("challenge", [b"334 =\xff=\r\n", b"334 \r\n", b"334 " + base64.b64encode(b"[1") + b"\r\n"])
def test_a_junk_challenge_is_no_error_of_ours(log_in, challenge: bytes) -> None:
    outcome, _, _ = log_in({"access_token": TOKEN}, challenge, b"535 no\r\n")
    assert outcome.failure.rule == "relay-login-refused"


def test_a_challenge_that_repeats_the_token_is_not_shown(log_in) -> None:
    echo = base64.b64encode(json.dumps({"token": TOKEN}).encode())
    outcome, _, _ = log_in({"access_token": TOKEN}, b"334 " + echo + b"\r\n", b"535 no\r\n")
    assert_hidden(outcome)


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (401, {"error": "invalid_client", "error_description": f"AADSTS7000215 {SECRET}"}, "`invalid_client`"),
        (200, {"no": "token"}, "something else than a token"),
        (500, b"<html>", "answered 500"),
        (302, b"", "redirect"),
    ],
)
def test_a_refused_token_says_what_the_server_says(log_in, status: int, answer: object, words: str) -> None:
    outcome, heard, forms = log_in(answer, status=status)
    failed = outcome.failure
    assert (failed.stage, failed.rule) == (Stage.TOKEN, "relay-token")
    assert words in failed.detail or status == 302
    assert (heard, len(forms)) == ([], 1)
    assert_hidden(outcome)


def test_no_token_is_fetched_for_a_relay_without_xoauth2(log_in, odd_relays, look) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        talk.hear()
        talk.say(b"250-x\r\n250 AUTH PLAIN\r\n")
        talk.hear()

    relay = replace(
        odd_relays(play).settings(login=Login.TOKEN, username="u"),
        token_url="https://127.0.0.1:1/",
        token_client_id="i",
    )
    outcome = look(relay, secret=SECRET, allow_clear_login=True)
    assert (outcome.failure.stage, outcome.failure.rule) == (Stage.TOKEN, "relay-login-method")


def test_a_secret_is_not_sent_to_a_token_url_without_https(odd_relays, look) -> None:
    heard: list[bytes] = []
    relay = replace(
        odd_relays(relay_script(heard=heard)).settings(Security.NONE, login=Login.TOKEN, username="u"),
        token_url="http://127.0.0.1:1/token",
    )
    outcome = look(relay, secret=SECRET, allow_clear_login=True)
    assert outcome.stage(Stage.TOKEN).status is ProbeStatus.NOT_TESTED
    assert outcome.stage(Stage.LOGIN).status is ProbeStatus.NOT_TESTED
    assert outcome.status is ProbeStatus.NOT_TESTED
