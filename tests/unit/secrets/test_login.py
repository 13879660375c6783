"""References as the login of a server: what they reach, and what a spec cannot reach because of them."""

from __future__ import annotations

import sys
from pathlib import Path

import keyring
import pytest
from support.canaries import Ring
from support.settings_files import entry, locals_of, named

from ztrust_mail.core.errors import ConfigError, SecretError
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.gateways import connect
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import resolve_all, resolve_login
from ztrust_mail.settings import Environment, Server, Settings, choose_server
from ztrust_mail.settings.server_entry import SECRETS, LoginReferences, known_references

URL = "https://id.example.com"
HIDDEN = "S3cr3t-w0rd"


@pytest.fixture
def ring() -> Ring:
    """A keyring with one entry, in place of the machine's."""
    return Ring(HIDDEN)


def sources(tmp_path: Path) -> dict[str, str]:
    """Return a reference of each kind that leads to the secret."""
    (tmp_path / "keys").mkdir(exist_ok=True)
    (tmp_path / "keys" / "prod").write_text(f"{HIDDEN}\n", encoding="utf-8")
    return {
        "env": '{env = "PROD_PASSWORD"}',
        "env of ours": '{env = "ZTRUST_MAIL_PROD"}',
        "file": '{file = "keys/prod"}',
        "file elsewhere": f'{{file = "{tmp_path}/keys/prod"}}',
        "command": f'{{command = ["{sys.executable}", "-c", "print({HIDDEN!r})"]}}',
        "keyring": '{keyring = ["ztrust-mail", "prod"]}',
    }


ENVIRON = {"PROD_PASSWORD": HIDDEN, "ZTRUST_MAIL_PROD": HIDDEN}


@pytest.mark.parametrize("key", SECRETS)
@pytest.mark.parametrize("source", ["env", "env of ours", "file", "file elsewhere", "command", "keyring"])
def test_a_reference_is_resolved_when_the_login_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ring: Ring, key: str, source: str
) -> None:
    monkeypatch.setattr(keyring, "get_password", ring.get_password)
    settings = named(tmp_path, entry(url=f'"{URL}"', **{key: sources(tmp_path)[source]}))
    server = choose_server(settings, environ=ENVIRON)
    assert (getattr(server, key), [*server.login.refs]) == (None, [key])
    assert server.has_given_token is (key == "token")
    assert HIDDEN not in repr(vars(server))
    assert getattr(resolve_login(server), key) == Secret(HIDDEN)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ('{env = "UNSET"}', "`servers.main.password` cannot be resolved: the environment variable `UNSET` is not set"),
        ('{env = "EMPTY"}', "`servers.main.password`: the secret from `env:EMPTY` is empty"),
        ('{env = "TWO_LINES"}', "`servers.main.password`: the secret from `env:TWO_LINES` contains a line break"),
        ('{file = "missing"}', "`servers.main.password` cannot be resolved: the file `missing` does not exist"),
        ('{file = "named.toml"}', "`servers.main.password` cannot be resolved: the file `named.toml` is out of"),
        ('{command = ["/nowhere"]}', "`servers.main.password` cannot be resolved: the command `/nowhere` cannot be"),
    ],
)
def test_a_reference_that_leads_nowhere_names_server_and_key(tmp_path: Path, reference: str, message: str) -> None:
    settings = named(tmp_path, entry(url=f'"{URL}"', password=reference))
    server = choose_server(settings, environ={"EMPTY": "", "TWO_LINES": f"a\n{HIDDEN}"})
    with pytest.raises(ConfigError) as refusal:
        resolve_login(server)
    assert refusal.value.message.startswith(message)
    assert refusal.value.hint
    assert not any(HIDDEN in text for text in locals_of(refusal.value))


def test_a_token_may_be_longer_than_a_password_of_a_relay(tmp_path: Path) -> None:
    server = choose_server(named(tmp_path, entry(url=f'"{URL}"', token='{env = "T"}')), environ={"T": "t" * 4_000})
    assert resolve_login(server).token == Secret("t" * 4_000)


def test_the_general_variable_does_not_replace_a_reference(tmp_path: Path) -> None:
    settings = named(tmp_path, entry(url=f'"{URL}"', password='{env = "MINE"}'))
    server = choose_server(settings, environ={"MINE": "m", "ZTRUST_MAIL_PASSWORD": "general"})
    assert resolve_login(server).password == Secret("m")
    server = choose_server(settings, environ={"MINE": "m", "ZTRUST_MAIL_MAIN_PASSWORD": "own"})
    assert resolve_login(server).password == Secret("own")


def spec_reaches(settings: Settings, ref: SecretRef) -> bool:
    """Tell whether a spec may use a reference under these settings."""
    reach = Reach(environ=ENVIRON, reserved=known_references(settings.path, settings.servers))
    (found,) = resolve_all([ref], reach).values()
    return not (isinstance(found, SecretError) and "login of a server" in found.message)


def test_a_spec_cannot_use_the_reference_of_any_servers_login(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "prod"
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "more").write_text("x", encoding="utf-8")
    text = entry(url=f'"{URL}"', password='{env = "PROD_PASSWORD"}')
    text += f"[servers.other]\nclient_secret = {sources(tmp_path)['file']}\n[servers.broken]\ntoken = {{env = 1}}\n"
    settings = named(tmp_path, text)
    assert not spec_reaches(settings, SecretRef(SecretKind.ENV, ("PROD_PASSWORD",)))
    assert not spec_reaches(settings, SecretRef(SecretKind.FILE, ("link",), str(tmp_path)))
    assert spec_reaches(settings, SecretRef(SecretKind.FILE, ("more",), str(tmp_path)))
    assert spec_reaches(Settings(), SecretRef(SecretKind.ENV, ("PROD_PASSWORD",)))


@pytest.mark.parametrize("product", ["digitanium", "uipath"])
def test_a_product_with_a_given_token_takes_it_from_a_reference(product: str) -> None:
    refs = {"token": SecretRef(SecretKind.ENV, ("T",))}
    there, missing = (
        connect(Server(URL, "main", product, login=LoginReferences(refs, Environment(environ))))
        for environ in ({"T": HIDDEN}, {})
    )
    there.login()
    assert HIDDEN not in there.redactor.redact(f"it is {HIDDEN}")
    with pytest.raises(ConfigError, match="`T` is not set"):
        missing.login()
    for gateway in (there, missing):
        gateway.close()
