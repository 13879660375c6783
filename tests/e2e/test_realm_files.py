"""Realm exports on real servers: exported by one, changed by apply, imported by another, and read and used there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.admin_api import AdminApi, realm_path
from support.cli import Ran, isolate, run_process
from support.fixtures import ADMIN_EMAIL
from support.keycloak_server import KEYCLOAK_16, KEYCLOAK_26, Distribution, KeycloakServer, install, migration
from support.smtp import PASSWORD, USER, Relays

OLD_PASSWORD = "0ld-Passw0rd"
MASK = "**********"
REALMS = {
    "acme": {"host": "old.example", "port": "25", "from": "old@acme.example", "auth": "true", "authType": "basic",
             "user": "old", "password": OLD_PASSWORD, "x-own": "kept"},
    "Bärbel": {},  # no space: 16.1.1 does not import its own export of such a realm
    "untouched": {"host": "old.example", "from": "old@acme.example", "auth": "true", "authType": "basic",
                  "user": "old", "password": OLD_PASSWORD},
}  # fmt: skip
SPEC = """
version: 1
defaults:
  relay: {{host: localhost, port: {port}, security: none}}
  sender: {{address: "no-reply@{{realm.slug}}.example.com", name: Näme}}
realms:
  acme:
    relay: {{auth: {{username: {user}, password: {{env: RELAY_PASSWORD}}}}}}
    reply_to: {{address: help@acme.example, name: 'Acme: "Help"'}}
  Bärbel: {{relay: {{auth: {{username: {user}, password: {{keycloak_vault: mail}}}}}}}}
"""


@pytest.mark.parametrize("distribution", [KEYCLOAK_26, KEYCLOAK_16], ids=lambda one: one.version)
def test_realms_exported_by_a_server_are_imported_again_with_only_their_mail_settings_changed(
    distribution: Distribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relays: Relays
) -> None:
    cache = install(distribution).parent  # before there is another home
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("ZTRUST_MAIL_TEST_CACHE", str(cache))
    monkeypatch.setenv("RELAY_PASSWORD", PASSWORD)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")  # for names of files
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")  # for servers that live for seconds only
    relay = relays.with_login()
    exports = tmp_path / "exports"
    content = _export(distribution, tmp_path, exports)
    for master in list(exports.glob("master-*")):  # the server that imports has its own
        master.unlink()
    before = {path.name: path.read_bytes() for path in exports.iterdir()}
    assert len(before) > len(REALMS)  # there are files of people, too

    _convert_there_and_back(exports)
    at = ("--server", exports.as_uri())
    Path("mail.yaml").write_text(SPEC.format(port=relay.port, user=USER), encoding="utf-8")
    assert "2 realms to change" in _ran("plan", "mail.yaml", *at, status=1).out
    assert {path.name: path.read_bytes() for path in exports.iterdir()} == before
    assert "Done: 2 realms applied (run 1)." in _ran("apply", "mail.yaml", *at, "--yes").out
    assert "No drift" in _ran("drift", "mail.yaml", *at).out
    after = {path.name: path.read_bytes() for path in exports.iterdir()}
    assert {name for name in before if after[name] != before[name]} == {"acme-realm.json", "Bärbel-realm.json"}

    with KeycloakServer(distribution, imports=exports) as server:
        lost = content - _content(server)  # an import adds what is off or default, in words
        assert sorted(lost.elements()) == []
        _look_and_send(server, relay.port, monkeypatch)
    (mail,) = relay.wait_for(1)
    assert mail.login == USER  # which it had to prove by the password from the file


def _convert_there_and_back(exports: Path) -> None:
    """Convert a server's exports to a spec, that spec to an export, and that export to the same spec again."""
    told = _ran("convert", "--from", "realm-export", "--to", "spec", str(exports), "--out", "converted.yaml").err
    assert told.count("[plain-secret]") == 2  # exports have passwords in clear
    assert "Valid: 3 realms" in _ran("validate", "converted.yaml").out
    spec = yaml.safe_load(Path("converted.yaml").read_text(encoding="utf-8"))
    assert spec["realms"]["acme"] == {
        "sender": {"address": "old@acme.example"},
        "relay": {
            "host": "old.example", "port": 25, "security": "none",
            "auth": {"username": "old", "password": {"env": "SMTP_PASSWORD_ACME"}},
        },
        "extra": {"x-own": "kept"},
    }  # fmt: skip
    assert spec["realms"]["Bärbel"] == {"disabled": True}
    _ran("convert", "--from", "spec", "--to", "realm-export", "converted.yaml", "--out", "again.json")
    _ran("convert", "--from", "realm-export", "--to", "spec", "again.json", "--out", "again.yaml")
    assert Path("again.yaml").read_bytes() == Path("converted.yaml").read_bytes()


def _look_and_send(server: KeycloakServer, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = AdminApi(server.url, server.admin_user, server.admin_password)
    assert admin.smtp("acme") == {
        "host": "localhost", "port": str(port), "starttls": "false", "ssl": "false", "x-own": "kept",
        "from": "no-reply@acme.example.com", "fromDisplayName": "Näme",
        "replyTo": "help@acme.example", "replyToDisplayName": 'Acme: "Help"',
        "auth": "true", "authType": "basic", "user": USER, "password": MASK,
    }  # fmt: skip
    assert admin.smtp("Bärbel")["password"] == "${vault.mail}"
    assert admin.smtp("untouched") == {**REALMS["untouched"], "password": MASK}
    admin.set_email("master", server.admin_user, ADMIN_EMAIL)
    admin.close()
    for name, value in {"URL": server.url, "USERNAME": server.admin_user, "PASSWORD": server.admin_password}.items():
        monkeypatch.setenv(f"ZTRUST_MAIL_{name}", value)
    monkeypatch.setenv("ZTRUST_MAIL_TIMEOUT", "30s")
    assert "sent" in _ran("test", "acme").out
    assert "2 realms in sync" in _ran("plan", "mail.yaml").out  # the spec of the files, against the server


def _ran(*arguments: str, status: int = 0) -> Ran:
    done = run_process(*arguments)
    assert done.status == status, f"{arguments}: {done.status}\n{done.out}\n{done.err}"
    for secret in (PASSWORD, OLD_PASSWORD):
        assert secret not in done.out + done.err
    return done


def _export(distribution: Distribution, folder: Path, exports: Path) -> Counter[str]:
    """Have a server export all its realms, made as somebody may write them, and return their content."""
    seed, database = folder / "seed", folder / "database"
    seed.mkdir()
    database.mkdir()
    for realm, smtp in REALMS.items():
        ann = {"username": "ann", "enabled": True, "email": "ann@acme.example"}
        content = {"realm": realm, "enabled": True, "smtpServer": smtp, "users": [ann]}
        (seed / f"{realm}-realm.json").write_text(json.dumps(content), encoding="utf-8")
    if distribution is KEYCLOAK_16:
        files = ",".join(map(str, seed.iterdir()))
        with KeycloakServer(distribution, options=[f"-Dkeycloak.import={files}", *migration("export", exports)]) as one:
            return _content(one)
    options = [f"--db-url=jdbc:h2:file:{database}/keycloak;NON_KEYWORDS=VALUE"]
    with KeycloakServer(distribution, options=options, imports=seed) as server:
        made = _content(server)
    shutil.copytree(install(distribution), folder / "server", symlinks=True)
    command = [str(folder / "server" / "bin" / "kc.sh"), "export", "--optimized", *options, "--dir", str(exports)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def _content(server: KeycloakServer) -> Counter[str]:
    """Return all that a server holds of the realms and of the people in them, without the e-mail settings."""
    admin = AdminApi(server.url, server.admin_user, server.admin_password)
    found: Counter[str] = Counter()
    for realm in REALMS:
        query = "exportClients=true&exportGroupsAndRoles=true"
        exported = admin.ok("POST", f"{realm_path(realm)}/partial-export?{query}").json()
        del exported["smtpServer"]
        people = admin.ok("GET", f"{realm_path(realm)}/users").json()
        assert [user["username"] for user in people] == ["ann"]
        found.update(_leaves([exported, people], realm))
    admin.close()
    return found


def _leaves(value: object, path: str = "") -> Iterator[str]:
    """Yield every value of JSON data with the way to it; lists have no order, for a server keeps some as sets."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}/{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{path}[]")
    elif not path.endswith("/id"):  # an import makes flows of its own
        yield f"{path} = {json.dumps(value)}"
