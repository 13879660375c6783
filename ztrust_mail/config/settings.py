"""The settings file: where it lies, what it says, and what of it counts where nobody named it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from ztrust_mail.config.policy import Policy, read_policy
from ztrust_mail.config.tables import Keys, Table, check_keys, seal
from ztrust_mail.errors import ConfigError
from ztrust_mail.findings import Finding, Location, Severity
from ztrust_mail.sensitive import Secret
from ztrust_mail.text import quoted

FILE_NAME = "ztrust-mail.toml"
PREFIX = "ZTRUST_MAIL_"

TABLES: Keys = {"servers": dict, "allow": dict, "policy": dict, "journal": dict}
SERVER_KEYS: Keys = {
    "url": str,
    "gateway": str,
    "profile": str,
    "realm": str,
    "client_id": str,
    "client_secret": Secret,
    "username": str,
    "password": Secret,
    "token": Secret,
    "ca_bundle": str,
    "connections": int,
    "timeout": str,
}
ALLOW_KEYS: Keys = {"command": bool, "plain_http": bool, "secret_folders": list}
JOURNAL_KEYS: Keys = {"url": Secret}
JOURNAL_URL = r"^[a-z][a-z0-9+]*://"


@dataclass(frozen=True)
class Permissions:
    """What a spec or a server entry may do beyond the safe defaults; only trusted settings grant it."""

    command: bool = False
    plain_http: bool = False
    secret_folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """The settings as read, passwords as :class:`Secret`; ``path`` is empty where there is no file.

    ``journal`` is the URL of the journal's database, None for the one in the user's state folder.
    """

    path: str = ""
    servers: Mapping[str, Table] = field(default_factory=dict)
    permissions: Permissions = Permissions()
    policy: Policy = field(default_factory=Policy)
    journal: Secret | None = None
    trusted: bool = True
    findings: tuple[Finding, ...] = ()


def load(given: str | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in force. Raises :class:`ConfigError` for a file that is missing or wrong.

    A file in the working folder goes before the user's own, but the policy and the journal stay the user's: else
    whoever can put a file there could do away with the policy.
    """
    found, *users = places(given, environ)
    if not users:
        return _read(found, trusted=True)
    own = _read(users[0], trusted=True) if os.path.isfile(users[0]) else Settings()  # isfile: False in a closed folder
    if not os.path.isfile(found):
        return own
    return replace(_read(found, trusted=False), policy=own.policy, journal=own.journal)


def places(given: str | None = None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return where settings are looked for: in the one file that was named, or in the working and the user's folder."""
    if chosen := given or environ.get(f"{PREFIX}CONFIG"):
        return [Path(chosen)]
    import platformdirs

    return [Path(FILE_NAME), Path(platformdirs.user_config_dir("ztrust-mail", appauthor=False)) / FILE_NAME]


def journal_url(settings: Settings, environ: Mapping[str, str] = os.environ) -> Secret | None:
    """Return where the journal is kept: the settings' place, else the environment's, else None.

    Raises :class:`ConfigError` where the environment's is no URL.
    """
    given = Secret(environ.get(f"{PREFIX}JOURNAL", "").removesuffix("\n").removesuffix("\r"))
    if settings.journal or given == Secret(""):
        return settings.journal
    return _database(given, f"{PREFIX}JOURNAL")


def _parsed(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            return _sealed(tomllib.load(file))
    except OSError as e:
        raise ConfigError(f"cannot read the settings file {path}: {e.strerror}", "check --config") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the settings file {path} is not UTF-8", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as e:
        at = re.search(r"line (\d+), column (\d+)", str(e))
        where = f"{path}:{at[1]}:{at[2]}" if at else str(path)
        raise ConfigError(f"{where}: not valid TOML", "texts stand in quotes, tables in [brackets]") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply", "settings are texts, numbers and lists in tables") from None


def _sealed(data: dict[str, object]) -> dict[str, object]:
    servers = data.get("servers")
    for entry in servers.values() if isinstance(servers, dict) else ():
        seal(entry, SERVER_KEYS)
    seal(data.get("journal"), JOURNAL_KEYS)
    return data


def _read(path: Path, *, trusted: bool) -> Settings:
    data = _parsed(path)
    check_keys(path, "", data, TABLES)
    servers, allow, policy, journal = (cast("Table", data.get(name, {})) for name in TABLES)
    for name, entry in servers.items():
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}: {quoted(f'servers.{name}')} is no table", f"write [servers.{name}]")
        check_keys(path, f"servers.{name}.", entry, SERVER_KEYS)
    check_keys(path, "allow.", allow, ALLOW_KEYS)
    stated, kept = read_policy(path, policy), _journal(path, journal)
    settings = Settings(str(path), cast("Mapping[str, Table]", servers))
    if trusted:
        return replace(settings, permissions=_permissions(path, allow), policy=stated, journal=kept)
    asked = {"allow": any(allow.values()), "policy": bool(policy), "journal": bool(journal)}
    ignored = [f"[{name}]" for name, given in asked.items() if given]
    return replace(settings, trusted=False, findings=tuple(_untrusted(path, ignored)))


def _permissions(path: Path, allow: Table) -> Permissions:
    folders = cast("Sequence[str]", allow.get("secret_folders", ()))
    reachable = tuple(str(path.absolute().parent / folder) for folder in folders)
    return Permissions(allow.get("command") is True, allow.get("plain_http") is True, reachable)


def _journal(path: Path, table: Table) -> Secret | None:
    check_keys(path, "journal.", table, JOURNAL_KEYS)
    url = cast("Secret | None", table.get("url"))
    return _database(url, f"{path}: `journal.url`") if url else None


def _database(url: Secret, what: str) -> Secret:
    if not re.match(JOURNAL_URL, url.reveal()):
        raise ConfigError(f"{what} is not the URL of a database", "write postgresql://user:password@host/database")
    return url


def _untrusted(path: Path, ignored: Sequence[str]) -> Iterable[Finding]:
    if ignored:
        what = f"{' and '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored"
        message = f"{what}: this file was found in the working folder, which proves nothing"
        hint = f"name it with --config or ${PREFIX}CONFIG to trust it"
        yield Finding(Severity.WARNING, "untrusted-settings", message, hint, Location(str(path)))
