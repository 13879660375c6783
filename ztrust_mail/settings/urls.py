"""Checks the URLs of servers and of realm files, and brings them to one spelling."""

import ipaddress
import os
import re
from pathlib import Path
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.text import quoted
from ztrust_mail.settings.inputs import PREFIX, Table

FILES = "realm_files"
"""The gateway for realm files."""

_START = "file://"
_KEYS = ("url", "gateway", "labels", "vars", "limits", "queue")


def is_file_url(url: str) -> bool:
    """Tell whether a URL names files, valid or not."""
    return url[:5].casefold() == "file:"


def check_file_url(url: str, name: str, entry: Table) -> str:
    """Return the canonical URL of realm files, links followed. Raises :class:`ConfigError`.

    ``entry`` is the server's entry in the settings; most of its keys, such as those of a login, are refused here.
    """
    what = f"server {quoted(name)}" if name else "the server"
    if entry.get("gateway", FILES) != FILES:
        raise ConfigError(
            f"{what} has a file: URL, which the gateway {quoted(entry['gateway'])} does not support", f"use {FILES}"
        )
    if needless := [key for key in entry if key not in _KEYS]:
        raise ConfigError(f"{quoted(needless[0])} of {what} has no effect on realm files", "remove it")
    if not url.startswith(f"{_START}/") or "\0" in (path := folder_of(url)):
        hint = "write file:///path/to/folder, in a shell file://$PWD/folder"
        raise ConfigError(f"the URL of {what} is not an absolute file: URL", hint)
    return Path(os.path.realpath(path)).as_uri()


def folder_of(url: str) -> str:
    """Return the path of the folder or file that a file: URL names."""
    return os.fsdecode(unquote_to_bytes(url.removeprefix(_START)))


_USUAL_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)*/*")
"""No dot segments, empty segments, ``%`` or ``;``: clients and servers resolve, decode or drop them."""


_PAGE = re.compile(r"(?P<base>.*?)/(?:admin(?:/[^/]+/console|/realms)?|realms/[^/]+(?:/[a-z.-]+)?)(?:/.*)?")
"""The console, the API or an account page of Keycloak: ``/auth/admin/master/console/``, ``/realms/acme/account``."""


def check_url(url: str, name: str, *, plain_http: bool) -> str:
    """Return the canonical spelling of a server's http(s) URL. Raises :class:`ConfigError` for any other URL."""
    try:
        parts = urlsplit(url)
        host, sound = parts.hostname or "", parts.port != 0 and not re.search(r"\](?!:|$)", parts.netloc)
    except ValueError:
        parts, host, sound = urlsplit(""), "", False
    what = f"the URL of server {quoted(name)}" if name else "the server's URL"
    if not sound or not host or parts.scheme not in ("http", "https") or not _is_plain(url):
        raise ConfigError(f"{what} is not an http(s) URL", "write https://host or https://host/auth")
    if page := _PAGE.fullmatch(parts.path):
        base = _canonical(parts._replace(path=page["base"]))
        raise ConfigError(f"{what} leads to a page of the server, not to its base", f"write {base}")
    if _has_more_than_address(url, parts):
        raise ConfigError(f"{what} contains a login, a query or a fragment", f"use {PREFIX}USERNAME and _PASSWORD")
    if not _PATH.fullmatch(parts.path):
        message = f"{what} has the path {quoted(parts.path)}, which has several spellings"
        raise ConfigError(message, "write the path without `.` and `..` segments, `//`, `%`, `;` and accented letters")
    if parts.scheme == "http" and not is_loopback(host) and not plain_http:
        hint = "use https, or set plain_http = true under [allow] in settings named by --config"
        raise ConfigError(f"{what} is plain http: the admin's password would be sent in clear to {host}", hint)
    if host.isascii() and not _HOST.fullmatch(host.removesuffix(".")):
        message = f"{what} has the host {quoted(host)}, which is neither a host name nor an address"
        raise ConfigError(message, "write letters, digits, hyphens and dots")
    if not _has_one_spelling(host):
        message = f"{what} has the host {quoted(host)}, which is not the only spelling of its address"
        raise ConfigError(message, "write a name in its xn-- form, and an IPv4 address as four decimal numbers")
    return _canonical(parts)


def is_same_url(configured: object, url: str) -> bool:
    """Tell whether a value of the settings and a URL name the same server or the same realm files."""
    if not isinstance(configured, str):
        return False
    try:
        return _comparable(configured) == _comparable(url)
    except (ValueError, KeyError):  # one of them is not a valid URL, which is reported when it is used
        return configured == url


def is_loopback(host: str) -> bool:
    """Tell whether a host name always means this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def quote_server(server: str) -> str:
    """Return a server's name or URL for a message, without a login that it may contain."""
    return quoted(re.sub(r".*@", "…@", server, flags=re.DOTALL))


def _comparable(url: str) -> str:
    if is_file_url(url):
        return f"file:{os.path.realpath(folder_of(url))}"
    if not _is_plain(url) or _has_more_than_address(url, parts := urlsplit(url)):
        raise ValueError
    return _canonical(parts)


def _has_more_than_address(url: str, parts: SplitResult) -> bool:
    """Tell whether a URL contains a login, a query or a fragment."""
    return parts.username is not None or "?" in url or "#" in url


_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|[0-9a-f:.]+(?:%[a-z0-9._-]+)?")
"""The characters of host names and addresses. Others could end an argument in a copied command."""


def _has_one_spelling(host: str) -> bool:
    """Tell whether every client leaves a host, in lower case, unchanged.

    Names with letters other than ASCII become ``xn--`` names, and ``10.1``, ``0xa000001`` and ``::ffff:10.0.0.1`` all
    lead to ``10.0.0.1``.
    """
    name = host.removesuffix(".")
    labels = name.split(".")
    try:
        if ":" in name:
            return ipaddress.IPv6Address(name).ipv4_mapped is None
        if re.fullmatch("[0-9]+|0x[0-9a-f]*", labels[-1]):
            return bool(ipaddress.IPv4Address(name))
    except ValueError:
        return False
    return name.isascii() and all(labels)


def _canonical(parts: SplitResult) -> str:
    """Return the one spelling of a sound http(s) URL."""
    name = (parts.hostname or "").removesuffix(".")  # the DNS root, which no certificate names
    host = f"[{ipaddress.ip_address(name.replace('%25', '%', 1))}]" if ":" in name else name
    port = f":{parts.port}" if parts.port not in (None, _USUAL_PORTS[parts.scheme]) else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _is_plain(url: str) -> bool:
    """Tell whether all parsers read a URL the same way: they differ in the characters that they drop or replace."""
    return url.isprintable() and not any(character.isspace() or character == "\\" for character in url)
