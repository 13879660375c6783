"""Environment variables of a single server, and entries that are broken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from support.settings_files import entry, found, named, refused

from ztrust_mail.api.keywords import use_login
from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.findings import Location
from ztrust_mail.core.secret import Secret
from ztrust_mail.settings import Environment, Server, choose_server
from ztrust_mail.settings.inputs import SERVER_VARIABLES, variable_of
from ztrust_mail.settings.inventory import list_servers, report_servers

URL = "https://id.example.com"
OTHER = "https://other.example.com"
TWO = f"""
[servers.prod-eu]
url = "{URL}"
username = "entry"
password = "from the entry"

[servers.dev]
url = "{OTHER}"
username = "dev"
"""


@pytest.mark.parametrize("key", SERVER_VARIABLES)
def test_the_variable_of_a_server_wins_over_its_entry_and_the_general_variable(tmp_path: Path, key: str) -> None:
    own, general = f"{OTHER}/own", f"{OTHER}/general"
    settings = named(tmp_path, TWO)
    environ = {variable_of("prod-eu", key): own, f"ZTRUST_MAIL_{key.upper()}": general}
    assert variable_of("prod-eu", key) == f"ZTRUST_MAIL_PROD_EU_{key.upper()}"
    assert _text(choose_server(settings, "prod-eu", environ=environ), key) == own
    assert _text(choose_server(settings, "dev", environ=environ), key) != own


def _text(server: Server, key: str) -> object:
    value = getattr(server, key)
    return value.reveal() if isinstance(value, Secret) else value


def test_two_servers_have_their_own_passwords(tmp_path: Path) -> None:
    settings = named(tmp_path, TWO)
    environ = {"ZTRUST_MAIL_PROD_EU_PASSWORD": "p\n", "ZTRUST_MAIL_DEV_PASSWORD": "d"}
    passwords = [choose_server(settings, name, environ=environ).password for name in ("prod-eu", "dev")]
    assert passwords == [Secret("p"), Secret("d")]


def test_a_password_of_its_own_replaces_a_token_of_the_entry_and_all_general_secrets(tmp_path: Path) -> None:
    settings = named(tmp_path, entry(url=f'"{URL}"', token='"t"'))
    general = {"ZTRUST_MAIL_TOKEN": "g", "ZTRUST_MAIL_CLIENT_SECRET": "g"}
    server = choose_server(settings, environ={**general, "ZTRUST_MAIL_MAIN_PASSWORD": "p", "ZTRUST_MAIL_USERNAME": "u"})
    assert (server.token, server.client_secret, server.password) == (None, None, Secret("p"))
    assert server.username == "u"


def test_a_variable_that_could_be_for_two_servers_is_refused(tmp_path: Path) -> None:
    settings = named(tmp_path, f'{TWO}[servers.prod_eu]\nurl = "{OTHER}"\n')
    refusal = refused(settings, "prod_eu", environ={"ZTRUST_MAIL_PROD_EU_PASSWORD": "p"})
    assert refusal.message == "the variable ZTRUST_MAIL_PROD_EU_PASSWORD could be for `prod_eu` or `prod-eu`"
    assert choose_server(settings, "prod_eu", environ={"ZTRUST_MAIL_DEV_PASSWORD": "p"}).url == OTHER


def test_servers_whose_names_give_the_same_variables_are_reported(tmp_path: Path) -> None:
    settings = named(tmp_path, f'{TWO}[servers."prod.eu"]\nurl = "{OTHER}"\n')
    for name in ("prod-eu", "prod.eu"):
        [finding] = choose_server(settings, name, environ={}).findings
        assert (finding.rule, finding.location) == ("shared-variables", Location(settings.path))
        assert finding.message.startswith("`prod-eu` and `prod.eu` have the same variables: ZTRUST_MAIL_PROD_EU_…")
    assert choose_server(settings, "dev", environ={}).findings == ()
    assert [one.rule for one in report_servers(list_servers(settings, {}))].count("shared-variables") == 1


def test_an_untrusted_server_is_not_reported_for_a_trusted_one(tmp_path: Path, user_folder: Path) -> None:
    (user_folder / "ztrust-mail.toml").write_text(TWO, encoding="utf-8")
    settings = found(f'[servers.prod_eu]\nurl = "{OTHER}"\n')
    assert choose_server(settings, "prod-eu", environ={}).findings == ()
    assert [one.rule for one in choose_server(settings, "prod_eu", environ={}).findings] == ["shared-variables"]


def test_an_untrusted_file_cannot_spoil_the_variable_of_a_trusted_server(tmp_path: Path, user_folder: Path) -> None:
    (user_folder / "ztrust-mail.toml").write_text(TWO, encoding="utf-8")
    settings = found(f'[servers.prod_eu]\nurl = "{OTHER}"\n')
    environ = {"ZTRUST_MAIL_PROD_EU_PASSWORD": "p"}
    assert choose_server(settings, "prod-eu", environ=environ).password == Secret("p")
    assert "could be for" in refused(settings, "prod_eu", environ=environ).message


@pytest.mark.parametrize("more", [{}, {"ZTRUST_MAIL_URL": OTHER}])
def test_the_login_of_a_server_is_not_sent_to_a_url_that_only_an_untrusted_file_names(more: Mapping[str, str]) -> None:
    settings = found(entry(url=f'"{OTHER}"'))
    environ = {"ZTRUST_MAIL_MAIN_PASSWORD": "p", **more}
    refusal = refused(settings, environ=environ)
    assert (refusal.rule, "not sent to" in refusal.message) == ("untrusted-settings", True)
    server = choose_server(settings, environ={**environ, "ZTRUST_MAIL_MAIN_URL": OTHER})
    assert (server.url, server.password, server.isolated) == (OTHER, Secret("p"), False)


def test_an_untrusted_entry_with_a_login_of_its_own_gets_no_variable_of_the_server() -> None:
    settings = found(entry(url=f'"{OTHER}"', client_secret='"own"'))
    server = choose_server(settings, environ={"ZTRUST_MAIL_MAIN_PASSWORD": "p", "ZTRUST_MAIL_MAIN_USERNAME": "u"})
    assert (server.password, server.username, server.isolated) == (None, "", True)


def test_a_login_given_to_the_library_wins_over_the_variables_of_a_server(tmp_path: Path) -> None:
    environ = Environment({"ZTRUST_MAIL_PROD_EU_PASSWORD": "p", "ZTRUST_MAIL_PROD_EU_TOKEN": "t"})
    login = {"username": "given", "password": Secret("given")}
    server = choose_server(*_swapped(*use_login(named(tmp_path, TWO), environ, login)))
    assert (server.username, server.password, server.token) == ("given", Secret("given"), None)


def _swapped(settings, environ):  # type: ignore[no-untyped-def]
    return settings, "prod-eu", (), environ


BROKEN = {
    "an unknown key": 'passwort = "x"',
    "a wrong type": "connections = true",
    "a bad URL": 'url = "id.example.com"',
    "no URL": "",
    "a bad reference": "password = {enf = 'X'}",
    "a bad label": "labels = {Stage = 'x'}",
    "a bad limit": "limits = {windows = 1}",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_entry_stops_only_the_runs_that_need_it(tmp_path: Path, text: str) -> None:
    settings = named(tmp_path, f'[servers.dev]\nurl = "{URL}"\n[servers.prod]\n{text}\n')
    assert choose_server(settings, "dev", environ={}).url == URL
    assert choose_server(settings, OTHER, environ={}).url == OTHER
    with pytest.raises(ConfigError):
        choose_server(settings, "prod", environ={})
