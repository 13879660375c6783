"""HTTP as all gateways speak it: bounded answers, and every failure in our own words."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import requests
import urllib3
from requests import exceptions as failures

from ztrust_mail.core.data import Json
from ztrust_mail.core.errors import NOT_THE_API, TOO_BUSY, ServerError, ServerUnreachable
from ztrust_mail.core.redaction import QUOTES_A_SECRET, TOO_LONG, Redactor
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.settings import is_loopback
from ztrust_mail.transport.deadline import DeadlineAdapter, ResponseTooLarge


def as_object(response: requests.Response) -> Mapping[str, Json] | None:
    """Return an answer's JSON object, or None where it is something else."""
    try:
        body = parse_json(response)
    except ServerUnreachable:
        return None
    return body if isinstance(body, dict) else None


MAX_BYTES = 128 * 1024 * 1024
"""The largest body: 10,000 realms take some 45 MB."""

MAX_VALUES = 4_000_000
"""The most values in an answer's JSON. One of two bytes takes 64 and more once parsed; a realm has some 200."""

READ_TIMEOUT_FACTOR = 6
"""A server that gave a token is alive: it may take this many time-outs for an answer (26.7.1 takes 49 s)."""

BUSY = (requests.codes.too_many_requests, requests.codes.service_unavailable)
"""The statuses by which a server, or a proxy in front of it, refuses for now."""

WITHOUT_SERVER = (requests.codes.bad_gateway, requests.codes.gateway_timeout)
"""The statuses by which a proxy says that it got no answer of the server: what the request did is unknown."""


class ConnectionLost(ServerUnreachable):
    """The connection broke before an answer came: the same request may go through at once."""


class ResponseTimeout(ServerUnreachable):
    """The server is there and did not answer in time."""


FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, ResponseTooLarge)
"""What requests raises: its own errors, and now and then what it builds on (a host name that cannot be)."""


def secure_session(session: requests.Session, url: str, connections: int = 1) -> None:
    """Close a session's traps: no redirect, bounded answers, and no proxy between us and this machine.

    So many connections are kept open.
    """
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(connections))
    session.max_redirects = 0
    session.hooks["response"] = [read_bounded]
    parts = urlsplit(url)
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        session.trust_env = False  # HTTP_PROXY would carry the login in clear through the network


def read_bounded(response: requests.Response, **_: object) -> None:
    """Read an answer's body, at most ``MAX_BYTES`` of it once unpacked.

    A response hook. The adapter's reader ends what takes too long, and bounds what arrives before it is unpacked.
    """
    body = io.BytesIO()
    try:
        while part := response.raw.read1(65_536, decode_content=True):
            body.write(part)
            if body.tell() > MAX_BYTES:
                raise ResponseTooLarge
    except urllib3.exceptions.ReadTimeoutError:
        response.close()
        raise failures.ReadTimeout from None
    except urllib3.exceptions.HTTPError:
        response.close()
        raise failures.ChunkedEncodingError from None
    except ResponseTooLarge:
        response.close()
        raise
    response.raw.release_conn()
    body.seek(0)
    response.raw = body


def describe_failure(
    cause: BaseException | None, url: str, waited: tuple[float, float], redactor: Redactor
) -> ServerError:
    """Return what a failed request means. No library's own text is passed on."""
    host = urlsplit(url).netloc
    if isinstance(cause, failures.TooManyRedirects):
        message = f"{host} answers with a redirect to {_target(cause, redactor)}, which is not followed"
        return ServerUnreachable(message, "set the server's URL to where it really is", "redirect")
    if isinstance(cause, failures.SSLError) and not _is_about_certificate(cause):
        hint = "check that the URL's port speaks https, and that ca_bundle is a PEM file"
        return ServerUnreachable(f"no TLS connection to {host} comes about", hint, "tls")
    if isinstance(cause, failures.SSLError):
        hint = "for a private authority set ca_bundle; else check the URL's host name and the date"
        return ServerUnreachable(f"the certificate of {host} is not trusted", hint, "tls")
    if isinstance(cause, failures.ConnectTimeout):
        return ServerUnreachable(
            f"{host} does not answer: no connection within {waited[0]:g}s", _ROUTE_HINT, "unreachable"
        )
    if isinstance(cause, failures.ReadTimeout):
        message = f"{host} is there, but gave no answer within {waited[1]:g}s"
        return ResponseTimeout(message, "if it is only slow, raise timeout or ZTRUST_MAIL_TIMEOUT", "slow")
    if isinstance(cause, failures.ProxyError | failures.InvalidProxyURL):
        return ServerUnreachable(f"the proxy for {host} does not work", "check HTTPS_PROXY and NO_PROXY", "proxy")
    if isinstance(cause, ResponseTooLarge):
        return _too_large(host, f"{MAX_BYTES // 1024**2} MiB")
    if isinstance(cause, failures.ConnectionError | failures.ChunkedEncodingError):
        if _never_connected(cause):
            return ServerUnreachable(f"{host} cannot be reached: no connection", _ROUTE_HINT, "unreachable")
        return ConnectionLost(f"{host} broke the connection off", "try again; look at the server's log", "reset")
    if isinstance(cause, OSError) and not isinstance(cause, failures.RequestException):
        hint = "check ca_bundle, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
        return ServerUnreachable("the file of trusted authorities cannot be read", hint, "tls")
    hint = "check the URL, HTTPS_PROXY, and the login for characters that no login has"
    return ServerUnreachable(f"the request to {host} could not be sent", hint, "unreachable")


_ROUTE_HINT = "check the URL, that the server runs, and the network in between"


def _target(cause: failures.TooManyRedirects, redactor: Redactor) -> str:
    location = cause.response.headers.get("location", "") if cause.response is not None else ""
    shown = redactor.redact(location.encode("latin-1", "replace").decode("utf-8", "replace"))
    if shown in (QUOTES_A_SECRET, TOO_LONG):
        return quoted(shown)
    try:
        host = urlsplit(shown).netloc  # of the whole without secrets: the host may end within one, at a / or #
    except ValueError:
        host = ""
    return quoted(host) if host else "another path"


def _too_large(host: str, size: str) -> ServerUnreachable:
    hint = "check the URL: no identity server answers so much"
    return ServerUnreachable(f"{host} sends more than {size}", hint, "too-large")


def _is_about_certificate(cause: BaseException) -> bool:
    """Tell a certificate that is not trusted from a port that speaks no TLS or a bundle that is none."""
    inner = cause.args[0] if cause.args else None
    reason = inner.reason if isinstance(inner, urllib3.exceptions.MaxRetryError) else None
    return reason is not None and any(isinstance(e, ssl.SSLCertVerificationError) for e in reason.args)


def _never_connected(cause: BaseException) -> bool:
    inner = cause.args[0] if cause.args else None
    refused = urllib3.exceptions.NewConnectionError
    return isinstance(inner, urllib3.exceptions.MaxRetryError) and isinstance(inner.reason, refused)


def parse_json(response: requests.Response, slim: Callable[[dict[str, Json]], Json] | None = None) -> Json:
    """Return an answer's JSON; raises :class:`ServerUnreachable` where it is something else, or too large.

    ``slim`` is given every object in it and returns what to keep of it, so that large answers need no more memory.
    """
    if _has_too_many_values(response.content):
        raise _too_large(urlsplit(response.url or "").netloc, pluralise(MAX_VALUES, "value"))
    try:
        value: Json = json.loads(response.content, object_hook=slim)
    except (ValueError, RecursionError):
        raise unexpected_response(response) from None
    return value


def _has_too_many_values(body: bytes) -> bool:
    """Tell whether some JSON has more values than are parsed. It counts the commas in texts as well."""
    return sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES


def unexpected_response(response: requests.Response) -> ServerUnreachable:
    """Return what to say of an answer that no identity server gives here, or only while it is too busy."""
    if response.status_code in BUSY:
        return _too_busy(response)
    what = "broken or unknown JSON" if _kind(response) == "application/json" else "something else"
    what = "a web page" if is_page(response) else what
    host = urlsplit(response.url or "").netloc
    message = f"{host} answers {response.status_code} with {what} where the admin API's JSON is expected"
    hint = "check the URL's path (old versions live under /auth) and any proxy in front of the server"
    return ServerUnreachable(message, hint, NOT_THE_API)


def _too_busy(response: requests.Response) -> ServerUnreachable:
    status, tries = response.status_code, len(response.history) + 1
    how = f"it still answers {status} after {tries} tries" if tries > 1 else f"it answers {status}"
    state = "too busy" if status == requests.codes.too_many_requests else "too busy, or not up"
    hint = "run the same again later, or with fewer connections (ZTRUST_MAIL_CONNECTIONS)"
    return ServerUnreachable(f"{urlsplit(response.url or '').netloc} is {state}: {how}", hint, TOO_BUSY)


def is_done(response: requests.Response) -> bool:
    """Tell whether a write or a test was done: 204, or 200 from the API and not a proxy's page."""
    ok = response.status_code == requests.codes.ok and not is_page(response)
    return ok or response.status_code == requests.codes.no_content


def is_page(response: requests.Response) -> bool:
    """Tell whether an answer is a page for people, as proxies and login portals give."""
    return _kind(response) == "text/html"


def _kind(response: requests.Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def server_message(response: requests.Response, redactor: Redactor) -> str:
    """Return the server's own error message, or nothing. It is foreign text, at most 300 characters.

    The secrets that the redactor knows are taken out of it.
    """
    try:
        body = parse_json(response)
    except ServerUnreachable:
        return ""
    if not isinstance(body, dict):
        return ""
    texts = (body.get(k) for k in ("errorMessage", "error_description", "error", "message"))
    message = next((text for text in texts if isinstance(text, str) and text), "")
    return redactor.redact(message)[:300] if message else ""
