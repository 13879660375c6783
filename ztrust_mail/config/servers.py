"""Which server is meant, and everything needed to work with it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ztrust_mail.config.file_urls import FILES, canonical, is_file_url
from ztrust_mail.config.settings import FILE_NAME, PREFIX, Permissions, Settings
from ztrust_mail.config.tables import Table
from ztrust_mail.errors import ConfigError, NoServerChosen
from ztrust_mail.sensitive import Secret
from ztrust_mail.text import did_you_mean, quoted

GATEWAYS = ("keycloak", "ztrust", "digitanium", "uipath", FILES)
HTTPS_ONLY = ("digitanium",)
"""Gateways of products that take no plain http, not even on this machine."""

PROFILES = {"V1": "/auth", "V2": "", "V3": "", "V4": ""}
"""ZTrust's versions, with the path under which each has its admin API."""

DEFAULT_REALM, DEFAULT_CLIENT, DEFAULT_CONNECTIONS, DEFAULT_TIMEOUT = "master", "admin-cli", 8, 10.0
MAX_CONNECTIONS, MAX_TIMEOUT = 64, 600.0
_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Server:
    """One server with everything needed to work with it. ``timeout`` is in seconds.

    ``profile`` is the version of ZTrust, empty where nobody said.
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


def choose_server(
    settings: Settings,
    option: str | None = None,
    guard: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Server:
    """Return the server to work with: the option, the spec's guard, the only entry, or the environment.

    Raises :class:`ConfigError` where none or several could be meant, or where the guard is not met.
    """
    chosen = option or environ.get(f"{PREFIX}SERVER") or _implied(settings, guard, environ)
    if "://" in chosen or is_file_url(chosen):
        named = [name for name, entry in settings.servers.items() if _same_url(entry.get("url"), chosen)]
        entry: Table = {"url": chosen}
        name = next((n for n in named if n in guard), "")
    else:
        name, entry = chosen, _entry(settings, chosen)
        _refuse_redirected_login(settings, entry, environ)
    if guard and name not in guard:
        wanted = " or ".join(quoted(g) for g in guard)
        raise ConfigError(f"the spec is meant for server {wanted}, not for {_shown(chosen)}", "check --server")
    return _server(settings, name, entry, environ)


def _implied(settings: Settings, guard: Sequence[str], environ: Mapping[str, str]) -> str:
    if len(guard) == 1:
        return guard[0]
    names = list(guard or settings.servers)
    if len(names) == 1:
        return names[0]
    if url := environ.get(f"{PREFIX}URL"):
        return url
    if names:
        raise NoServerChosen(f"which server? Known are {', '.join(names)}", "choose one with --server NAME")
    hint = f"give --server URL, set {PREFIX}URL, or write [servers.NAME] into {FILE_NAME}"
    raise NoServerChosen("no server is named anywhere", hint)


def _entry(settings: Settings, name: str) -> Table:
    if name in settings.servers:
        return settings.servers[name]
    hint = did_you_mean(name, settings.servers)
    if not hint:
        known = ", ".join(settings.servers) or "none"
        hint = f"known servers: {known}; a URL begins with https://"
    raise ConfigError(f"no server {_shown(name)} in {settings.path or 'the settings (there is no file)'}", hint)


def _server(settings: Settings, name: str, entry: Table, environ: Mapping[str, str]) -> Server:
    def value(key: str, default: str = "") -> str:
        return str(entry[key] if key in entry else environ.get(f"{PREFIX}{key.upper()}") or default)

    def secret(key: str) -> Secret | None:
        if isinstance(given := entry.get(key), Secret):
            return given
        text = environ.get(f"{PREFIX}{key.upper()}", "").removesuffix("\n").removesuffix("\r")
        return Secret(text) if text else None

    if is_file_url(url := value("url")) or value("gateway") == FILES:
        return Server(url=canonical(url, name, entry), name=name, gateway=FILES)
    own_login = "token" not in entry and ("username" in entry or "client_secret" in entry)
    if value("gateway") in HTTPS_ONLY and url.lower().startswith("http:"):
        message = f"the URL of {quoted(name or 'the server')} is plain http, and its product takes https only"
        raise ConfigError(message, "write https://; it is refused before anything is sent", "plain-http")
    profile = _profile(str(entry.get("profile", "")), value("gateway"), name)
    server = Server(
        url=_with_path(_checked_url(url, name, settings.permissions), PROFILES.get(profile, "")),
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
        plain_http=settings.permissions.plain_http,
    )
    if server.gateway not in GATEWAYS:
        hint = did_you_mean(server.gateway, GATEWAYS) or f"known: {', '.join(GATEWAYS)}"
        where = f"for server {quoted(name)}" if "gateway" in entry else f"in {PREFIX}GATEWAY"
        raise ConfigError(f"unknown gateway {quoted(server.gateway)} {where}", hint)
    return server


def _profile(profile: str, gateway: str, name: str) -> str:
    if profile and gateway != "ztrust":
        raise ConfigError(f"the profile of server {quoted(name)} is ZTrust's", 'add gateway = "ztrust"')
    if profile and profile not in PROFILES:
        hint = f"ZTrust's versions are {', '.join(PROFILES)}"
        raise ConfigError(f"unknown profile {quoted(profile)} for server {quoted(name)}", hint)
    return profile


def _with_path(url: str, path: str) -> str:
    return url if urlsplit(url).path else f"{url}{path}"


def _refuse_redirected_login(settings: Settings, entry: Table, environ: Mapping[str, str]) -> None:
    """Keep the environment's login for the environment's server, whatever an untrusted file says."""
    meant, url = environ.get(f"{PREFIX}URL"), entry.get("url")
    if not settings.trusted and meant and isinstance(url, str) and not _same_url(url, meant):
        raise ConfigError(
            f"{settings.path}, found in the working folder, names {_shown(url)}; {PREFIX}URL names {_shown(meant)}",
            f"the environment's login goes to its own URL only; trust the file with --config, or unset {PREFIX}URL",
        )


def _checked_url(url: str, name: str, permissions: Permissions) -> str:
    try:
        parts = urlsplit(url)
        host, sound = parts.hostname or "", parts.port != 0 and not re.search(r"\](?!:|$)", parts.netloc)
    except ValueError:
        parts, host, sound = urlsplit(""), "", False
    what = f"the URL of server {quoted(name)}" if name else "the server's URL"
    if not sound or not host or parts.scheme not in ("http", "https") or not _is_plain(url):
        raise ConfigError(f"{what} is not an http(s) URL", "write https://host or https://host/auth")
    if parts.username is not None or "?" in url or "#" in url:
        raise ConfigError(f"{what} holds a login, a query or a fragment", f"use {PREFIX}USERNAME and _PASSWORD")
    if parts.scheme == "http" and not is_loopback(host) and not permissions.plain_http:
        hint = "use https, or set plain_http = true under [allow] in settings named by --config"
        raise ConfigError(f"{what} is plain http: the admin's password would go in clear to {host}", hint)
    return _canonical(url)


def _canonical(url: str) -> str:
    """Return the one way to write a sound http(s) URL: who is locked out, and what is remembered, goes by it."""
    parts = urlsplit(url)
    name = (parts.hostname or "").removesuffix(".")  # the root of all names, which no certificate holds
    host = f"[{name}]" if ":" in name else name
    port = f":{parts.port}" if parts.port not in (None, _USUAL_PORTS[parts.scheme]) else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _is_plain(url: str) -> bool:
    """Tell whether a URL means the same to everybody: parsers differ in what they drop or turn round."""
    return url.isprintable() and not any(character.isspace() or character == "\\" for character in url)


def is_loopback(host: str) -> bool:
    """Tell whether a host name can only be this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(server: str) -> str:
    """Return what was given as a server without a login that it may hold."""
    return quoted(re.sub(r".*@", "…@", server, flags=re.DOTALL))


def _login_realm(realm: str) -> str:
    if realm in (".", ".."):
        raise ConfigError(f"realm {quoted(realm)} cannot be named in a URL", "name the realm the account lives in")
    return realm


def _same_url(configured: object, url: str) -> bool:
    if not isinstance(configured, str):
        return False
    try:
        return _canonical(configured) == _canonical(url)
    except (ValueError, KeyError):  # one of them is no such URL, which is told where it is used
        return configured == url


def _ca_bundle(path: str) -> str:
    if path and not os.path.isfile(path):
        raise ConfigError(f"the CA bundle {path} does not exist", f"check ca_bundle or {PREFIX}CA_BUNDLE")
    return path


def _connections(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_CONNECTIONS:
        raise ConfigError(f"connections is {quoted(text)}", f"a whole number from 1 to {MAX_CONNECTIONS}")
    return int(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([1-9][0-9]{0,5})(ms|s|m)", text)
    seconds = int(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[found[2]] if found else 0.0
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ConfigError(
            f"timeout is {quoted(text)}",
            "write a whole number and ms, s or m right behind it, such as 10s; 10m at most",
        )
    return seconds
