"""A secret where none belongs, in specs, settings, variables and options: it is refused and not said back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest
from support.canaries import (  # noqa: F401  # the options are a fixture
    SURE,
    Watch,
    all_of_it,
    canary,
    options_fixture,
    settings,
    spec,
)

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.sandbox import Sandbox

PLACES: Mapping[str, Callable[[str], object]] = {
    "password": lambda secret: {"relay": {"auth": {"username": "u", "password": secret}}},
    "a kind of its own": lambda secret: {"relay": {"auth": {"username": "u", "password": {"plain": secret}}}},
    "beside a reference": lambda secret: {"relay": {"auth": {"password": {"env": "X", "value": secret}}}},
    "as a reference's kind": lambda secret: {"relay": {"auth": {"username": "u", "password": {secret: "x"}}}},
    "in a list": lambda secret: {"relay": {"auth": {"username": "u", "password": [secret]}}},
    "a client's secret": lambda secret: {"relay": {"auth": {"token": {"client_secret": secret}}}},
    "auth": lambda secret: {"relay": {"auth": secret}},
    "a misspelt key": lambda secret: {"relay": {"auth": {"username": "u", "pasword": secret}}},
    "a level too high": lambda secret: {"relay": {"password": secret}},
    "two levels too high": lambda secret: {"password": secret},
    "the server's own name": lambda secret: {"extra": {"password": secret, "authTokenClientSecret": secret}},
    "the relay's URL": lambda secret: {"relay": {"host": f"smtp://u:{secret}@smtp.acme.example"}},
    "the token's URL": lambda secret: {"relay": {"auth": {"token": {"url": f"https://u:{secret}@acme.example/"}}}},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_in_a_spec_is_refused_and_not_quoted(watch: Watch, place: str) -> None:
    written = json.dumps({"version": 1, "realms": {"acme": PLACES[place](canary("plain"))}})
    for name in ("wrong.json", "wrong.yaml"):
        watch.write(name, written)
        ended = all_of_it(watch, ("validate", name), ("explain", name, "acme"), ("plan", name), ("drift", name))
        assert set(ended) == {ExitStatus.USAGE}


BROKEN = {
    "quote.yaml": "realms: {{acme: {{relay: {{auth: {{password: '{}\n",
    "tab.yaml": "realms:\n  acme:\n\tpassword: {}\n",
    "alias.yaml": "realms: {{acme: {{relay: {{auth: {{password: *{}}}}}}}}}\n",
    "tag.yaml": "realms: {{acme: {{relay: {{auth: {{password: !{} x}}}}}}}}\n",
    "twice.yaml": "realms: {{acme: {{relay: {{auth: {{password: {0}, password: {0}}}}}}}}}\n",
    "control.yaml": 'realms: {{acme: {{relay: {{auth: {{password: "{}\x01"}}}}}}}}\n',
    "bare.json": '{{"realms": {{"acme": {{"relay": {{"auth": {{"password": {}}}}}}}}}}}',
    "cut.json": '{{"realms": {{"acme": {{"relay": {{"auth": {{"password": "{}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_secret_in_an_unreadable_spec_is_not_quoted(watch: Watch, name: str) -> None:
    watch.write(name, BROKEN[name].format(canary("broken")))
    assert set(all_of_it(watch, ("validate", name), ("plan", name))) == {ExitStatus.USAGE}


SETTINGS = [
    "[servers.main]\npassword = {}\n",
    "[servers.main]\npassword = '{}\n",
    "[servers.main]\npassword = ['{}']\n",
    "[servers.main]\npasword = '{}'\n",
    "[servers]\npassword = '{}'\n",
    "password = '{}'\n",
    "[servers.main]\nurl = 'https://u:{}@id.example.com'\n",
    "[journal]\nurl = '{}'\n",
    "[journal]\nurl = 'mysql://u:{}@h/d'\n",
    "[journal]\nurl = 'sqlite://u:{}@h/d'\n",
    "[journal]\nurl = 'postgresql://u:{}@[h/d'\n",
    "[journal]\nurl = 'postgresql://u:{}@127.0.0.1:1/d?pasword={}'\n",
]


@pytest.mark.parametrize("content", SETTINGS)
def test_a_secret_in_wrong_settings_is_not_quoted(watch: Watch, ztrust_sandbox: Sandbox, content: str) -> None:
    secret = canary("settings")
    text = content.format(*[secret] * content.count("{}"))
    watch.write("settings.toml", text if "[journal]" not in text else settings(ztrust_sandbox.url, text))
    ended = all_of_it(watch, ("plan", "mail.json"), ("history",), ("apply", "mail.json", *SURE))
    assert set(ended) == {ExitStatus.USAGE}


@pytest.mark.parametrize("place", ["--server", "SERVER", "URL", "JOURNAL"])
def test_a_login_in_a_url_is_refused_and_not_quoted(watch: Watch, place: str) -> None:
    url = f"https://u:{canary(place)}@id.example.com"
    if place != "JOURNAL":
        watch.cli.monkeypatch.delenv("ZTRUST_MAIL_SERVER")
        watch.cli.monkeypatch.delenv("ZTRUST_MAIL_CONFIG")
        watch.cli.write("mail.json", json.dumps({**spec(25), "server": []}))
    option = ("--server", url) if place == "--server" else ()
    if not option:
        watch.cli.set(**{place: url})
    ended = all_of_it(watch, ("plan", "mail.json", *option), ("history", *option), ("drift", "mail.json", *option))
    assert set(ended) == {ExitStatus.USAGE}
