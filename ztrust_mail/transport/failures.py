"""Messages for failed requests and unusable responses, and sessions that limit the size of responses."""

import errno
import io
import json
import re
import shlex
import ssl
from collections.abc import Callable, Mapping
from http.client import BadStatusLine
from urllib.parse import urlsplit

import requests
import urllib3
from requests import exceptions as failures

from ztrust_mail.core.data import Json
from ztrust_mail.core.errors import NOT_THE_API, TOO_BUSY, ServerError, ServerUnreachable
from ztrust_mail.core.redaction import QUOTES_A_SECRET, TOO_LONG, Redactor
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.settings import is_loopback
from ztrust_mail.transport.deadline import DeadlineAdapter, HandshakeTimeout, ResolutionTimeout, ResponseTooLarge

MAX_BYTES = 128 * 1024 * 1024
"""The largest body: 10,000 realms take some 45 MB."""

MAX_VALUES = 4_000_000
"""The most values in a response's JSON. A value of two bytes takes 64 and more once parsed; a realm has some 200."""

READ_TIMEOUT_FACTOR = 6
"""A response may take this many connection time-outs: a server that was reached is alive (26.7.1 takes up to 49 s)."""

BUSY = (requests.codes.too_many_requests, requests.codes.service_unavailable)
"""The statuses by which a server, or a proxy in front of it, refuses for now."""

WITHOUT_SERVER = (requests.codes.bad_gateway, requests.codes.gateway_timeout)
"""The statuses of a proxy that got no response from the server: the outcome of the request is unknown."""


class ConnectionLost(ServerUnreachable):
    """The connection broke before a response arrived: the same request may succeed immediately."""


class ResponseTimeout(ServerUnreachable):
    """The server was reached and did not answer in time."""


FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, ResponseTooLarge)
"""The exceptions of requests: its own, and some of the libraries it uses, for example for an impossible host name."""


def timeouts_of(timeout: float) -> tuple[float, float]:
    """Return the seconds for connecting and for the whole response, given the time-out of a connection."""
    return timeout, timeout * READ_TIMEOUT_FACTOR


def secure_session(session: requests.Session, url: str, connections: int = 1) -> None:
    """Make a session follow no redirect, bound its responses, and use no proxy for this machine.

    It keeps up to ``connections`` connections open.
    """
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(connections))
    session.max_redirects = 0
    session.hooks["response"] = [read_bounded]
    parts = urlsplit(url)
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        session.trust_env = False  # HTTP_PROXY would send the login unencrypted through the network


def read_bounded(response: requests.Response, **_: object) -> None:
    """Read a response's body, at most ``MAX_BYTES`` of it once unpacked.

    A response hook. The adapter's reader enforces the deadline, and bounds what arrives before it is unpacked.
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
    """Return the error that the cause of a failed request amounts to. No library's own text is passed on."""
    host = urlsplit(url).netloc
    if isinstance(cause, failures.TooManyRedirects):
        message = f"{host} answers with a redirect to {_target(cause, redactor)}, which is not followed"
        return ServerUnreachable(
            message, "set the server's URL to where it redirects to, if you trust that", "redirect"
        )
    if isinstance(cause, failures.SSLError):
        return _handshake_failed(url, *_tls_reason(cause))
    if isinstance(cause, failures.ReadTimeout):
        message = f"{host} accepted the connection but did not answer within {waited[1]:g}s"
        return ResponseTimeout(message, "if the server is only slow, raise timeout or ZTRUST_MAIL_TIMEOUT", "slow")
    if isinstance(cause, failures.ProxyError | failures.InvalidProxyURL):
        return ServerUnreachable(f"cannot reach {host} through the proxy", "check HTTPS_PROXY and NO_PROXY", "proxy")
    if isinstance(cause, ResponseTooLarge):
        return _too_large(host, f"{MAX_BYTES // 1024**2} MiB")
    if isinstance(cause, failures.ConnectionError | failures.ChunkedEncodingError):
        return _no_connection(cause, url, waited[0]) or _broken_connection(_inner(cause), url)
    if isinstance(cause, OSError) and not isinstance(cause, failures.RequestException):
        hint = "check ca_bundle, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
        return ServerUnreachable("cannot read the file of trusted certificates", hint, "tls")
    hint = "check the URL, HTTPS_PROXY, and the login for characters that are invalid in HTTP headers"
    return ServerUnreachable(f"cannot send the request to {host}", hint, "unreachable")


def _inner(cause: BaseException) -> BaseException | None:
    """Return the error of urllib3 that an error of requests is made of."""
    inner = cause.args[0] if cause.args else None
    inner = inner.reason if isinstance(inner, urllib3.exceptions.MaxRetryError) else inner
    return inner if isinstance(inner, BaseException) else None


_UNREACHABLE_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)


def _no_connection(error: BaseException, url: str, waited: float) -> ServerUnreachable | None:
    """Return the error for a connection that was never made; None if it was made and then broke."""
    reason = _inner(error)
    if isinstance(reason, HandshakeTimeout):
        hint = f"check that the port speaks https, and the firewalls and proxies in between: {_curl(url)}"
        return _handshake_failed(url, f"timed out after {waited:g}s", hint)
    parts = urlsplit(url)
    name, cause = shlex.quote(parts.hostname or ""), getattr(reason, "__cause__", None)
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        why = "its name does not resolve"
        hint = f"check the host name in the URL, and this machine's DNS: nslookup {name}"
    elif isinstance(reason, ResolutionTimeout):
        why = f"its name did not resolve within {waited:g}s"
        hint = f"check the name servers of this machine: nslookup {name}"
    elif isinstance(reason, urllib3.exceptions.NewConnectionError) and isinstance(cause, ConnectionRefusedError):
        why = "connection refused"
        hint = f"check the port in the URL, and that the server is up: {_curl(url)}"
    elif isinstance(reason, urllib3.exceptions.NewConnectionError):
        is_network = isinstance(cause, OSError) and cause.errno in _UNREACHABLE_NETWORK
        why = "network unreachable" if is_network else "this machine does not open the connection"
        hint = f"check this machine's network, VPN and routes: {_curl(url)}"
        if not is_network:
            hint = "check this machine's limits (ulimit -n), firewall and sandbox"
    elif isinstance(error, failures.ConnectTimeout):
        why = f"timed out after {waited:g}s"
        hint = f"check host and port in the URL, and the firewalls in between: {_curl(url)}"
    else:
        return None
    return ServerUnreachable(f"cannot connect to {parts.netloc}: {why}", hint, "unreachable")


def _broken_connection(reason: BaseException | None, url: str) -> ServerUnreachable:
    host, is_plain = urlsplit(url).netloc, urlsplit(url).scheme == "http"
    answer = reason.args[1] if reason is not None and len(reason.args) > 1 else None
    if is_plain and isinstance(answer, BadStatusLine) and str(answer.args[0]).startswith(_TLS_ALERT):
        return _speaks_tls(host)
    hint = "run the same command again; if it happens again, see the server's log"
    if is_plain:
        hint += ", and try https:// in the URL: a port that speaks TLS also closes the connection"
    return ConnectionLost(f"{host} closed the connection before it had answered", hint, "reset")


def _speaks_tls(host: str) -> ServerUnreachable:
    return ServerUnreachable(f"{host} speaks TLS, and the URL says http", "write https:// in the URL", "tls")


def require_plain_http(response: requests.Response) -> None:
    """Raise :class:`ServerUnreachable` if a server says that its port speaks TLS, as nginx and Apache do."""
    parts = urlsplit(response.url or "")
    is_refused = parts.scheme == "http" and response.status_code == requests.codes.bad_request
    if is_refused and re.search(rb"HTTPS port|plain HTTP to an SSL-enabled", response.content):
        raise _speaks_tls(parts.netloc)


def _curl(url: str) -> str:
    """Return a command that shows whether a server can be reached."""
    parts = urlsplit(url)
    return f"curl -sSI {shlex.quote(f'{parts.scheme}://{parts.netloc}')}"


def _handshake_failed(url: str, reason: str, hint: str) -> ServerUnreachable:
    host = urlsplit(url).netloc
    message = f"TLS handshake with {host} failed{f': {reason}' if reason else ''}"
    address = host if re.search(r":\d+$", host) else f"{host}:443"
    return ServerUnreachable(message, hint.replace("{address}", shlex.quote(address)), "tls")


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
    hint = "check the URL: identity servers do not send responses of this size"
    return ServerUnreachable(f"the response of {host} has more than {size}", hint, "too-large")


_TLS_ALERT = "\x15\x03"
"""The start of a TLS server's response to plain HTTP."""

_CLOCK = "check the date of this machine, and renew the server's certificate: {show} -dates"
_AUTHORITY = "if you trust it, set ca_bundle to the PEM file of its authority: {show} -issuer"
_NAME = "use a name of the certificate in the URL, or get one for this name: {show} -ext subjectAltName"
_SHOW = "openssl s_client -connect {address} </dev/null | openssl x509 -noout"
_PORT = "check the port in the URL: this one may speak plain http, or another protocol"
_CERTIFICATE_REASONS = {
    9: ("its certificate is not yet valid", _CLOCK),
    10: ("its certificate has expired", _CLOCK),
    18: ("its certificate is self-signed", "if you trust it, set ca_bundle to it as a PEM file: {show} -subject"),
    19: ("its certificate is signed by an unknown authority", _AUTHORITY),
    20: ("its certificate is signed by an unknown authority", _AUTHORITY),
    21: ("its certificate is signed by an unknown authority, or an intermediate certificate is missing", _AUTHORITY),
    62: ("its certificate is for another host name", _NAME),
    64: ("its certificate is for another IP address", _NAME),
}
"""Reason and hint by OpenSSL's verification codes (X509_V_ERR_…)."""

_TLS_REASONS = {
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"),
        ("the port does not speak TLS", _PORT),
    ),
    **dict.fromkeys(
        ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"),
        ("it offers no TLS version from 1.2 on", "update the server, or its proxy"),
    ),
    **dict.fromkeys(
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE"),
        ("it asks for a client certificate", "ztrust-mail has none: use an address that asks for none"),
    ),
    "NO_CERTIFICATE_OR_CRL_FOUND": ("the file of trusted certificates has none", "check that ca_bundle is a PEM file"),
}
"""Reason and hint by OpenSSL's names of errors."""


def _tls_reason(cause: failures.SSLError) -> tuple[str, str]:
    """Return why a TLS handshake failed, as the end of a sentence, and what to do about it."""
    reason = _inner(cause)
    found = next((e for e in reason.args if isinstance(e, ssl.SSLError)), None) if reason is not None else None
    if isinstance(found, ssl.SSLCertVerificationError):
        why, hint = _CERTIFICATE_REASONS.get(found.verify_code, ("its certificate is not trusted", _AUTHORITY))
        return why, hint.replace("{show}", _SHOW)
    if isinstance(found, ssl.SSLEOFError):
        return "the server closed the connection", _PORT
    hint = "check that the URL's port speaks https, and that ca_bundle is a PEM file"
    return _TLS_REASONS.get(found.reason or "", ("", hint)) if found is not None else ("", hint)


def parse_json(response: requests.Response, reduce_object: Callable[[dict[str, Json]], Json] | None = None) -> Json:
    """Return a response's JSON; raises :class:`ServerUnreachable` if it is something else, or too large.

    ``reduce_object`` is called with every object in it and returns what to keep of that object, which bounds the memory
    that large responses need.
    """
    if _has_too_many_values(response.content):
        raise _too_large(urlsplit(response.url or "").netloc, pluralise(MAX_VALUES, "value"))
    try:
        value: Json = json.loads(response.content, object_hook=reduce_object)
        return value
    except (ValueError, RecursionError):
        pass  # the exception holds the response, perhaps with a token, so no other may have it as its context
    raise unexpected_response(response)


def as_object(response: requests.Response) -> Mapping[str, Json] | None:
    """Return a response's JSON object, or None if it is something else."""
    try:
        body = parse_json(response)
    except ServerUnreachable:
        return None
    return body if isinstance(body, dict) else None


def _has_too_many_values(body: bytes) -> bool:
    """Return whether JSON may have more values than are parsed; it counts the commas within texts as well."""
    return sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES


def unexpected_response(response: requests.Response) -> ServerUnreachable:
    """Return the error for a response that no identity server gives here, or only while it is too busy."""
    if response.status_code in BUSY:
        return _too_busy(response)
    parts = urlsplit(response.url or "")
    what = "broken or unknown JSON" if _media_type(response) == "application/json" else "something else"
    what = "a web page" if is_page(response) else what
    message = f"{parts.netloc} answered {response.status_code} with {what} instead of the admin API's JSON"
    hint = "check the URL's path (old versions have /auth) and any proxy in front of the server"
    return ServerUnreachable(message, hint, NOT_THE_API)


def _too_busy(response: requests.Response) -> ServerUnreachable:
    status, tries = response.status_code, len(response.history) + 1
    how = f"it still answers {status} after {tries} tries" if tries > 1 else f"it answers {status}"
    state = "too busy" if status == requests.codes.too_many_requests else "too busy, or not up"
    hint = "run the same command again later, or with fewer connections (ZTRUST_MAIL_CONNECTIONS)"
    return ServerUnreachable(f"{urlsplit(response.url or '').netloc} is {state}: {how}", hint, TOO_BUSY)


def is_done(response: requests.Response) -> bool:
    """Return whether a write or a test succeeded: 204, or 200 that is not a proxy's web page."""
    ok = response.status_code == requests.codes.ok and not is_page(response)
    return ok or response.status_code == requests.codes.no_content


def is_page(response: requests.Response) -> bool:
    """Return whether a response is a web page, as proxies and login portals send."""
    return _media_type(response) == "text/html"


def _media_type(response: requests.Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def server_message(response: requests.Response, redactor: Redactor) -> str:
    """Return the server's own error message, redacted and cut to 300 characters; empty if there is none.

    It is untrusted text.
    """
    body = as_object(response) or {}
    texts = (body.get(key) for key in ("errorMessage", "error_description", "error", "message"))
    message = next((text for text in texts if isinstance(text, str) and text), "")
    return redactor.redact(message)[:300] if message else ""
