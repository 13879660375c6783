"""Secrets that can be recognised wherever they turn up, and somebody who looks everywhere."""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from support.cli import Cli, Ran
from support.journals import use_cheap_fingerprints

from ztrust_mail.reports.report import PAGE_FORMATS, OutputFormat
from ztrust_mail.sandbox import Sandbox, SandboxOptions

MARK = "zQ7kanari"
"""Every secret of these tests begins so; what begins so is a secret."""

_TOKEN = b"eyJ"  # how every JSON Web Token begins, the administrator's too


def canary(place: str) -> str:
    """Return the secret for one place."""
    return f"{MARK}-{place}"


def _traces() -> Iterator[bytes]:
    """Yield what is left of a secret in the usual disguises."""
    yield MARK.encode()
    yield MARK[::-1].encode()
    yield MARK.encode("utf-16-le")
    yield MARK.encode().hex().encode()
    for shift in range(3):  # what stands before it decides how its bytes fall into groups of three
        encoded = base64.b64encode(b"." * shift + MARK.encode())
        yield encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
    yield _TOKEN


TRACES: Sequence[bytes] = tuple(_traces())


def leaks(data: str | bytes) -> list[str]:
    """Return the surroundings of each secret in some data."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return [repr(raw[max(0, at - 60) : at + 60]) for trace in TRACES if (at := raw.find(trace)) >= 0]


@dataclass
class Watch:
    """Runs commands and looks for secrets in all that they say, log and leave behind in ``folder``.

    Files written by :meth:`write` hold secrets on purpose.
    """

    cli: Cli
    folder: Path
    logs: pytest.LogCaptureFixture
    inputs: set[Path] = field(default_factory=set)
    is_over: bool = False
    """Whether nobody need look any more."""

    def write(self, name: str, content: str) -> str:
        """Write a file that may hold a secret, and return its name."""
        self.cli.write(name, content)
        self.inputs.add((self.cli.folder / name).resolve())
        return name

    def __call__(self, *arguments: str) -> Ran:
        """Run a command; nothing of it may hold a secret."""
        ran = self.cli(*arguments)
        found = leaks(ran.out) + leaks(ran.err)
        assert not found, f"{' '.join(arguments)}: {found}"
        return ran

    def look(self) -> None:
        """See that no log and no file holds a secret."""
        logged = "\n".join(_logged(record) for record in self.logs.get_records("call"))
        assert not (found := leaks(logged)), f"the log: {found}"
        for path in self.folder.rglob("*"):
            if path.is_file() and path.resolve() not in self.inputs:
                assert not (found := leaks(path.read_bytes())), f"{path}: {found}"


def _logged(record: logging.LogRecord) -> str:
    return logging.Formatter().format(record) + repr(vars(record))


class Ring(KeyringBackend):
    """A keyring with one entry, which may be an error to be raised."""

    priority = 1

    def __init__(self, entry: str | Exception) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entry = entry

    def get_password(self, service: str, username: str) -> str:
        """Return the entry."""
        if isinstance(self.entry, Exception):
            raise self.entry
        return self.entry

    def set_password(self, service: str, username: str, password: str) -> None:
        """Change nothing."""

    def delete_password(self, service: str, username: str) -> None:
        """Change nothing."""


@pytest.fixture(name="ring")
def ring_fixture() -> Iterator[Ring]:
    """The operating system's keyring, with a secret in it."""
    before = keyring.get_keyring()
    ring = Ring(canary("keyring"))
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


REFERENCES: Mapping[str, Mapping[str, str | list[str]]] = {
    "acme": {"env": "MAIL_ONE"},
    "initech": {"file": "secret.txt"},
    "umbrella": {"command": [sys.executable, "tell.py"]},
    "hooli": {"keyring": ["mail", "hooli"]},
}
"""A reference of each kind and the realm that has it; that of a kind returns ``canary(kind)``."""
REALMS = (*REFERENCES, "globex")
LOUD = ("", "ztrust_mail", "urllib3", "requests", "keycloak", "httpx", "psycopg", "keyring")
"""Loggers that say all they can; the first is the root."""


@pytest.fixture(name="ztrust_sandbox_options", params=["26.7.4"])
def options_fixture(request: pytest.FixtureRequest) -> SandboxOptions:
    """A server of that version whose administrator's password is a secret, too."""
    return SandboxOptions(realms=REALMS, version=request.param, admin_password=canary("admin"))


@pytest.fixture(name="watch")
def watch_fixture(
    cli: Cli, tmp_path: Path, ring: Ring, ztrust_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> Iterator[Watch]:
    """A server whose realms hold secrets, settings and a spec with one of each kind, and all loggers turned up."""
    for name in LOUD:
        caplog.set_level(logging.DEBUG, name)
    watch = Watch(cli, tmp_path, caplog)
    cli.monkeypatch.setenv("TMPDIR", str(tmp_path))
    use_cheap_fingerprints(cli.monkeypatch)  # else most of the time would go there
    for realm in REALMS:
        ztrust_sandbox.edit_smtp(realm, stored(realm))
    watch.write("settings.toml", settings(ztrust_sandbox.url))
    cli.set(CONFIG="settings.toml", SERVER="main")
    for name in ("ONE", "TWO"):
        cli.monkeypatch.setenv(f"MAIL_{name}", canary(name))
    watch.write("secret.txt", canary("file"))
    watch.write("tell.py", f"print({canary('command')!r})")
    cli.write("mail.json", json.dumps(spec(ztrust_sandbox.mail.port)))
    yield watch
    if not watch.is_over:
        watch.look()


def stored(realm: str) -> dict[str, str]:
    """Return what a realm has before: a login of each kind, one of them not in use."""
    secrets = {"password": canary(f"{realm}-password"), "authTokenClientSecret": canary(f"{realm}-token")}
    return {"from": "old@acme.example", "host": "old.acme.example", "starttls": "true", "auth": "true", "user": "u",
            "authType": "token" if realm == "globex" else "basic", **secrets}  # fmt: skip


def settings(url: str, more: str = "") -> str:
    """Return a settings file with the login of an administrator and that of a client."""
    return f"""
[servers.main]
url = "{url}"
username = "admin"
password = "{canary("admin")}"
[servers.other]
url = "{url}"
client_id = "other"
client_secret = "{canary("client")}"
[servers.twin]
url = "{url.replace("127.0.0.1", "localhost")}"
username = "admin"
password = "{canary("admin")}"
[allow]
command = true
{more}"""


def spec(port: int, name: str = "Acme") -> dict[str, object]:
    """Return a spec with a secret from everywhere."""
    relay = {"host": "127.0.0.1", "port": port, "security": "none"}
    logins: dict[str, object] = {realm: {"username": "u", "password": ref} for realm, ref in REFERENCES.items()}
    token = {"url": "https://login.acme.example/t", "client_id": "i", "client_secret": {"env": "MAIL_TWO"}}
    logins["globex"] = {"username": "u", "token": token}
    realms = {realm: {"relay": {**relay, "auth": login}} for realm, login in logins.items()}
    defaults = {"sender": {"address": "new@acme.example", "name": name}}
    return {"version": 1, "server": "main", "defaults": defaults, "realms": realms}


SURE = ("--yes", "--allow", "all")
PLANS = [("plan", "mail.json"), ("plan", "mail.json", "--secrets", "write", "--out", "plan.json", "--force")]
APPLIES = [("apply", "mail.json", *SURE), ("apply", "--plan", "plan.json", "--server", "main", *SURE)]
WORK: list[tuple[str, ...]] = [
    *PLANS,
    ("plan", "mail.json", "--no-secrets"),
    *APPLIES,
    ("apply", "mail.json", "--secrets", "write", "--canary", "1", *SURE),
    ("apply", "mail.json", "--resume", *SURE),
    ("drift", "mail.json"),
    ("drift", "mail.json", "--server", "main", "--server", "http://127.0.0.1:1"),
    ("apply", "mail.json", "--server", "main", "--server", "http://127.0.0.1:1", "--secrets", "write", *SURE),
    ("lint", "mail.json", "--server", "main", "--select", "all"),
    ("test", "acme", "globex"),
    ("test", "--spec", "mail.json"),
    ("probe", "acme", "globex", "--deadline", "2s"),
    ("probe", "--spec", "mail.json", *sorted(REFERENCES), "--as", "kubernetes-job", "--secret", "smtp/password"),
    ("probe", "--spec", "mail.json", *sorted(REFERENCES), "--allow-clear-login", "--verbose"),
    ("check", "--for", "starttls", "acme", "globex", "--deadline", "5s"),
    ("check", "--for", "m365-oauth", "--spec", "mail.json", "--host", "127.0.0.1", "--deadline", "5s", "--verbose"),
    ("check", "--for", "sender", "--spec", "mail.json", "--resolver", "127.0.0.1:1", "--deadline", "1s"),
    ("doctor",),
    ("servers", "--check"),
    ("history",),
    ("requests",),
    ("history", "1"),
    ("diff", "1", "2"),
    ("compare", "--server", "main", "--server", "twin"),
    ("show", "plan.json"),
    ("revert", "--dry-run"),
    ("revert", "--realm", "acme", "--out", "revert.json", "--force"),
    ("show", "revert.json"),
    ("rotate", "env:MAIL_ONE", "mail.json", "--dry-run"),
    ("revert", "--realm", "acme", *SURE),
    ("revert", "1", "--realm", "initech", "--secrets", "keep", *SURE),
    ("rotate", "env:MAIL_ONE", "mail.json", *SURE),
]
"""Every command that has to do with a server and makes reports."""

OTHERS: list[tuple[str, ...]] = [
    ("validate", "mail.json"),
    ("lint", "mail.json", "--fail-on", "error"),
    ("explain", "mail.json", "acme"),
    ("explain", "mail.json", "globex", "relay.auth.token.client_secret"),
    ("doctor", "--setup-commands"),
    ("pull",),
    ("pull", "--factor", "--out", "pulled.yaml", "--force"),
    ("init",),
    ("init", "--realm", "acme"),
    ("schema", "spec"),
    ("rule", "plain-secret"),
    ("presets", "m365"),
    *(("convert", "--from", "spec", "--to", to, "mail.json") for to in ("realm-export", "terraform", "ansible")),
    *(("convert", "--from", "spec", "--to", to, "mail.json") for to in ("keycloak-config-cli", "kubernetes")),
]
PLAIN = ("pull", "init", "schema")
"""Commands without ``--format``."""
REPORTING = {command[0] for command in WORK} | {"validate"}
"""Commands with ``--report``."""
ELSEWHERE = {
    **dict.fromkeys(("completion", "docs", "help", "version"), "knows no secret"),
    "sandbox": "runs until it is stopped",
    "worker": "runs until it is stopped, on PostgreSQL: tests/e2e/test_cli_workers.py",
    "demo": "has secrets of its own",
}
"""Commands that are not tried, and why."""


def all_of_it(watch: Watch, *commands: tuple[str, ...]) -> dict[int, list[str]]:
    """Run commands, each with another format and reports in all of them; return by exit status which ended so."""
    ended: dict[int, list[str]] = {}
    reports = [word for name in OutputFormat for word in ("--report", f"{name}=report.{name}")]
    for number, command in enumerate(commands):
        formats = [*OutputFormat] if command[0] in REPORTING else PAGE_FORMATS
        how = [] if command[0] in PLAIN else ["--format", formats[number % len(formats)]]
        more = reports if command[0] in REPORTING else []
        ended.setdefault(watch(*command, *how, *more).status, []).append(" ".join(command))
    return ended
