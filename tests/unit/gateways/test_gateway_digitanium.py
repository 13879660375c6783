"""The Digitanium gateway with documented and undocumented answers."""

from __future__ import annotations

import json

import pytest
import requests
from support.published import UNDOCUMENTED_ANSWERS

from ztrust_mail.core.errors import (
    NOT_THE_API,
    TOO_BUSY,
    ConfigError,
    MailTestFailed,
    RealmError,
    RealmUnreadable,
    ServerRefused,
    ServerUnreachable,
)
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.digitanium import DIGITANIUM
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.digitanium import DigitaniumGateway
from ztrust_mail.gateways.gateway import Account
from ztrust_mail.settings import Server

PASSWORD = "canary-password"
SHIFT = "https://shift.example.com/auth"
SETUP = f"{SHIFT}/realms/acme/mail/setup"
TEST = f"{SHIFT}/realms/acme/mail/test"
DONE = {"message": "Successfully updated SMTP Details", "status": "OK", "subSystem": 8}
SENT = {"message": "Mail Sent Successfully to the user", "status": "OK", "subSystem": 8}
SAMPLE = {
    "replyToDisplayName": "Receiver",
    "starttls": "true",
    "port": "587",
    "host": "smtp.gmail.com",
    "replyTo": "help@acme.example",
    "from": "ops@acme.example",
    "fromDisplayName": "From KC Test team",
    "ssl": "false",
    "user": "ops@acme.example",
    "password": Secret(PASSWORD),
}
SAMPLE_BODY = {**SAMPLE, "envelopeFrom": "", "password": PASSWORD}


def gateway(url: str = SHIFT, token: str | None = "tok-en") -> DigitaniumGateway:
    opened = connect(Server(url, gateway="digitanium", token=Secret(token) if token is not None else None))
    assert isinstance(opened, DigitaniumGateway)
    return opened


def refused(kind: type[Exception] = RealmError, doing: str = "write"):
    with pytest.raises(kind) as e:
        getattr(gateway(), doing)("acme", SAMPLE)
    assert PASSWORD not in repr(vars(e.value))
    assert e.value.hint
    return e.value


def test_the_vendors_sample_goes_out_as_text_with_what_is_not_set_left_empty(answers):
    answers.post(SETUP, json=DONE)
    gateway().write("acme", SAMPLE)
    (call,) = answers.calls
    assert json.loads(call.request.body) == SAMPLE_BODY
    assert call.request.headers["Authorization"] == "Bearer tok-en"
    assert call.request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("url", "realm", "setup", "test"),
    [
        (
            "https://ssms.example.com",
            "acme",
            "https://acme.ssms.example.com/digitanium/v4/mail/config",
            "https://acme.ssms.example.com/digitanium/v4/mail/test",
        ),
        (
            "https://ssms.example.com:8443",
            "acme-2",
            "https://acme-2.ssms.example.com:8443/digitanium/v4/mail/config",
            "https://acme-2.ssms.example.com:8443/digitanium/v4/mail/test",
        ),
        (SHIFT, "a/b c", f"{SHIFT}/realms/a%2Fb%20c/mail/setup", f"{SHIFT}/realms/a%2Fb%20c/mail/test"),
    ],
)
def test_the_url_says_which_of_the_two_forms_it_is(answers, url, realm, setup, test):
    answers.post(setup, json=DONE)
    answers.post(test, json=SENT)
    gateway(url).write(realm, SAMPLE)
    gateway(url).test(realm, {})
    assert [call.request.url for call in answers.calls] == [setup, test]
    assert json.loads(answers.calls[1].request.body) == {"mailType": "TEST"}


@pytest.mark.parametrize("url", ["https://shift.example.com/auth/realms", "https://shift.example.com/digitanium"])
def test_a_url_of_an_unknown_form_is_refused(url):
    with pytest.raises(ConfigError, match="is not a URL of Digitanium") as e:
        gateway(url)
    assert "SSMS" in e.value.hint


@pytest.mark.parametrize("tenant", ["evil.example/", "a.b", "Acme", "", "-a", "a" * 64, "a@b", "..", "é"])
def test_a_tenant_that_would_be_another_host_is_refused_before_anything_is_sent(answers, tenant):
    for doing in ("write", "test"):
        with pytest.raises(RealmError, match="is not a valid tenant name"):
            getattr(gateway("https://ssms.example.com"), doing)(tenant, SAMPLE)
    assert len(answers.calls) == 0


@pytest.mark.parametrize("tenant", ["", ".", ".."])
def test_a_tenant_that_would_be_another_path_is_refused_before_anything_is_sent(answers, tenant):
    with pytest.raises(RealmError, match="cannot be used in a URL"):
        gateway().write(tenant, SAMPLE)
    assert len(answers.calls) == 0


def test_a_missing_field_is_reported_with_the_servers_message(answers):
    said = "Host and From is mandatory to update Email Configuration."
    answers.post(SETUP, status=400, json={"message": said, "status": "BAD_REQUEST"})
    e = refused()
    assert said in e.message
    assert e.rule == "server-says"


def test_a_password_quoted_by_the_server_is_redacted(answers):
    answers.post(SETUP, status=400, json={"message": f"bad {PASSWORD}"})
    assert "bad …" in refused().message


@pytest.mark.parametrize("doing", ["write", "test"])
def test_a_refused_token_fails_that_tenant_alone(answers, doing):
    answers.post(SETUP if doing == "write" else TEST, status=401, body="HTTP 401 Unauthorized")
    e = refused(doing=doing)
    assert e.rule == "token-refused"
    assert "ZTRUST_MAIL_TOKEN" in e.hint
    assert len(answers.calls) == 1


def test_a_test_for_a_user_who_is_not_there_names_whom_the_mail_goes_to(answers):
    answers.post(TEST, status=404, json={"message": "User does not exist", "status": "USER_NOT_FOUND"})
    e = refused(MailTestFailed, "test")
    assert "User does not exist" in e.message
    assert "token's user" in e.hint


UNDOCUMENTED = {
    **UNDOCUMENTED_ANSWERS,
    "half-json": {"status": 200, "body": '{"status": "O', "content_type": "application/json"},
    "list": {"status": 200, "json": ["OK"]},
    "not-ok": {"status": 200, "json": {"message": "no", "status": "FAILED"}},
    "204": {"status": 204},
}


@pytest.mark.parametrize("doing", ["write", "test"])
@pytest.mark.parametrize("answer", UNDOCUMENTED.values(), ids=UNDOCUMENTED)
def test_an_undocumented_answer_is_an_unknown_outcome_with_a_next_step(answers, answer, doing):
    answers.post(SETUP if doing == "write" else TEST, **answer)
    e = refused(doing=doing)
    assert e.rule == NOT_THE_API
    assert "Digitanium does not document" in e.message
    assert "run the same command again" in e.hint
    assert len(answers.calls) == 1


@pytest.mark.parametrize(
    ("failure", "kind", "rule"),
    [
        (requests.ReadTimeout(), ServerUnreachable, "slow"),
        (requests.ConnectionError("broken"), ServerUnreachable, "reset"),
        (requests.exceptions.ChunkedEncodingError(), ServerUnreachable, "reset"),
        (requests.ConnectTimeout(), RealmError, "unreachable"),
        (requests.exceptions.SSLError(), RealmError, "tls"),
    ],
)
@pytest.mark.parametrize("doing", ["write", "test"])
def test_a_request_that_may_have_arrived_differs_from_one_that_did_not(answers, doing, failure, kind, rule):
    answers.post(SETUP if doing == "write" else TEST, body=failure)
    assert refused(kind, doing).rule == rule
    repeated = doing == "write" and rule == "reset"
    assert len(answers.calls) == (2 if repeated else 1)  # no test mail is sent twice


def test_a_write_that_was_cut_off_may_have_arrived_whatever_its_repetition_returns(answers):
    answers.post(SETUP, body=requests.ConnectionError("broken"))
    answers.post(SETUP, body=requests.ConnectTimeout())
    assert refused(ServerUnreachable).rule == "reset"


def test_a_write_that_was_cut_off_is_sent_once_more(answers):
    answers.post(SETUP, body=requests.ConnectionError("broken"))
    answers.post(SETUP, json=DONE)
    gateway().write("acme", SAMPLE)
    assert [json.loads(call.request.body) for call in answers.calls] == [SAMPLE_BODY] * 2


def test_a_write_waits_for_a_busy_server_and_a_test_does_not(answers):
    answers.post(SETUP, status=503, headers={"Retry-After": "0"})
    answers.post(SETUP, json=DONE)
    answers.post(TEST, status=503)
    gateway().write("acme", SAMPLE)
    told = refused(doing="test")
    assert (told.rule, "is too busy, or not up: it answers 503" in told.message) == (TOO_BUSY, True)
    assert [call.request.url for call in answers.calls] == [SETUP, SETUP, TEST]


def test_a_tenant_whose_host_is_down_does_not_delay_the_others(answers):
    ssms = gateway("https://ssms.example.com")
    answers.post("https://ok.ssms.example.com/digitanium/v4/mail/config", json=DONE)
    answers.post("https://down.ssms.example.com/digitanium/v4/mail/config", body=requests.ConnectTimeout())
    for _ in range(5):
        with pytest.raises(RealmError):
            ssms.write("down", SAMPLE)
    ssms.write("ok", SAMPLE)
    asked = [call.request.url.partition(".")[0] for call in answers.calls]
    assert asked == ["https://down"] * 3 + ["https://ok"]  # then it counts as down
    ssms.allow_probe()
    with pytest.raises(RealmError):
        ssms.write("down", SAMPLE)
    assert len(answers.calls) == 5
    ssms.stop_waiting()
    ssms.close()


def test_every_realm_of_a_write_only_product_is_reported_as_unreadable(answers):
    opened = gateway()
    assert not opened.capabilities.read
    reading = opened.read(["acme"], everything=True)
    assert isinstance(reading.realms["acme"], RealmUnreadable)
    assert not reading.complete
    with pytest.raises(RealmUnreadable, match="cannot show"):
        opened.read_one("acme")
    assert (opened.realms(), opened.version(), opened.may_write("acme")) == ([], (), None)
    assert len(answers.calls) == 0


@pytest.mark.parametrize(
    ("token", "rule"), [(None, "no-login"), ("two words", "token-refused"), ("a\nb", "token-refused")]
)
def test_a_token_that_cannot_be_sent_is_refused_at_once(answers, token, rule):
    with pytest.raises(ServerRefused) as e:
        gateway(token=token).login()
    assert e.value.rule == rule
    with pytest.raises(ServerRefused):
        gateway(token=token).write("acme", SAMPLE)
    assert len(answers.calls) == 0


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("opaque", "the owner of the given token"),
        ("e30.eyJjbGllbnRfaWQiOiAiY2kifQ.x", "ci"),
        ("e30.eyJzdWIiOiA3fQ.x", "the owner of the given token"),
    ],
)
def test_the_account_is_taken_from_the_token(token, name):
    opened = gateway(token=token)
    opened.login()
    assert opened.account() == Account(name, "", None)
    assert str(opened.account()) == opened.account().phrase == name


def test_the_password_is_not_part_of_the_table():
    assert DIGITANIUM.mask_secrets({"password": PASSWORD}) == {"password": DIGITANIUM.mask}


@pytest.mark.parametrize("doing", ["write", "test"])
def test_a_redirect_is_not_followed(answers, doing):
    answers.post(SETUP if doing == "write" else TEST, status=307, headers={"Location": "https://evil.example/"})
    e = refused(doing=doing)
    assert (e.rule, "evil.example" in e.message) == ("redirect", True)
    assert len(answers.calls) == 1
