"""Marks in the rows of requests, set before each test mail: whoever resumes a request knows which mails to send."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ztrust_mail.core.errors import CIRCUIT_OPEN, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.gateways.gateway import TEST_UNKNOWN

if TYPE_CHECKING:
    from ztrust_mail.diagnose.mail_test import MailTestOutcome
    from ztrust_mail.journal.requests import RequestTable, StoredRequest

_NOT_SENT: Final = frozenset((CIRCUIT_OPEN, "unreachable"))
"""The rules of errors after which the server has certainly not seen the request for a mail."""


class MailMark(StrEnum):
    """How far the test mail of a realm came."""

    DUE = "due"
    """The realm is about to be written, and the mail is to be sent after that."""
    SENDING = "sending"
    """The mail is about to be sent, or was sent: its outcome is unknown."""
    SENT = "sent"
    FAILED = "failed"
    """The server could not send it. It is sent once more if a person retries the request."""


def has_unknown_mail(request: StoredRequest) -> bool:
    """Tell whether an earlier attempt began a test mail and did not record its outcome."""
    return f':"{MailMark.SENDING}"' in request.mails  # a quotation mark in a realm's name has a backslash before it


class MailMarks:
    """The marks of requests that are worked on together; a :class:`MailRecord`. May be used by several threads.

    ``is_cancelled`` tells by the number of a request whether it is to stop.
    """

    def __init__(self, table: RequestTable, is_cancelled: Callable[[int], bool]) -> None:
        self._table, self._is_cancelled = table, is_cancelled
        self._requests: dict[str, StoredRequest] = {}
        self._marks: dict[int, dict[str, MailMark]] = {}
        self._lock = threading.Lock()

    def add(self, request: StoredRequest, realms: Collection[str]) -> None:
        """Add a request that has test mails sent for its realms. Raises :class:`UsageError` for damaged marks."""
        try:
            marks = {realm: MailMark(mark) for realm, mark in json.loads(request.mails or "{}").items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            message = "the request cannot be read: what it records of its test mails is damaged"
            raise UsageError(message, "check the mailbox, then submit it again") from None
        self._marks[request.number] = {realm: mark for realm, mark in marks.items() if realm in realms}
        self._requests |= dict.fromkeys(realms, request)

    def of(self, realm: str) -> MailMark | None:
        """Return the mark of a realm, None where no mail is to be sent."""
        request = self._requests.get(realm)
        return self._marks[request.number].get(realm) if request else None

    def plan(self, realms: Iterable[str]) -> None:
        """Mark mails as due for realms that are about to be written, where none was sent before."""
        with self._lock:
            new = [realm for realm in realms if realm in self._requests and not self.of(realm)]
            for realm in new:
                self._marks[self._requests[realm].number][realm] = MailMark.DUE
            if new:
                self._store({self._requests[realm].number: self._requests[realm] for realm in new}.values())

    def begin(self, realm: str) -> bool:
        """Mark the mail as about to be sent; return False if its request was cancelled, or another worker has it."""
        request = self._requests[realm]
        return not self._is_cancelled(request.number) and self._set(realm, MailMark.SENDING)

    def end(self, outcome: MailTestOutcome) -> None:
        """Record what became of a mail that was begun, unless that is unknown."""
        from ztrust_mail.diagnose.mail_test import MailTestStatus  # of the requests, only an onboarding needs it

        rules = {finding.rule for finding in outcome.findings}
        if self.of(outcome.realm) is not MailMark.SENDING or TEST_UNKNOWN in rules:
            return
        if outcome.status is MailTestStatus.SENT:
            self._set(outcome.realm, MailMark.SENT)
        elif outcome.status is not MailTestStatus.SKIPPED:
            self._set(outcome.realm, MailMark.DUE if rules & _NOT_SENT else MailMark.FAILED)

    def recall(self, realm: str) -> Finding | None:
        """Return what to report of a mail that an earlier attempt began, None if it was sent or never begun."""
        mark = self.of(realm)
        if mark is MailMark.FAILED:
            message = "the test mail failed in an earlier attempt, and was not sent again"
            hint = "correct the relay or the settings, then: ztrust-mail requests N --retry"
            return Finding(Severity.ERROR, "test-failed", message, hint, realm=realm)
        if mark is MailMark.SENDING:
            request = self._requests[realm]
            message = "the test mail may or may not have been sent: the worker ended before it had the server's answer"
            again = shlex.join(["ztrust-mail", "test", realm, "--server", request.name or request.server])
            return Finding(
                Severity.WARNING, TEST_UNKNOWN, message, f"check the mailbox; if no mail arrived: {again}", realm=realm
            )
        return None

    def _set(self, realm: str, mark: MailMark) -> bool:
        with self._lock:
            request = self._requests[realm]
            self._marks[request.number][realm] = mark
            return self._store([request])

    def _store(self, requests: Iterable[StoredRequest]) -> bool:
        """Record marks; return False where another worker has taken a request meanwhile."""
        rows = [(one, json.dumps(self._marks[one.number], separators=(",", ":"))) for one in requests]
        return self._table.record_mails(rows)
