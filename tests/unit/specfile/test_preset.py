"""relay.preset: it stands for host, port and security of the level that names it, and is inherited like a host."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ztrust_mail
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.model.fields import FieldValue, Security
from ztrust_mail.specfile.resolve import Desired

SENDER = {"address": "a@example.com"}
LOGIN = {"username": "u", "password": {"env": "K"}}
RELAY = ("relay.host", "relay.port", "relay.security")


def resolved(entry: dict[str, object], defaults: dict[str, object] | None = None) -> Desired:
    spec = {
        "version": 1,
        "defaults": {"sender": SENDER, **({"relay": defaults} if defaults else {})},
        "realms": {"acme": {"relay": entry} if entry else {}},
    }
    wanted = ztrust_mail.explain(ztrust_mail.load_spec(spec), "acme")
    assert wanted.findings == ()
    return wanted


def relay(wanted: Desired) -> tuple[FieldValue, ...]:
    return tuple(wanted.fields[name] for name in RELAY)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"preset": "gmail"}, ("smtp.gmail.com", 587, Security.STARTTLS)),
        ({"preset": "fastmail"}, ("smtp.fastmail.com", 465, Security.TLS)),
        ({"preset": "ses-eu-west-1"}, ("email-smtp.eu-west-1.amazonaws.com", 587, Security.STARTTLS)),
        ({"preset": "gmail", "port": 465}, ("smtp.gmail.com", 465, Security.TLS)),
        ({"preset": "gmail", "security": "tls"}, ("smtp.gmail.com", 465, Security.TLS)),
        ({"preset": "gmail", "port": 2525}, ("smtp.gmail.com", 2525, Security.STARTTLS)),
        ({"preset": "ses-eu-west-1", "port": 2465}, ("email-smtp.eu-west-1.amazonaws.com", 2465, Security.TLS)),
        ({"preset": "gmail", "port": 465, "security": "starttls"}, ("smtp.gmail.com", 465, Security.STARTTLS)),
        ({"preset": "fastmail", "port": False}, ("smtp.fastmail.com", 465, Security.TLS)),
        ({"preset": "postmark", "security": "tls"}, ("smtp.postmarkapp.com", 465, Security.TLS)),
        ({"preset": "mailpit", "host": "mailpit"}, ("mailpit", 1025, Security.NONE)),
    ],
)
def test_what_is_written_beside_a_preset_wins(entry: dict[str, object], expected: tuple[FieldValue, ...]) -> None:
    assert relay(resolved(entry)) == expected


def test_a_preset_is_inherited_with_the_login() -> None:
    wanted = resolved({}, {"preset": "gmail", "auth": LOGIN})
    assert relay(wanted) == ("smtp.gmail.com", 587, Security.STARTTLS)
    assert "relay.auth.password" in wanted.fields


def test_no_password_reaches_another_preset() -> None:
    wanted = resolved({"preset": "mailgun-eu"}, {"preset": "sendgrid", "auth": LOGIN, "port": 2525})
    assert relay(wanted) == ("smtp.eu.mailgun.org", 587, Security.STARTTLS)
    assert not [name for name in wanted.fields if name.startswith("relay.auth.")]


def test_a_host_of_an_entry_takes_nothing_from_the_preset_of_the_defaults() -> None:
    wanted = resolved({"host": "smtp.example.com"}, {"preset": "fastmail", "auth": LOGIN})
    assert relay(wanted) == ("smtp.example.com", 587, Security.STARTTLS)
    assert not [name for name in wanted.fields if name.startswith("relay.auth.")]


def test_a_preset_of_an_entry_takes_nothing_from_the_host_of_the_defaults() -> None:
    wanted = resolved(
        {"preset": "fastmail"}, {"host": "smtp.example.com", "port": 25, "security": "none", "auth": LOGIN}
    )
    assert relay(wanted) == ("smtp.fastmail.com", 465, Security.TLS)
    assert not [name for name in wanted.fields if name.startswith("relay.auth.")]


def test_the_fixed_user_name_of_a_provider_may_be_left_out() -> None:
    secret = {"password": {"env": "K"}}
    assert resolved({"preset": "sendgrid", "auth": secret}).fields["relay.auth.username"] == "apikey"
    assert resolved({"auth": secret}, {"preset": "resend"}).fields["relay.auth.username"] == "resend"
    assert resolved({"preset": "sendgrid", "auth": LOGIN}).fields["relay.auth.username"] == "u"


@pytest.mark.parametrize("entry", [{"preset": "sendgrid"}, {"preset": "sendgrid", "auth": False}, {"auth": False}])
def test_a_fixed_user_name_alone_makes_no_login(entry: dict[str, object]) -> None:
    wanted = resolved(entry, {"preset": "sendgrid", "auth": {"password": {"env": "K"}}})
    assert "relay.auth.username" not in wanted.fields
    assert str(wanted.fields["relay.auth"]) == "none"


def test_the_values_of_a_preset_have_its_place_and_name_and_others_have_not() -> None:
    wanted = resolved({"preset": "gmail", "port": 465, "auth": LOGIN})
    assert wanted.presets == {"relay.host": "gmail", "relay.security": "gmail"}
    assert str(wanted.origins["relay.host"]) == "<dict>: realms.acme.relay.preset"
    assert str(wanted.origins["relay.port"]) == "<dict>: realms.acme.relay.port"


def findings(*relays: object) -> list[Finding]:
    realms = {f"r{number}": {"relay": one, "sender": SENDER} for number, one in enumerate(relays)}
    return ztrust_mail.validate({"version": 1, "realms": realms})[1]


def test_an_unknown_preset_is_one_error_with_the_nearest_name() -> None:
    (found,) = findings({"preset": "gmial"})
    assert (found.rule, found.severity) == ("unknown-preset", Severity.ERROR)
    assert found.message == "`realms.r0.relay.preset` names the unknown preset `gmial`"
    assert found.hint == "did you mean `gmail`?"


def test_a_preset_without_its_region_is_an_error_that_shows_how_to_write_one() -> None:
    (found,) = findings({"preset": "ses"})
    assert found.rule == "unknown-preset"
    assert "`ses-us-east-1`" in found.hint


def test_a_wrong_port_for_a_preset_gets_the_usual_warning() -> None:
    login = {"username": "a@example.com", "password": {"env": "K"}}
    (found,) = findings({"preset": "gmail", "port": 465, "security": "starttls", "auth": login})
    assert found.rule == "port-security"


def test_the_note_on_a_login_that_is_not_inherited_names_the_preset() -> None:
    spec = {
        "version": 1,
        "defaults": {"sender": SENDER, "relay": {"preset": "sendgrid", "auth": {"password": {"env": "K"}}}},
        "realms": {"acme": {"relay": {"preset": "resend"}}, "globex": {"relay": {"preset": "resend", "auth": False}}},
    }
    (found,) = ztrust_mail.load_spec(spec).warnings
    assert found.rule == "login-not-inherited"
    assert found.message.startswith("`acme` sets `relay.preset`, so it does not inherit `relay.auth` of the defaults")


def test_a_placeholder_in_a_preset_is_an_unknown_preset() -> None:
    (found,) = findings({"preset": "ses-{realm}"})
    assert found.rule == "unknown-preset"


@pytest.mark.parametrize(("host", "loaded"), [("host: smtp.example.com", False), ("preset: gmail", True)])
def test_presets_are_read_only_where_a_spec_names_one(host: str, loaded: bool) -> None:
    code = "import ztrust_mail; ztrust_mail.load_spec('-'); from ztrust_mail.providers import presets as p; "
    code += "print(p._rows.cache_info().currsize == 1)"
    text = f"version: 1\nrealms: {{a: {{relay: {{{host}}}, sender: {{address: a@example.com}}}}}}\n"
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True)
    assert done.stdout == f"{loaded}\n"
