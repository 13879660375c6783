"""HTTP as all gateways speak it: bounded answers, and every failure in our own words."""

from __future__ import annotations

import io
import json
import time
from urllib.parse import urlsplit

import requests
import urllib3
from requests import exceptions as failures

from ztrust_mail.errors import ServerError, ServerUnreachable
from ztrust_mail.text import quoted

MAX_BYTES = 256 * 1024 * 1024
PATIENCE = 6
"""A server that gave a token is alive: it may take this many time-outs for an answer (26.7.1 takes 49 s)."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Interrupted(ServerUnreachable):
    """The connection broke before an answer came: the same request may go through at once."""


class TooSlow(ServerUnreachable):
    """The server is there and did not answer in time."""


def read_bounded(response: requests.Response, *, timeout: tuple[float, float], **_: object) -> None:
    """Read an answer's body within the read time-out as a whole and within 256 MiB.

    A response hook: requests by itself counts the time-out anew for every byte that drips in.
    """
    deadline = time.monotonic() + timeout[1]
    parts, size = [], 0
    try:
        while part := response.raw.read1(65_536, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES or time.monotonic() > deadline:
                response.close()
                raise failures.ReadTimeout
    except urllib3.exceptions.ReadTimeoutError:
        raise failures.ReadTimeout from None
    except urllib3.exceptions.HTTPError:
        raise failures.ChunkedEncodingError from None
    response.raw.release_conn()
    response.raw = io.BytesIO(b"".join(parts))


def in_words(cause: BaseException | None, url: str, waited: tuple[float, float]) -> ServerError:
    """Return what a failed request means. No library's own text is passed on."""
    host = urlsplit(url).netloc
    if isinstance(cause, failures.TooManyRedirects):
        location = cause.response.headers.get("location", "") if cause.response is not None else ""
        target = urlsplit(location).netloc or "another path"
        message = f"{host} answers with a redirect to {quoted(target)}, which is not followed"
        return ServerUnreachable(message, "set the server's URL to where it really is", "redirect")
    if isinstance(cause, failures.SSLError):
        hint = "for a private authority set ca_bundle; else check the URL's host name and the date"
        return ServerUnreachable(f"the certificate of {host} is not trusted", hint, "tls")
    if isinstance(cause, failures.ConnectTimeout):
        return ServerUnreachable(
            f"{host} does not answer: no connection within {waited[0]:g}s", _ROUTE_HINT, "unreachable"
        )
    if isinstance(cause, failures.ReadTimeout):
        message = f"{host} is there, but gave no answer within {waited[1]:g}s"
        return TooSlow(message, "if it is only slow, raise timeout or ZTRUST_MAIL_TIMEOUT", "slow")
    if isinstance(cause, failures.ProxyError):
        return ServerUnreachable(f"the proxy for {host} does not work", "check HTTPS_PROXY and NO_PROXY", "proxy")
    if isinstance(cause, failures.ChunkedEncodingError | failures.ContentDecodingError | OSError):
        if _never_connected(cause):
            return ServerUnreachable(f"{host} cannot be reached: no connection", _ROUTE_HINT, "unreachable")
        return Interrupted(f"{host} broke the connection off", "try again; look at the server's log", "reset")
    return ServerUnreachable(f"the request to {host} could not be sent", "check the server's URL", "unreachable")


_ROUTE_HINT = "check the URL, that the server runs, and the network in between"


def _never_connected(cause: BaseException) -> bool:
    inner = cause.args[0] if cause.args else None
    refused = urllib3.exceptions.NewConnectionError
    return isinstance(inner, urllib3.exceptions.MaxRetryError) and isinstance(inner.reason, refused)


def parsed(response: requests.Response) -> Json:
    """Return an answer's JSON; raises :class:`ServerUnreachable` where it is something else."""
    try:
        value: Json = json.loads(response.content)
    except (ValueError, RecursionError):
        raise unexpected(response) from None
    return value


def unexpected(response: requests.Response) -> ServerUnreachable:
    """Return what to say of an answer that no identity server gives here."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    what = {"text/html": "a web page", "application/json": "broken or unknown JSON"}.get(kind, "something else")
    host = urlsplit(response.url or "").netloc
    message = f"{host} answers {response.status_code} with {what} where the admin API's JSON is expected"
    hint = "check the URL's path (old versions live under /auth) and any proxy in front of the server"
    return ServerUnreachable(message, hint, "not-the-admin-api")


def own_message(response: requests.Response) -> str:
    """Return the server's own error message, or nothing. It is foreign text, at most 300 characters."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    texts = (body.get(k) for k in ("errorMessage", "error_description", "error", "message"))
    return next((text[:300] for text in texts if isinstance(text, str) and text), "")
