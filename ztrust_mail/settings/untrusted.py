"""What counts of a server's entry in a file that was only found in the working folder.

Whoever wrote that file must not decide where or how the user's login goes. So the login is either the entry's as a
whole, and then nothing of the environment's goes with it, or the environment's as a whole, and then the entry is only
a name for ``ZTRUST_MAIL_URL``: its realm, client, user, gateway, version and certificates are ignored.

Realm files are only those that the user named. Otherwise the file's author could have passwords written in clear into
a folder that others read, or have realm exports changed that somebody imports later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import quoted
from ztrust_mail.settings.environment import PREFIX, Environment
from ztrust_mail.settings.file import UNTRUSTED_RULE, Settings, Untrusted
from ztrust_mail.settings.tables import Table
from ztrust_mail.settings.urls import FILES, is_file_url, is_same_url, shown

SECRETS = ("password", "client_secret", "token")
"""An entry with one of these has a login of its own."""

_BOUNDED = ("connections", "timeout")
"""Keys that count in any case: they decide nothing about the login, and their values are bounded."""

_ENVIRONMENTS = ("ca_bundle", *_BOUNDED)
"""What an entry with a login of its own still takes from the environment. No part of a login is among it."""

_IGNORED = ("gateway", "profile", "realm", "client_id", "username", "ca_bundle")
"""Keys that do not count with the environment's login."""


@dataclass(frozen=True)
class Counting:
    """The keys and the variables that a server is made of, and the keys that are ignored.

    ``isolated`` tells that an untrusted file chose the server, so that no secret of the user may go there.
    """

    entry: Table
    environ: Environment
    isolated: bool = False
    ignored: Table = field(default_factory=dict)


def limit_entry(found: Untrusted, name: str, environ: Environment) -> Counting:
    """Return what counts of an entry that only an untrusted file has.

    Raises :class:`ConfigError` where the environment's login would go to a URL of the file's choice, and for realm
    files that the user did not name.
    """
    entry = found.servers[name]
    url, meant = entry.get("url"), environ.get("url")
    chosen_by_user = url is None or is_same_url(url, meant)
    has_own_login = any(key in entry for key in SECRETS)
    if not chosen_by_user and (is_file_url(str(url)) or entry.get("gateway") == FILES):
        message = f"only {found.path}, found in the working folder, names the realm files {shown(str(url))}"
        raise ConfigError(message, f"choose them with --server URL, or trust the file with --config {found.path}")
    if has_own_login or (not chosen_by_user and not meant and not environ.has_login()):
        return Counting(entry, environ.limited_to(_ENVIRONMENTS), isolated=True)
    if not chosen_by_user:
        raise _refusal(found.path, str(url), meant)
    kept = {key: entry[key] for key in _BOUNDED if key in entry and not is_file_url(meant)}
    return Counting(kept, environ, ignored={key: entry[key] for key in _IGNORED if key in entry})


def _refusal(path: str, url: str, meant: str) -> ConfigError:
    trust = f"trust the file with --config {path}"
    if meant:
        message = f"{path}, found in the working folder, names {shown(url)}; {PREFIX}URL names {shown(meant)}"
        hint = f"the environment's login goes to its own URL only; choose another with --server URL, or {trust}"
        return ConfigError(message, hint, UNTRUSTED_RULE)
    message = f"the login in the environment is not sent to {shown(url)}"
    message += f", which only {path} names: it was found in the working folder, where anybody may have put it"
    return ConfigError(message, f"set {PREFIX}URL to the login's own server, or {trust}", UNTRUSTED_RULE)


def report_ignored(settings: Settings, name: str, ignored: Table, in_force: Table) -> Iterator[Finding]:
    """Report what the untrusted file says of a server in vain. ``in_force`` are the server's own values."""
    found = settings.untrusted
    own, entry = settings.servers.get(name), found.servers.get(name)
    if own is not None and entry is not None and own != entry:
        message = f"{quoted(f'servers.{name}')} is ignored: the server of that name in {settings.path} counts"
        hint = f"rename one of them, or trust this file with --config {found.path}"
        yield Finding(Severity.WARNING, UNTRUSTED_RULE, message, hint, Location(found.path))
    if keys := [key for key, value in ignored.items() if value != in_force[key]]:
        names, values = ", ".join(map(quoted, keys)), ", ".join(_stated(key, in_force[key]) for key in keys)
        message = (
            f"ignored in {quoted(f'servers.{name}')}: {names}; this file was only found in the working folder, and the"
            f" login comes from the environment; in force: {values}"
        )
        hint = f"set the {PREFIX} variables, or trust the file with --config {found.path} or {PREFIX}CONFIG"
        yield Finding(Severity.WARNING, UNTRUSTED_RULE, message, hint, Location(found.path))


def _stated(key: str, value: object) -> str:
    return f"{key} {quoted(value)}" if value else f"no {key}"
