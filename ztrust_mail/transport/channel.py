"""Sends requests to one host, by the same rules for every client, and logs each request.

A request waits for its turn at the host's throttle, has a deadline, is sent once more after a broken connection if that
is harmless, and fails with a message of this package. Waiting for a busy host is :meth:`Throttle.call_with_retry`.
"""

import logging
import math
import time
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import requests

from ztrust_mail.core.errors import RealmError, ServerError, ServerUnreachable
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.transport import failures
from ztrust_mail.transport.throttle import Request, Throttle, require_in_time

LOG = logging.getLogger("ztrust_mail.requests")
"""Each request at DEBUG, each repetition and refusal at INFO; never a query, a header, a body or a secret."""

UNREACHABLE_NAMES = ("", ".", "..")
"""Names that a path cannot contain as a segment: clients normalise the path before they send it."""


def segment_of(realm: str) -> str:
    """Return a realm's name as one segment of a path; raises :class:`RealmError` if the name cannot be one."""
    try:
        segment = quote(realm, safe="")
    except UnicodeEncodeError:  # an unpaired surrogate, from a command line that is not UTF-8
        segment = ""
    if segment in UNREACHABLE_NAMES:
        hint = "check the spelling, or rename the realm in the server's console"
        raise RealmError(f"{quoted(realm)} cannot be used in a URL", hint, "bad-name")
    return segment


@dataclass(repr=False)
class RequestLine:
    """The method and URL of a request, and how often it was sent. One object is used for all its repetitions."""

    method: str
    url: str
    tries: int = 0

    def __str__(self) -> str:
        """Return the request in readable form, without its query and without a login in the URL."""
        parts = urlsplit(self.url)
        return printable(f"{self.method} {parts.netloc.rpartition('@')[2]}{parts.path}")

    __repr__ = __str__  # handlers may write the arguments of a log record


class HostChannel:
    """Sends requests to one host. May be used by several threads.

    ``timeouts`` are the seconds for connecting and for the whole response. ``first_failure_counts`` says which failure
    is raised if a request and its retry both fail: the first, which tells that the request may have arrived, or else
    the last.
    """

    def __init__(
        self,
        url: str,
        timeouts: tuple[float, float],
        throttle: Throttle,
        redactor: Redactor,
        *,
        first_failure_counts: bool = False,
    ) -> None:
        self.timeouts, self.throttle = timeouts, throttle
        self._url, self._redactor = url, redactor
        self._first_failure_counts = first_failure_counts

    def send(
        self, line: RequestLine, request: Request, *, before: float = math.inf, repeat: bool = True
    ) -> requests.Response:
        """Send a request when its turn comes, and with ``repeat`` once more after a broken connection.

        Raises :class:`WriteDeadlineExceeded` if the turn comes later than ``before``, in monotonic seconds.
        """

        def send_in_time() -> requests.Response:
            require_in_time(before)
            return self._send_unbroken(line, request) if repeat else self._send_once(line, request)

        return self.throttle.call(send_in_time)

    def _send_unbroken(self, line: RequestLine, request: Request) -> requests.Response:
        try:
            return self._send_once(line, request)
        except failures.ConnectionLost as e:
            first = e
        LOG.info("%s: broken connection, sent again", line, extra={"attempt": line.tries})
        try:
            return self._send_once(line, request)
        except ServerUnreachable:
            if self._first_failure_counts:
                raise first from None
            raise

    def _send_once(self, line: RequestLine, request: Request) -> requests.Response:
        began = time.monotonic()
        try:
            response = request()
            failures.require_plain_http(response)
        except ServerError as e:
            _log(line, f"failed [{e.rule}]", began)
            raise
        _log(line, str(response.status_code), began)
        if response.status_code in failures.BUSY:
            LOG.info("%s: too busy (%d), try %d", line, response.status_code, line.tries, extra={"attempt": line.tries})
        return response

    def failure(self, cause: BaseException | None) -> ServerError:
        """Return the error that the cause of a failed request amounts to."""
        return failures.describe_failure(cause, self._url, self.timeouts, self._redactor)


def _log(line: RequestLine, outcome: str, began: float) -> None:
    """Count and log a request that was sent at ``began``, in monotonic seconds."""
    line.tries += 1
    if not LOG.isEnabledFor(logging.DEBUG):
        return
    milliseconds = round((time.monotonic() - began) * 1000)
    more = {"request": str(line), "outcome": outcome, "milliseconds": milliseconds, "attempt": line.tries}
    LOG.debug("%s: %s in %d ms, try %d", line, outcome, milliseconds, line.tries, extra=more)
