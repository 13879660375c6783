"""Environment variables are in no local variable of ours that an exception keeps."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping, Sequence

import pytest
from support.settings_files import entry, found, locals_of

import ztrust_mail
from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.secret import Secret
from ztrust_mail.settings import PROCESS, Environment, Settings, choose_server, journal_url, load, places

HIDDEN = "S3cr3t-w0rd"
URL = "https://id.example.com"
SECRETS = {
    **{f"ZTRUST_MAIL_{key}": HIDDEN for key in ("PASSWORD", "CLIENT_SECRET", "TOKEN")},
    "ZTRUST_MAIL_USERNAME": "admin",
    "SMTP_PASSWORD": HIDDEN,
}

FAILING: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "no server": ("", {}),
    "an ambiguous server": ('[servers.a]\nurl = "https://a"\n[servers.b]\nurl = "https://b"\n', {}),
    "an unknown server": ("", {"ZTRUST_MAIL_SERVER": "x"}),
    "a wrong URL": ("", {"ZTRUST_MAIL_URL": "ftp://x"}),
    "a wrong gateway": ("", {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_GATEWAY": "x"}),
    "a wrong time-out": ("", {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_TIMEOUT": "x"}),
    "a missing CA bundle": ("", {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_CA_BUNDLE": "/nowhere"}),
    "another URL": (entry(url='"https://other.example"'), {"ZTRUST_MAIL_URL": URL}),
    "an untrusted URL": (entry(url='"https://other.example"'), {}),
    "untrusted realm files": (entry(url='"file:///srv"'), {}),
    "an own login without a URL": (entry(token='"x"'), {"ZTRUST_MAIL_URL": URL}),
    "broken settings": ("[servers", {}),
    "a file that is missing": ("", {"ZTRUST_MAIL_CONFIG": "missing.toml"}),
    "a wrong journal": ("", {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_JOURNAL": HIDDEN}),
}


def connect(environ: Mapping[str, str]) -> None:
    """Connect with an environment that is given."""
    ztrust_mail.connect(environ=environ)


def choose(environ: Mapping[str, str]) -> None:
    """Do one after the other what connecting does."""
    choose_server(load(None, environ), None, (), environ)
    journal_url(Settings(), environ)


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("call", [connect, choose])
@pytest.mark.parametrize("is_process", [False, True])
def test_no_error_keeps_the_environment(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[Mapping[str, str]], None], name: str, is_process: bool
) -> None:
    text, more = FAILING[name]
    if text:
        try:
            found(text)
        except ConfigError:
            assert name == "broken settings"
    environ = {**SECRETS, **more}
    for key, value in environ.items() if is_process else ():
        monkeypatch.setenv(key, value)
    with pytest.raises(ConfigError) as refusal:
        ztrust_mail.connect() if is_process else call(environ)
    kept = locals_of(refusal.value)
    assert not any(HIDDEN in text for text in kept), [text for text in kept if HIDDEN in text]
    assert HIDDEN not in refusal.value.message + refusal.value.hint
    assert refusal.value.__context__ is None or not any(HIDDEN in t for t in locals_of(refusal.value.__context__))


@pytest.mark.parametrize("call", [places, load, lambda given, environ: journal_url(Settings(), environ)])
def test_each_public_function_hides_the_environment_it_is_given(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[str | None, Mapping[str, str]], Sequence[object]]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConfigError("failed")

    for name in ("get", "secret"):
        monkeypatch.setattr(Environment, name, fail)
    with pytest.raises(ConfigError) as refusal:
        call(None, SECRETS)
    assert not any(HIDDEN in text for text in locals_of(refusal.value))


def test_an_environment_shows_nothing_and_is_no_mapping() -> None:
    environment = Environment(SECRETS)
    assert f"{environment!r} {environment} {[environment]}".count("Environment(…)") == 3
    assert not isinstance(environment, Mapping)
    assert not hasattr(environment, "__dict__")
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not pickled or copied"):
            copied(environment)


def test_an_environment_reads_a_keys_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(Environment(SECRETS))
    assert environment.reveal() == SECRETS
    assert (environment.get("username"), environment.get("realm")) == ("admin", "")
    assert (environment.secret("token"), environment.secret("journal")) == (Secret(HIDDEN), None)
    monkeypatch.setenv("ZTRUST_MAIL_REALM", "now")
    assert Environment(PROCESS).get("realm") == "now"


def test_a_limited_environment_holds_no_other_variable() -> None:
    limited = Environment(SECRETS).limited_to(["username", "timeout"])
    assert (limited.get("username"), limited.get("password"), limited.has_login()) == ("admin", "", True)
    assert HIDDEN not in repr(limited.reveal())
