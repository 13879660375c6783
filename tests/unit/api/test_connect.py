"""Connecting with a login and secrets that the caller hands over, without a trace in environment or tracebacks."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from support.mail_settings import BASIC, STORED

import ztrust_mail
from ztrust_mail.core.errors import ConfigError, SecretError, ServerRefused, UsageError
from ztrust_mail.core.secret import Secret

SPEC = {"version": 1, "realms": {"acme": BASIC}}
GIVEN = {"SMTP_PASSWORD": "relay-Passw0rd"}
NOTHING: dict[str, str] = {}


def frames_of(error: BaseException) -> str:
    """Return the locals of all frames of this package in a traceback, as error collectors store them."""
    captured = traceback.TracebackException.from_exception(error, capture_locals=True)
    return str([frame.locals for frame in captured.stack if "ztrust_mail" in frame.filename])


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_login_and_secrets_of_the_caller_are_used_and_no_variable_is_set(ztrust_sandbox):
    before = dict(os.environ)
    spec = ztrust_mail.load_spec(SPEC)
    login = {"username": "admin", "password": "admin"}
    with ztrust_mail.connect(ztrust_sandbox.url, environ=NOTHING, secrets=GIVEN, **login) as session:
        ztrust_mail.apply(ztrust_mail.plan(spec, session), session).raise_for_status()
    assert ztrust_sandbox.smtp("acme") == STORED
    assert dict(os.environ) == before


def test_a_client_logs_in_with_its_secret(ztrust_sandbox):
    ztrust_sandbox.create_client("master", "mailer", "cl1ent-secret", ["acme-realm:manage-realm"])
    given = {"client_id": "mailer", "client_secret": Secret("cl1ent-secret")}
    with ztrust_mail.connect(ztrust_sandbox.url, environ=NOTHING, **given) as session:
        assert [*ztrust_mail.pull(session, ["acme"]).realms] == ["acme"]


def test_the_given_login_wins_over_settings_and_environment_as_a_whole(ztrust_sandbox, tmp_path):
    text = f'[servers.box]\nurl = "{ztrust_sandbox.url}"\nusername = "eve"\nclient_secret = "wrong"\ntoken = "wrong"\n'
    path = write(tmp_path / "own.toml", text)
    environ = {"ZTRUST_MAIL_CLIENT_SECRET": "wrong", "ZTRUST_MAIL_TOKEN": "wrong"}
    for server in ("box", ztrust_sandbox.url):
        login = {"username": "admin", "password": "admin"}
        with ztrust_mail.connect(server, config_path=path, environ=environ, **login) as session:
            ztrust_mail.doctor(session).raise_for_status()
            assert session.server.token is None


def test_the_given_login_is_not_sent_where_only_an_untrusted_file_says(ztrust_sandbox, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for own_login in ("", 'username = "eve"\npassword = "evil"\n'):
        write(tmp_path / "ztrust-mail.toml", f'[servers.box]\nurl = "{ztrust_sandbox.url}"\n{own_login}')
        with pytest.raises(ConfigError, match="is not sent to") as refused:
            ztrust_mail.connect("box", environ=NOTHING, username="admin", password="s3cret-login")
        assert "s3cret-login" not in frames_of(refused.value)
    assert ztrust_sandbox.requests == ()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"username": "admin", "password": ""}, UsageError),
        ({"username": "admin", "password": None}, UsageError),
        ({"username": "admin", "pasword": "s3cret-login"}, TypeError),
        ({"username": "admin", "password": "s3cret-login", "realm": "."}, ConfigError),
    ],
)
def test_a_wrong_login_is_refused_without_showing_it(given, error):
    with pytest.raises(error) as refused:
        ztrust_mail.connect("https://id.example", environ=NOTHING, secrets=GIVEN, **given)
    seen = f"{refused.value} {frames_of(refused.value)}"
    assert "s3cret-login" not in seen
    assert GIVEN["SMTP_PASSWORD"] not in seen


def test_a_misspelt_keyword_is_refused_with_the_right_one(ztrust_sandbox):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'pasword'\. did you mean `password`"):
        ztrust_mail.connect(ztrust_sandbox.url, pasword="x")
    with (
        ztrust_mail.connect(ztrust_sandbox.url, environ=NOTHING, username="admin", password="admin") as session,
        pytest.raises(TypeError, match=r"apply\(\) got an unexpected keyword argument 'alow'"),
    ):
        ztrust_mail.apply(ztrust_mail.plan(ztrust_mail.load_spec(SPEC), session), session, alow=["all"])


def test_a_refused_login_shows_no_secret(ztrust_sandbox):
    login = {"username": "admin", "password": "s3cret-login"}
    with (
        ztrust_mail.connect(ztrust_sandbox.url, environ=NOTHING, secrets=GIVEN, **login) as session,
        pytest.raises(ServerRefused) as refused,
    ):
        ztrust_mail.plan(ztrust_mail.load_spec(SPEC), session)
    assert "s3cret-login" not in f"{refused.value} {frames_of(refused.value)} {session!r}"


def test_secrets_may_come_from_a_function_and_other_names_from_the_environment(ztrust_sandbox):
    asked: list[str] = []

    def fetch(name: str) -> str | None:
        asked.append(name)
        return None

    login = {"username": "admin", "password": "admin"}
    with ztrust_mail.connect(ztrust_sandbox.url, environ=GIVEN, secrets=fetch, **login) as session:
        ztrust_mail.apply(ztrust_mail.plan(ztrust_mail.load_spec(SPEC), session), session).raise_for_status()
    assert asked == ["SMTP_PASSWORD"]
    assert ztrust_sandbox.smtp("acme") == STORED


def test_a_failing_function_for_secrets_fails_the_realm_without_its_message(ztrust_sandbox):
    def fetch(name: str) -> str:
        raise LookupError("vault said: relay-Passw0rd")

    login = {"username": "admin", "password": "admin"}
    with ztrust_mail.connect(ztrust_sandbox.url, environ=NOTHING, secrets=fetch, **login) as session:
        result = ztrust_mail.apply(ztrust_mail.plan(ztrust_mail.load_spec(SPEC), session), session)
    with pytest.raises(SecretError, match="the function given as `secrets` raised LookupError") as failed:
        result.raise_for_status()
    assert "relay-Passw0rd" not in f"{failed.value} {failed.value.findings} {result.to_dict()}"


def test_our_own_variables_stay_out_of_a_specs_reach_also_as_given_secrets(ztrust_sandbox):
    auth = {"username": "u", "password": {"env": "ZTRUST_MAIL_PASSWORD"}}
    entry = {**BASIC, "relay": {"host": "smtp.example.com", "auth": auth}}
    given = {"ZTRUST_MAIL_PASSWORD": "admin"}
    login = {"username": "admin", "password": "admin"}
    with ztrust_mail.connect(ztrust_sandbox.url, environ=NOTHING, secrets=given, **login) as session:
        spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": entry}})
        with pytest.raises(SecretError, match="out of a spec's reach"):
            ztrust_mail.apply(ztrust_mail.plan(spec, session), session).raise_for_status()


@pytest.mark.parametrize("login", [{}, {"username": "admin", "password": "admin"}])
def test_the_reference_of_a_servers_login_stays_out_of_a_specs_reach(ztrust_sandbox, tmp_path, login):
    text = f'[servers.box]\nurl = "{ztrust_sandbox.url}"\nusername = "admin"\npassword = {{env = "ADMIN"}}\n'
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    relay = {"host": "relay.example", "auth": {"username": "u", "password": {"env": "ADMIN"}}}
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": {**BASIC, "relay": relay}}})
    config = str(tmp_path / "s.toml")
    with ztrust_mail.connect("box", config_path=config, environ={"ADMIN": "admin"}, **login) as session:
        done = ztrust_mail.apply(ztrust_mail.plan(spec, session), session)
    assert [finding.rule for finding in done.realms[0].findings if finding.severity == "error"] == [
        "secret-out-of-reach"
    ]
    assert not [one for one in ztrust_sandbox.requests if one.method == "PUT"]
