"""Chooses the server, and collects everything needed to connect to it.

What a server's entry may set is limited in an untrusted file, which was only found in the working folder.

The author of the file must not decide where or how the user's login is sent. So the login is either that of the entry
as a whole, and then no part of the environment's login is used, or that of the environment as a whole, and then the
entry is only a name for ``ZTRUST_MAIL_URL``: its realm, client, user, gateway, version and certificates are ignored.

The file cannot name realm files. Otherwise its author could have passwords written in clear into a folder that others
read, or have realm exports changed before someone imports them.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from ztrust_mail.core.errors import ConfigError, NoServerChosen
from ztrust_mail.core.findings import Finding, Location, warning
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import did_you_mean, first_and_more, parse_duration, quoted
from ztrust_mail.settings.file import FILE_NAME, UNTRUSTED_RULE, Permissions, Settings, Untrusted
from ztrust_mail.settings.inputs import PREFIX, PROCESS, Environment, Table, Variables
from ztrust_mail.settings.texts import read_labels, read_vars
from ztrust_mail.settings.urls import FILES, check_file_url, check_url, is_file_url, is_same_url, quote_server

GATEWAYS = ("keycloak", "ztrust", "digitanium", "uipath", FILES)
HTTPS_ONLY = ("digitanium",)
"""Gateways of products that refuse plain http, also on this machine."""

PROFILES = {"V1": "/auth", "V2": "", "V3": "", "V4": ""}
"""ZTrust's versions, with the path under which each has its admin API."""

DEFAULT_REALM, DEFAULT_CLIENT, DEFAULT_CONNECTIONS, DEFAULT_TIMEOUT = "master", "admin-cli", 8, 10.0
MAX_CONNECTIONS, MAX_TIMEOUT = 64, 600.0
_LISTED = 10

SECRETS = ("password", "client_secret", "token")
"""An entry with one of these has a login of its own."""

_BOUNDED = ("connections", "timeout", "labels")
"""Keys that always apply: they affect neither the login nor what is written, and their values are bounded."""

_ENVIRONMENTS = ("ca_bundle", "connections", "timeout")
"""What an entry with a login of its own still takes from the environment: no part of a login."""

_IGNORED = ("gateway", "profile", "realm", "client_id", "username", "ca_bundle", "vars")
"""Keys that are ignored with the environment's login."""


@dataclass(frozen=True)
class Server:
    """One server with everything needed to connect to it. ``timeout`` is in seconds.

    ``profile`` is the version of ZTrust, empty if unknown. ``isolated`` means that an untrusted file chose the server
    and its login, so that no reference in a spec is resolved for it. ``labels`` are what servers are selected by, and
    ``vars`` the values of placeholders in specs. ``findings`` warn of settings that were ignored.
    """

    url: str
    name: str = ""
    gateway: str = "keycloak"
    profile: str = ""
    realm: str = DEFAULT_REALM
    client_id: str = DEFAULT_CLIENT
    client_secret: Secret | None = None
    username: str = ""
    password: Secret | None = None
    token: Secret | None = None
    ca_bundle: str = ""
    connections: int = DEFAULT_CONNECTIONS
    timeout: float = DEFAULT_TIMEOUT
    plain_http: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    vars: Mapping[str, str] = field(default_factory=dict)
    isolated: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class EntryInForce:
    """The keys and the variables that a server is built from, and the keys that are ignored.

    ``isolated`` means that an untrusted file chose the server, so that no secret of the user may be sent to it.
    """

    entry: Table
    environ: Environment
    isolated: bool = False
    ignored: Table = field(default_factory=dict)


def choose_server(
    settings: Settings, option: str | None = None, guard: Sequence[str] = (), environ: Variables = PROCESS
) -> Server:
    """Return the server chosen by the option, the spec's guard, the only entry, or the environment.

    Raises :class:`ConfigError` if no server or several could be meant, if the guard does not match, or if an untrusted
    file would decide where the environment's login is sent.
    """
    environ = Environment(environ)
    entries = {**settings.untrusted.servers, **settings.servers}  # the user's own entry takes precedence
    chosen = option or environ.get("server") or _infer_server(settings, entries, guard, environ)
    if "://" in chosen or is_file_url(chosen):
        named = [name for name, entry in entries.items() if is_same_url(entry.get("url"), chosen)]
        name, in_force = next((n for n in named if n in guard), ""), EntryInForce({"url": chosen}, environ)
    else:
        name, in_force = chosen, _find_entry(settings, entries, chosen, environ)
    if guard and name not in guard:
        wanted = " or ".join(quoted(g) for g in guard)
        raise ConfigError(f"the spec is meant for server {wanted}, not for {quote_server(chosen)}", "check --server")
    server = _server(settings.permissions, name, in_force.entry, in_force.environ)
    findings = report_ignored(settings, chosen, in_force.ignored, vars(server))
    return replace(server, isolated=in_force.isolated, findings=tuple(findings))


def _find_entry(settings: Settings, entries: Mapping[str, Table], name: str, environ: Environment) -> EntryInForce:
    if name in settings.servers:
        return EntryInForce(settings.servers[name], environ)
    if name in entries:
        return limit_entry(settings.untrusted, name, environ)
    hint = (
        did_you_mean(name, entries)
        or f"known servers: {_first_names([*entries]) or 'none'}; a URL begins with https://"
    )
    where = " and ".join(settings.paths) or "the settings (there is no file)"
    raise ConfigError(f"no server {quote_server(name)} in {where}", hint)


def _infer_server(settings: Settings, entries: Mapping[str, Table], guard: Sequence[str], environ: Environment) -> str:
    if len(guard) == 1:
        return guard[0]
    names = list(guard or entries)
    if len(names) == 1:
        return names[0]
    is_ambiguous = not guard and len(settings.servers) == 1  # only because of the untrusted file
    if (url := environ.get("url")) and not is_ambiguous:
        return url
    if names:
        raise NoServerChosen(f"several servers are possible: {_first_names(names)}", "choose one with --server NAME")
    hint = (
        f"give --server URL, set {PREFIX}URL, or write [servers.NAME] into {FILE_NAME}; see: ztrust-mail docs settings"
    )
    raise NoServerChosen("no server given", hint)


def _first_names(names: Sequence[str]) -> str:
    return first_and_more(names, _LISTED)


def _server(permissions: Permissions, name: str, entry: Table, environ: Environment) -> Server:
    def value(key: str, default: str = "") -> str:
        return str(entry[key] if key in entry else environ.get(key) or default)

    def secret(key: str) -> Secret | None:
        return given if isinstance(given := entry.get(key), Secret) else environ.secret(key)

    if is_file_url(url := value("url")) or value("gateway") == FILES:
        labels, variables = read_labels(name, entry), read_vars(name, entry)
        return Server(check_file_url(url, name, entry), name, FILES, labels=labels, vars=variables)
    own_login = "token" not in entry and ("username" in entry or "client_secret" in entry)
    if value("gateway") in HTTPS_ONLY and url.lower().startswith("http:"):
        message = f"the URL of {quoted(name or 'the server')} is plain http, and its product requires https"
        raise ConfigError(message, "write https://; nothing was sent", "plain-http")
    profile = _profile(str(entry.get("profile", "")), value("gateway"), name)
    server = Server(
        url=_with_path(check_url(url, name, plain_http=permissions.plain_http), PROFILES.get(profile, "")),
        name=name,
        gateway=value("gateway", "keycloak"),
        profile=profile,
        realm=_login_realm(value("realm", DEFAULT_REALM)),
        client_id=value("client_id", DEFAULT_CLIENT),
        client_secret=secret("client_secret"),
        username=value("username"),
        password=secret("password"),
        token=None if own_login else secret("token"),
        ca_bundle=_ca_bundle(value("ca_bundle")),
        connections=_connections(value("connections", str(DEFAULT_CONNECTIONS))),
        timeout=_seconds(value("timeout", f"{DEFAULT_TIMEOUT:g}s")),
        plain_http=permissions.plain_http,
        labels=read_labels(name, entry),
        vars=read_vars(name, entry),
    )
    if server.gateway not in GATEWAYS:
        hint = did_you_mean(server.gateway, GATEWAYS) or f"known: {', '.join(GATEWAYS)}"
        where = f"for server {quoted(name)}" if "gateway" in entry else f"in {PREFIX}GATEWAY"
        raise ConfigError(f"unknown gateway {quoted(server.gateway)} {where}", hint)
    return server


def _profile(profile: str, gateway: str, name: str) -> str:
    if profile and gateway != "ztrust":
        raise ConfigError(f"server {quoted(name)} has a profile, which only ZTrust has", 'add gateway = "ztrust"')
    if profile and profile not in PROFILES:
        hint = f"ZTrust's versions are {', '.join(PROFILES)}"
        raise ConfigError(f"unknown profile {quoted(profile)} for server {quoted(name)}", hint)
    return profile


def _with_path(url: str, path: str) -> str:
    return url if urlsplit(url).path else f"{url}{path}"


def _login_realm(realm: str) -> str:
    if realm in (".", ".."):
        raise ConfigError(f"realm {quoted(realm)} cannot be named in a URL", "name the realm of the account")
    return realm


def _ca_bundle(path: str) -> str:
    if path and not os.path.isfile(path):
        raise ConfigError(
            f"the CA bundle {quoted(str(path), 255)} does not exist", f"check ca_bundle or {PREFIX}CA_BUNDLE"
        )
    return path


def _connections(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_CONNECTIONS:
        raise ConfigError(f"connections is {quoted(text)}", f"a whole number from 1 to {MAX_CONNECTIONS}")
    return int(text)


def _seconds(text: str) -> float:
    seconds = (parse_duration(text) or 0) / 1000
    if not 0 < seconds <= MAX_TIMEOUT or text.startswith("0"):
        hint = "write a whole number and a unit without a space: ms, s or m, such as 10s; 10m at most"
        raise ConfigError(f"timeout is {quoted(text)}", hint)
    return seconds


def limit_entry(found: Untrusted, name: str, environ: Environment) -> EntryInForce:
    """Return the keys that apply of an entry that only an untrusted file has.

    Raises :class:`ConfigError` if the environment's login would be sent to a URL of the file's choice, and for realm
    files that the user did not name.
    """
    entry = found.servers[name]
    url, meant = entry.get("url"), environ.get("url")
    chosen_by_user = url is None or is_same_url(url, meant)
    has_own_login = any(key in entry for key in SECRETS)
    if not chosen_by_user and (is_file_url(str(url)) or entry.get("gateway") == FILES):
        message = f"only {found.path}, found in the working folder, names the realm files {quote_server(str(url))}"
        raise ConfigError(message, f"choose them with --server URL, or trust the file with --config {found.path}")
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
