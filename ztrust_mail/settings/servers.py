"""Chooses the server, and collects everything needed to connect to it."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from ztrust_mail.core.errors import ConfigError, NoServerChosen
from ztrust_mail.core.findings import Finding, Location, warning
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import did_you_mean, first_and_more, parse_duration, quoted
from ztrust_mail.settings.file import FILE_NAME, Permissions, Settings
from ztrust_mail.settings.inputs import PREFIX, PROCESS, Environment, Table, Variables, variable_of
from ztrust_mail.settings.limits import MAX_CONNECTIONS, Limits, read_limits
from ztrust_mail.settings.server_entry import (
    DEFAULT_QUEUE,
    LoginReferences,
    check_entry,
    read_labels,
    read_queue,
    read_references,
    read_vars,
)
from ztrust_mail.settings.untrusted import EntryInForce, limit_entry, report_ignored
from ztrust_mail.settings.urls import FILES, check_file_url, check_url, is_file_url, is_same_url, quote_server

GATEWAYS = ("keycloak", "ztrust", "digitanium", "uipath", FILES)
HTTPS_ONLY = ("digitanium",)
"""Gateways of products that refuse plain http, also on this machine."""

PROFILES = {"V1": "/auth", "V2": "", "V3": "", "V4": ""}
"""ZTrust's versions, with the path under which each has its admin API."""

DEFAULT_REALM, DEFAULT_CLIENT, DEFAULT_CONNECTIONS, DEFAULT_TIMEOUT = "master", "admin-cli", 8, 10.0
MAX_TIMEOUT = 600.0
_LISTED = 10


@dataclass(frozen=True)
class Server:
    """One server with everything needed to connect to it. ``timeout`` is in seconds.

    ``profile`` is the version of ZTrust, empty if unknown. ``login`` has the references of secrets, which are resolved
    when the server is used; such a secret is None here. ``isolated`` means that an untrusted file chose the server
    and its login, so that no reference in a spec is resolved for it. ``labels`` are what servers are selected by, and
    ``vars`` the values of placeholders in specs. The workers of ``queue`` serve it. ``findings`` warn of settings that
    were ignored.
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
    login: LoginReferences = field(default_factory=LoginReferences)
    ca_bundle: str = ""
    connections: int = DEFAULT_CONNECTIONS
    timeout: float = DEFAULT_TIMEOUT
    plain_http: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    vars: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    queue: str = DEFAULT_QUEUE
    isolated: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def has_given_token(self) -> bool:
        """Whether the login is a token that was given, so that no other can be fetched."""
        return self.token is not None or "token" in self.login.refs


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
        name, in_force = _find_by_url(settings, entries, chosen, guard, environ)
    else:
        name, in_force = chosen, _find_entry(settings, entries, chosen, environ)
    if guard and name not in guard:
        wanted = " or ".join(quoted(g) for g in guard)
        raise ConfigError(f"the spec is meant for server {wanted}, not for {quote_server(chosen)}", "check --server")
    server = _server(settings.permissions, name, in_force.entry, in_force.environ)
    refs = in_force.references
    login = LoginReferences(refs, environ, settings.paths) if refs else LoginReferences()
    ignored = report_ignored(settings, chosen, in_force.ignored, vars(server))
    findings = (*_report_shared_variables(settings, name), *ignored)
    return replace(server, login=login, isolated=in_force.isolated, findings=findings)


def _find_entry(settings: Settings, entries: Mapping[str, Table], name: str, environ: Environment) -> EntryInForce:
    if name in settings.servers:
        check_entry(settings.path, name, settings.servers[name])
        _require_own_variables(name, settings.servers, environ)
        return _overlay(settings.path, name, settings.servers[name], environ)
    if name in entries:
        check_entry(settings.untrusted.path, name, entries[name])
        _require_own_variables(name, entries, environ)
        return limit_entry(settings.untrusted, name, environ)
    hint = (
        did_you_mean(name, entries)
        or f"known servers: {first_and_more([*entries], _LISTED) or 'none'}; a URL begins with https://"
    )
    where = " and ".join(settings.paths) or "the settings (there is no file)"
    raise ConfigError(f"no server {quote_server(name)} in {where}", hint)


def _find_by_url(
    settings: Settings, entries: Mapping[str, Table], url: str, guard: Sequence[str], environ: Environment
) -> tuple[str, EntryInForce]:
    """Return the name that the guard gives a URL, and the settings in force there.

    The login is the environment's. Of trusted entries with this URL, limits and queue always count. Labels and
    variables count with the name, since a spec has other entries and values without them.
    """
    named = [name for name, entry in entries.items() if _is_at(entry, url)]
    name = next((one for one in named if one in guard), "")
    kept: dict[str, object] = {"url": url}
    own = sorted((one for one in named if one in settings.servers), key=lambda one: one != name)
    for one in own:
        entry = settings.servers[one]
        check_entry(settings.path, one, entry)
        read_limits(one, entry)  # a bad one is reported under the entry's name
        read_queue(one, entry)
        if one == name:
            kept |= {key: entry[key] for key in ("labels", "vars") if key in entry}
        for key in ("limits", "queue"):
            if key in entry:
                kept.setdefault(key, entry[key])
    return name, EntryInForce(kept, environ)


def has_server_at(settings: Settings, url: str, environ: Variables = PROCESS) -> bool:
    """Tell whether the user's own settings or the environment name the server at a URL."""
    environ = Environment(environ)
    own = (environ.of_server(name).get("url") for name in settings.servers)
    set_by_environment = (environ.get("url"), environ.get("server"), *own)
    is_entry = any(_is_at(entry, url) for entry in settings.servers.values())
    return is_entry or any(is_same_url(one, url) for one in set_by_environment)


def _is_at(entry: Table, url: str) -> bool:
    """Tell whether an entry is for the server at a URL, with or without the path of its profile."""
    own, path = entry.get("url"), PROFILES.get(str(entry.get("profile")), "")
    return is_same_url(own, url) or (bool(path) and isinstance(own, str) and is_same_url(f"{own}{path}", url))


def _overlay(path: str, name: str, entry: Table, environ: Environment) -> EntryInForce:
    """Return a trusted entry with its keys replaced by the environment's variables of this server."""
    own = environ.keys_of_server(name)
    dropped = set(own)
    if "token" in own:
        dropped |= {"username", "password", "client_secret"}
    elif own & {"password", "client_secret"}:
        dropped.add("token")
    kept = {key: value for key, value in entry.items() if key not in dropped}
    return EntryInForce(kept, environ.of_server(name), references=read_references(path, name, kept))


def _require_own_variables(name: str, names: Iterable[str], environ: Environment) -> None:
    """Raise :class:`ConfigError` if a variable of this server could as well be another server's."""
    for key in sorted(environ.keys_of_server(name)):
        variable = variable_of(name, key)
        if others := [other for other in names if other != name and variable_of(other, key) == variable]:
            message = f"the variable {variable} could be for {quoted(name)} or {quoted(others[0])}"
            raise ConfigError(message, "rename one of the two servers in the settings")


def _report_shared_variables(settings: Settings, name: str) -> Iterator[Finding]:
    """Warn of other servers whose names give the same names of variables, such as ``prod-eu`` and ``prod.eu``.

    A login in such a variable is refused; a spec's secret in one that ``{server}`` names would be that of both.
    """
    own, found = settings.servers, settings.untrusted
    path, names = (settings.path, own) if name in own else (found.path, {**own, **found.servers})
    same = [quoted(one) for one in names if variable_of(one, "") == variable_of(name, "")]
    if name and len(same) > 1:
        variable = variable_of(name, "")
        message = f"{' and '.join(same)} have the same variables: {variable}… for the login, and those that a spec"
        yield warning("shared-variables", f"{message} names by `{{server}}`", "rename one of them", Location(path))


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
        raise NoServerChosen(
            f"several servers are possible: {first_and_more(names, _LISTED)}", "choose one with --server NAME"
        )
    hint = (
        f"give --server URL, set {PREFIX}URL, or write [servers.NAME] into {FILE_NAME}; see: ztrust-mail docs settings"
    )
    raise NoServerChosen("no server given", hint)


def _server(permissions: Permissions, name: str, entry: Table, environ: Environment) -> Server:
    def value(key: str, default: str = "") -> str:
        return str(entry[key] if key in entry else environ.get(key) or default)

    def secret(key: str) -> Secret | None:
        if key in entry:  # a reference is resolved when the server is used
            return given if isinstance(given := entry[key], Secret) else None
        return environ.secret(key)

    if is_file_url(url := value("url")) or value("gateway") == FILES:
        return replace(_without_login(name, entry), url=check_file_url(url, name, entry), gateway=FILES)
    own_login = "token" not in entry and ("username" in entry or "client_secret" in entry)
    if value("gateway") in HTTPS_ONLY and url.lower().startswith("http:"):
        message = f"the URL of {quoted(name or 'the server')} is plain http, and its product requires https"
        raise ConfigError(message, "write https://; nothing was sent", "plain-http")
    profile = _profile(str(entry.get("profile", "")), value("gateway"), name)
    common = _without_login(name, entry)
    server = replace(
        common,
        url=_with_path(check_url(url, name, plain_http=permissions.plain_http), PROFILES.get(profile, "")),
        gateway=value("gateway", "keycloak"),
        profile=profile,
        realm=_login_realm(value("realm", DEFAULT_REALM)),
        client_id=value("client_id", DEFAULT_CLIENT),
        client_secret=secret("client_secret"),
        username=value("username"),
        password=secret("password"),
        token=None if own_login else secret("token"),
        ca_bundle=_ca_bundle(value("ca_bundle")),
        connections=common.limits.connections or _connections(value("connections", str(DEFAULT_CONNECTIONS))),
        timeout=_seconds(value("timeout", f"{DEFAULT_TIMEOUT:g}s")),
        plain_http=permissions.plain_http,
    )
    if server.gateway not in GATEWAYS:
        hint = did_you_mean(server.gateway, GATEWAYS) or f"known: {', '.join(GATEWAYS)}"
        where = f"for server {quoted(name)}" if "gateway" in entry else f"in {PREFIX}GATEWAY"
        raise ConfigError(f"unknown gateway {quoted(server.gateway)} {where}", hint)
    return server


def _without_login(name: str, entry: Table) -> Server:
    """Return a server with the keys that every product has, realm files too; its URL is not known yet."""
    labels, variables = read_labels(name, entry), read_vars(name, entry)
    return Server(
        "", name, labels=labels, vars=variables, limits=read_limits(name, entry), queue=read_queue(name, entry)
    )


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
