"""Finds and reads the settings files, and limits what an untrusted file may set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.findings import Finding, Location, warning
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import quoted
from ztrust_mail.settings.fleet import FleetSettings, Schedule, read_fleet, read_schedules
from ztrust_mail.settings.inputs import (
    PREFIX,
    PROCESS,
    Environment,
    Keys,
    Table,
    Variables,
    check_keys,
    is_there,
    read_toml,
    seal,
)
from ztrust_mail.settings.policy import Policy, read_policy
from ztrust_mail.settings.server_entry import SERVER_KEYS

FILE_NAME = "ztrust-mail.toml"
UNTRUSTED_RULE = "untrusted-settings"

TABLES: Keys = {
    "servers": dict,
    "allow": dict,
    "policy": dict,
    "journal": dict,
    "lint": dict,
    "schedules": dict,
    "fleet": dict,
}
ALLOW_KEYS: Keys = {"command": bool, "plain_http": bool, "secret_folders": list}
LINT_KEYS: Keys = {"select": list, "ignore": list, "expiry_days": int, "deprecation_days": int, "secret_days": int}
MAX_DAYS = 3650
JOURNAL_KEYS: Keys = {"url": Secret}
JOURNAL_URL = r"^[a-z][a-z0-9+]*://"


@dataclass(frozen=True)
class Permissions:
    """What a spec or a server entry may do beyond the safe defaults; only trusted settings permit it."""

    command: bool = False
    plain_http: bool = False
    secret_folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class DayLimits:
    """How many days before an expiry or a deprecation, and after a rotation, a rule reports it."""

    expiry: int = 30
    deprecation: int = 180
    secret: int = 365


@dataclass(frozen=True)
class LintSettings:
    """The lint rules and groups to select and to ignore, as the settings name them, and the limits of rules."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    limits: DayLimits = field(default_factory=DayLimits)


@dataclass(frozen=True)
class Untrusted:
    """The file in the working folder, which may come from anyone; ``path`` is empty if there is none."""

    path: str = ""
    servers: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """The settings, with passwords as :class:`Secret`.

    ``path`` is the file that the user named, or the user's own file; it is empty if there is none. Everything but
    ``untrusted`` comes from it, and ``lint`` where it has that table. ``journal`` is the URL of the journal's database,
    None for the default in the user's state folder.
    """

    path: str = ""
    servers: Mapping[str, Table] = field(default_factory=dict)
    permissions: Permissions = Permissions()
    policy: Policy = field(default_factory=Policy)
    journal: Secret | None = None
    lint: LintSettings = field(default_factory=LintSettings)
    schedules: tuple[Schedule, ...] = ()
    fleet: FleetSettings = field(default_factory=FleetSettings)
    untrusted: Untrusted = field(default_factory=Untrusted)
    findings: tuple[Finding, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that were read."""
        return tuple(path for path in (self.untrusted.path, self.path) if path)

    @property
    def trusted(self) -> Settings:
        """The settings without the servers that an untrusted file adds, for unattended work."""
        return replace(self, untrusted=Untrusted())


def load(given: str | None = None, environ: Variables = PROCESS) -> Settings:
    """Return the settings. Raises :class:`ConfigError` for a file that is missing, unreadable or invalid.

    The user's own file applies as a whole. A file in the working folder only adds servers.
    """
    environ = Environment(environ)
    if given == "":  # as in --config "$UNSET"; other settings have another policy
        raise ConfigError("--config names no file", "give the settings file's path, or leave --config out")
    found, *users = places(given, environ)
    if not users:
        return _read(found, named=True)
    own = _read(users[0]) if is_there(users[0]) else Settings()
    is_own = bool(own.path) and os.path.realpath(found) == os.path.realpath(own.path)  # it is the working folder
    return _with_untrusted(own, found) if is_there(found) and not is_own else own


def places(given: str | None = None, environ: Variables = PROCESS) -> list[Path]:
    """Return the paths of the settings: the file that was named, or those in the working folder and the user's own."""
    environ = Environment(environ)
    if chosen := given or environ.get("config"):
        return [Path(chosen)]
    import platformdirs

    return [Path(FILE_NAME), Path(platformdirs.user_config_dir("ztrust-mail", appauthor=False)) / FILE_NAME]


def journal_url(settings: Settings, environ: Variables = PROCESS) -> Secret | None:
    """Return the URL of the journal in the settings, else the one in the environment, else None.

    Raises :class:`ConfigError` if the environment's value is not a URL.
    """
    environ = Environment(environ)
    given = environ.secret("journal")
    if settings.journal or not given:
        return settings.journal
    return _database(given, f"{PREFIX}JOURNAL")


def _seal_passwords(data: dict[str, object]) -> dict[str, object]:
    servers = data.get("servers")
    for entry in servers.values() if isinstance(servers, dict) else ():
        seal(entry, SERVER_KEYS)
    seal(data.get("journal"), JOURNAL_KEYS)
    return data


def _read(path: Path, *, named: bool = False) -> Settings:
    """Return the content of a file.

    An error is raised again here, since the frames below hold the file's text, with passwords in unexpected places.
    """
    try:
        return _parse(path, named=named)
    except ConfigError as e:
        problem = e
    raise problem.with_traceback(None)


def _parse(path: Path, *, named: bool) -> Settings:
    data = _seal_passwords(read_toml(path, named=named))
    check_keys(path, "", data, TABLES)
    servers, allow, policy, journal, lint, schedules, fleet = (cast("Table", data.get(name, {})) for name in TABLES)
    for name, entry in servers.items():
        if not isinstance(entry, dict):
            raise ConfigError(
                f"{path}: {quoted(f'servers.{name}')} is not a table", f"write {quoted(f'[servers.{name}]')}"
            )
    check_keys(path, "allow.", allow, ALLOW_KEYS)
    return Settings(
        path=str(path),
        servers=cast("Mapping[str, Table]", servers),
        permissions=_permissions(path, allow),
        policy=read_policy(path, policy),
        journal=_journal(path, journal),
        lint=_read_lint(path, lint),
        schedules=read_schedules(path, schedules),
        fleet=read_fleet(path, fleet),
    )


def _with_untrusted(own: Settings, path: Path) -> Settings:
    """Return the user's own settings with the servers that a file in the working folder adds.

    Its lint rules apply if the user has none: the author of a spec may ignore rules in the spec anyway.
    """
    found = _read(path)
    asked = {
        "allow": found.permissions != Permissions(),
        "policy": found.policy != Policy(path=str(path)),
        "journal": found.journal is not None,
        "schedules": bool(found.schedules),
        "fleet": found.fleet != FleetSettings(),
    }
    ignored = [f"[{name}]" for name, given in asked.items() if given]
    lint = found.lint if own.lint == LintSettings() else own.lint
    untrusted = Untrusted(str(path), found.servers)
    return replace(own, lint=lint, untrusted=untrusted, findings=tuple(_report_ignored(path, ignored)))


def _permissions(path: Path, allow: Table) -> Permissions:
    folders = cast("Sequence[str]", allow.get("secret_folders", ()))
    reachable = tuple(str(path.absolute().parent / folder) for folder in folders)
    return Permissions(allow.get("command") is True, allow.get("plain_http") is True, reachable)


def _read_lint(path: Path, table: Table) -> LintSettings:
    """Return the table ``[lint]`` of a settings file. Raises :class:`ConfigError`."""
    check_keys(path, "lint.", table, LINT_KEYS)
    select, ignore = (tuple(cast("list[str]", table.get(key, []))) for key in ("select", "ignore"))
    days = {name: _days(path, table, f"{name}_days", usual) for name, usual in vars(DayLimits()).items()}
    return LintSettings(select, ignore, DayLimits(**days))


def _days(path: Path, table: Table, key: str, usual: int) -> int:
    days = cast("int", table.get(key, usual))
    if not 0 <= days <= MAX_DAYS:
        raise ConfigError(f"{path}: `lint.{key}` is {days}", f"write a number of days from 0 to {MAX_DAYS}")
    return days


def _journal(path: Path, table: Table) -> Secret | None:
    check_keys(path, "journal.", table, JOURNAL_KEYS)
    url = cast("Secret | None", table.get("url"))
    return _database(url, f"{path}: `journal.url`") if url else None


def _database(url: Secret, what: str) -> Secret:
    if not re.match(JOURNAL_URL, url.reveal()):
        raise ConfigError(f"{what} is not the URL of a database", "write postgresql://user:password@host/database")
    return url


def _report_ignored(path: Path, ignored: Sequence[str]) -> Iterable[Finding]:
    if ignored:
        what = f"{' and '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored"
        message = f"{what}: the file in the working folder is not trusted"
        hint = f"name it with --config or ${PREFIX}CONFIG to trust it"
        yield warning(UNTRUSTED_RULE, message, hint, Location(str(path)))
