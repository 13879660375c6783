"""Limits what an untrusted settings file, which was only found in the working folder, may set in a server's entry.

The author of the file must not decide where or how the user's login is sent. So the login is either that of the entry
as a whole, and then no part of the environment's login is used, or that of the environment as a whole, and then the
entry is only a name for ``ZTRUST_MAIL_URL``: its realm, client, user, gateway, version and certificates are ignored.

The file cannot name realm files. Otherwise its author could have passwords written in clear into a folder that others
read, or have realm exports changed before someone imports them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.findings import Finding, Location, warning
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.settings.file import UNTRUSTED_RULE, Settings, Untrusted
from ztrust_mail.settings.inputs import PREFIX, Environment, Table, variable_of
from ztrust_mail.settings.server_entry import SECRETS
from ztrust_mail.settings.urls import FILES, is_file_url, is_same_url, quote_server

_BOUNDED = ("connections", "timeout", "limits")
"""Keys that always apply: they affect neither the login nor what is written, and their values are bounded."""

_ENVIRONMENTS = ("ca_bundle", "connections", "timeout")
"""The keys that an entry with its own login still takes from the environment: no part of a login."""

_IGNORED = ("gateway", "profile", "realm", "client_id", "username", "ca_bundle", "labels", "vars", "queue")
"""Keys that are ignored with the environment's login."""


@dataclass(frozen=True)
class EntryInForce:
    """The keys and the variables that a server is built from, the references among them, and the keys that are ignored.

    ``isolated`` means that an untrusted file chose the server, so that no secret of the user may be sent to it.
    """

    entry: Table
    environ: Environment
    isolated: bool = False
    ignored: Table = field(default_factory=dict)
    references: Mapping[str, SecretRef] = field(default_factory=dict)


def limit_entry(found: Untrusted, name: str, environ: Environment) -> EntryInForce:
    """Return the keys that apply of an entry that only an untrusted file has.

    Raises :class:`ConfigError` if the environment's login would be sent to a URL of the file's choice, and for realm
    files that the user did not name.
    """
    entry, own = found.servers[name], environ.keys_of_server(name)
    if refs := [key for key in SECRETS if isinstance(entry.get(key), dict)]:
        place = quoted(f"servers.{name}.{refs[0]}")
        message = f"{found.path}, found in the working folder, has a reference as {place}, which is not resolved"
        raise ConfigError(message, f"trust the file with --config {found.path}", UNTRUSTED_RULE)
    is_elsewhere = bool(own) and "url" not in own  # a login of this server is not sent to the general URL
    environ = environ.of_server(name)
    url, meant = entry.get("url"), "" if is_elsewhere else environ.get("url")
    chosen_by_user = url is None or is_same_url(url, meant)
    has_own_login = any(key in entry for key in SECRETS)
    if not chosen_by_user and (is_file_url(str(url)) or entry.get("gateway") == FILES):
        message = f"only {found.path}, found in the working folder, names the realm files {quote_server(str(url))}"
        raise ConfigError(message, f"choose them with --server URL, or trust the file with --config {found.path}")
    if is_elsewhere and url is None and not has_own_login:
        message = f"the login of server {quoted(name)} is in variables of its own, and none of them names its URL"
        raise ConfigError(message, f"set {variable_of(name, 'url')} to the login's own server", UNTRUSTED_RULE)
    if has_own_login or (not chosen_by_user and not meant and not environ.has_login()):
        return EntryInForce(entry, environ.limited_to(_ENVIRONMENTS), isolated=True)
    if not chosen_by_user:
        raise _refusal(found.path, str(url), meant)
    kept = {key: entry[key] for key in _BOUNDED if key in entry and not is_file_url(meant)}
    return EntryInForce(kept, environ, ignored={key: entry[key] for key in _IGNORED if key in entry})


def _refusal(path: str, url: str, meant: str) -> ConfigError:
    trust = f"trust the file with --config {path}"
    if meant:
        message = (
            f"{path}, found in the working folder, names {quote_server(url)}; {PREFIX}URL names {quote_server(meant)}"
        )
        hint = f"the environment's login is sent to its own URL only; choose another with --server URL, or {trust}"
        return ConfigError(message, hint, UNTRUSTED_RULE)
    message = f"the login in the environment is not sent to {quote_server(url)}"
    message += f", which only {path} names: the file in the working folder is not trusted"
    return ConfigError(message, f"set {PREFIX}URL to the login's own server, or {trust}", UNTRUSTED_RULE)


def report_ignored(settings: Settings, name: str, ignored: Table, in_force: Table) -> Iterator[Finding]:
    """Report the keys of the untrusted file that are ignored. ``in_force`` holds the server's own values."""
    found = settings.untrusted
    own, entry = settings.servers.get(name), found.servers.get(name)
    if own is not None and entry is not None and own != entry:
        message = f"{quoted(f'servers.{name}')} is ignored: {settings.path} has a server of the same name"
        hint = f"rename one of them, or trust this file with --config {found.path}"
        yield warning(UNTRUSTED_RULE, message, hint, Location(found.path))
    if keys := [key for key, value in ignored.items() if value != in_force[key]]:
        names, values = ", ".join(map(quoted, keys)), ", ".join(_describe(key, in_force[key]) for key in keys)
        message = (
            f"ignored in {quoted(f'servers.{name}')}: {names}; the file in the working folder is not trusted, and the"
            f" login comes from the environment; in force: {values}"
        )
        hint = f"set the {PREFIX} variables, or trust the file with --config {found.path} or {PREFIX}CONFIG"
        yield warning(UNTRUSTED_RULE, message, hint, Location(found.path))


def _describe(key: str, value: object) -> str:
    return f"{key} {quoted(value)}" if value else f"no {key}"
