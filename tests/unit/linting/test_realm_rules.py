"""The rules about the settings of one realm: what each finds, and what it leaves alone."""

from __future__ import annotations

from datetime import date
from typing import cast

import pytest

import ztrust_mail
from ztrust_mail.api.spec_types import SpecDict
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.linting.lint import REALM_RULES
from ztrust_mail.providers.presets import all_presets

TODAY = date(2026, 11, 29)
PASSWORD = {"env": "KEY"}
LOGIN = {"username": "u", "password": PASSWORD}
TOKEN = {"url": "https://login.example/token", "client_id": "c", "client_secret": PASSWORD}
ADDRESS = {"username": "me@acme.example", "password": PASSWORD}


def lint(entry: dict[str, object], today: date = TODAY, select: str = "all") -> list[Finding]:
    spec = cast("SpecDict", {"version": 1, "realms": {"r": entry}})
    options = ztrust_mail.LintOptions(select=(select,), ignore=("no-envelope-from",), today=today)
    return list(ztrust_mail.lint(spec, options=options).findings)


def relay(today: date = TODAY, **settings: object) -> list[str]:
    """Return the rules that find something in a relay."""
    entry: dict[str, object] = {"sender": {"address": "no-reply@acme.example"}, "relay": settings}
    return [one.rule for one in lint(entry, today)]


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        ({"host": "smtp.acme.example", "security": "none"}, ["no-encryption"]),
        ({"host": "smtp.acme.example", "security": "none", "auth": LOGIN}, ["clear-text-login"]),
        ({"host": "localhost", "security": "none"}, ["loopback-relay"]),
        ({"host": "127.0.0.2"}, ["loopback-relay"]),
        ({"host": "::1"}, ["loopback-relay"]),
        ({"host": "10.0.0.1"}, []),
        ({"host": "localhost.acme.example"}, []),
        ({"preset": "mailpit"}, []),
        ({"host": "smtp.acme.example", "port": 25}, ["port-25"]),
        ({"host": "smtp.acme.example", "port": 465}, ["port-security"]),
        ({"host": "smtp.acme.example", "port": 587, "security": "tls"}, ["port-security"]),
    ],
)
def test_a_relay_that_is_questionable(settings: dict[str, object], rules: list[str]) -> None:
    assert relay(**settings) == rules


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        ({"preset": "sendgrid", "auth": LOGIN}, ["provider-username"]),
        ({"preset": "sendgrid", "auth": {"password": PASSWORD}}, []),
        ({"preset": "sendgrid"}, ["provider-login"]),
        ({"host": "SMTP.SendGrid.net.", "auth": LOGIN}, ["provider-username"]),
        ({"preset": "sendgrid", "auth": {"token": {**TOKEN, "scope": "s"}}}, ["provider-login"]),
        ({"host": "smtp.postmarkapp.com", "port": 465, "security": "tls", "auth": LOGIN}, ["provider-port"]),
        ({"host": "smtp.gmail.com", "auth": LOGIN}, ["provider-username"]),
        ({"host": "smtp.gmail.com", "auth": ADDRESS}, []),
        ({"host": "smtp.gmail.com", "port": 465, "auth": ADDRESS}, ["port-security"]),
        ({"host": "smtp.gmail.com", "auth": {**ADDRESS, "username": "me@other.example"}}, ["provider-sender"]),
        ({"host": "smtp-mail.outlook.com", "auth": ADDRESS}, ["provider-login"]),
        ({"host": "smtp-relay.gmail.com"}, []),
        ({"preset": "mailtrap-sandbox", "port": 465, "security": "starttls", "auth": LOGIN}, []),
        ({"host": "email-smtp.eu-west-1.amazonaws.com", "port": 2465, "security": "tls", "auth": LOGIN}, []),
    ],
)  # fmt: skip
def test_a_provider_gets_only_what_it_accepts(settings: dict[str, object], rules: list[str]) -> None:
    assert relay(**settings) == rules


def test_a_token_login_without_a_scope_is_found() -> None:
    assert relay(host="smtp.acme.example", auth={"username": "u", "token": TOKEN}) == ["oauth-no-scope"]
    assert relay(host="smtp.acme.example", auth={"username": "u", "token": {**TOKEN, "scope": "s"}}) == []


@pytest.mark.parametrize(
    ("today", "words"),
    [
        (date(2026, 6, 1), ""),
        (date(2026, 7, 4), "turns off"),
        (date(2026, 12, 31), "turns off"),
        (date(2027, 1, 1), "turned off"),
    ],
)
def test_a_deprecation_is_reported_from_180_days_before(today: date, words: str) -> None:
    entry = {"sender": {"address": "me@acme.example"}, "relay": {"preset": "m365", "auth": ADDRESS}}
    found = lint(entry, today)
    assert [one.rule for one in found] == (["m365-basic-2026-12"] if words else [])
    assert all(f"{words} logins by password by default at the end of December 2026" in one.message for one in found)


def test_every_deprecation_of_a_provider_has_a_rule() -> None:
    ids = {one.id for preset in all_presets() for one in preset.deprecations}
    assert ids <= {rule.rule for rule in REALM_RULES}


@pytest.mark.parametrize(
    ("today", "words"),
    [
        (date(2026, 12, 31), ""),
        (date(2027, 1, 1), "expires in 30 days, on 2027-01-31"),
        (date(2027, 1, 30), "expires in 1 day, on"),
        (date(2027, 1, 31), "expires today, on"),
        (date(2027, 2, 1), "expired, on 2027-01-31"),
    ],
)
def test_a_secret_that_expires_soon_is_found(today: date, words: str) -> None:
    auth = {**LOGIN, "expires": "2027-01-31"}
    entry: dict[str, object] = {
        "sender": {"address": "a@acme.example"},
        "relay": {"host": "smtp.acme.example", "auth": auth},
    }
    found = lint(entry, today)
    assert [one.rule for one in found] == (["auth-expires"] if words else [])
    assert all(words in one.message for one in found)


def test_the_date_of_an_inherited_login_goes_with_its_secret() -> None:
    defaults = {"sender": {"address": "a@acme.example"}, "relay": {"host": "h.example", "auth": {**LOGIN, "expires": "2026-12-01"}}}  # fmt: skip  # noqa: E501
    own = {"relay": {"auth": {"password": {"env": "OTHER"}}}}
    spec = {"version": 1, "defaults": defaults, "realms": {"a": {}, "b": own}}
    options = ztrust_mail.LintOptions(today=TODAY)
    (found,) = ztrust_mail.lint(cast("SpecDict", spec), options=options).findings
    assert (found.rule, found.realm) == ("auth-expires", "a")


@pytest.mark.parametrize("date", ["2027-02-30", "2027-13-01", "soon", "27-01-01"])
def test_an_impossible_date_is_an_error(date: str) -> None:
    entry: dict[str, object] = {"sender": {"address": "a@acme.example"}, "relay": {"host": "h", "auth": {**LOGIN, "expires": date}}}  # fmt: skip  # noqa: E501
    (found,) = lint(entry)
    assert found.severity is Severity.ERROR
    assert "relay.auth.expires" in found.message


@pytest.mark.parametrize(
    ("entry", "rules"),
    [
        ({"sender": {"address": "acme@gmail.com"}}, ["free-mail-sender"]),
        ({"sender": {"address": "a@acme.example", "name": "PayPal <help@paypal.example>"}}, ["name-imitates-address"]),
        ({"sender": {"address": "a@acme.example", "name": "help@acme.example"}}, []),
        ({"sender": {"address": "a@acme.example", "name": "Us @ Acme"}}, []),
        ({"sender": {"address": "a@acme.example"}, "reply_to": {"address": "A@acme.example"}}, ["reply-to-is-sender"]),
    ],
)
def test_a_sender_that_is_questionable(entry: dict[str, object], rules: list[str]) -> None:
    assert [one.rule for one in lint({**entry, "relay": {"host": "smtp.acme.example"}})] == rules


def test_a_personal_account_is_a_note() -> None:
    auth = {"username": "jo@gmail.com", "password": PASSWORD}
    found = lint({"sender": {"address": "jo@gmail.com"}, "relay": {"host": "smtp.gmail.com", "auth": auth}})
    assert [(one.rule, one.severity) for one in found] == [("personal-account", Severity.NOTE)]


def test_a_missing_envelope_sender_is_found_only_where_it_is_asked_for() -> None:
    entry: dict[str, object] = {"sender": {"address": "a@acme.example"}, "relay": {"host": "smtp.acme.example"}}
    spec = cast("SpecDict", {"version": 1, "realms": {"r": entry}})
    options = ztrust_mail.LintOptions(select=("default,no-envelope-from",))
    assert ztrust_mail.validate(spec)[1] == []
    assert [one.rule for one in ztrust_mail.lint(spec, options=options).findings] == ["no-envelope-from"]


def test_a_login_that_too_many_realms_share_is_one_finding() -> None:
    relay = {"host": "smtp.gmail.com", "auth": ADDRESS}
    for count, rules in ((100, []), (101, ["credential-limit"])):
        realms = {f"r{n}": {} for n in range(count)}
        spec = {"version": 1, "defaults": {"sender": {"address": "a@acme.example"}, "relay": relay}, "realms": realms}
        found = ztrust_mail.lint(cast("SpecDict", spec)).findings
        assert [one.rule for one in found] == rules


def test_a_problem_of_a_default_is_one_finding_at_its_place(tmp_path) -> None:
    spec = tmp_path / "mail.yaml"
    realms = "".join(f"  r{n}: {{}}\n" for n in range(400))
    head = (
        "version: 1\ndefaults:\n  sender: {address: 'x@{realm}.example'}\n  relay:\n    host: h.example\n    port: 25\n"
    )
    spec.write_text(f"{head}realms:\n{realms}", encoding="utf-8")
    (found,) = ztrust_mail.validate(spec)[1]
    assert (found.rule, found.realm) == ("port-25", None)
    assert str(found.location) == f"{spec}:6:11"
    assert "entries" not in found.message


def test_a_problem_that_some_inherit_says_which(tmp_path) -> None:
    spec = tmp_path / "mail.yaml"
    head = "version: 1\ndefaults: {sender: {address: a@acme.example}, relay: {host: h.example, port: 25}}\n"
    realms = "realms: {a: {}, b: {}, c: {relay: {port: 587}}}\n"
    spec.write_text(head + realms, encoding="utf-8")
    (found,) = ztrust_mail.validate(spec)[1]
    assert found.message.endswith("(in 2 of 3 entries: a and b)")
