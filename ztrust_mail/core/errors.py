"""The errors that this package raises, each with its exit status."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztrust_mail.core.findings import Finding

CIRCUIT_OPEN = "circuit-open"
"""The rule of an error for a request that was not sent, since the server is down."""

NOT_THE_API = "not-the-admin-api"
"""The rule of an error for an answer that does not come from the identity server but, for example, from a proxy."""

TOO_BUSY = "too-busy"
"""The rule of an error for a server, or a proxy in front of it, that temporarily refuses requests."""


class ExitStatus(IntEnum):
    """The exit statuses of the command line, in the order of precedence."""

    INTERRUPTED = 130
    BUG = 70
    USAGE = 2
    UNSAFE = 5
    UNREACHABLE = 3
    PARTIAL = 4
    DIFFERS = 1
    OK = 0

    @classmethod
    def worst(cls, statuses: Iterable[ExitStatus]) -> ExitStatus:
        """Return the status that takes precedence, OK when there is none."""
        seen = set(statuses)
        return next((status for status in cls if status in seen), cls.OK)


class ZtrustMailError(Exception):
    """Base of all errors that this package raises on purpose.

    The message is for people: what happened, where and why. ``hint`` says what to do next. ``rule`` is an id of
    :mod:`ztrust_mail.core.rules`, ``findings`` has all problems if there are several.
    """

    exit_status = ExitStatus.USAGE
    findings: tuple[Finding, ...] = ()

    def __init__(self, message: str, hint: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.rule = rule


def install_hint(extra: str) -> str:
    """Return the next step if a package of an extra is missing."""
    return f"install it: pip install 'ztrust-mail[{extra}]'"


class ServerError(ZtrustMailError):
    """The server as a whole is unusable."""

    exit_status = ExitStatus.UNREACHABLE


class WriteDeadlineExceeded(ServerError):
    """The server was busy until the deadline of a write. The write may have been sent before, and been refused."""


class UsageError(ZtrustMailError):
    """A command or a call has an invalid argument."""


class ConfigError(ZtrustMailError):
    """The settings file or the environment is invalid or incomplete."""


class NoServerChosen(ConfigError):
    """No option, setting or variable chooses one server."""


class SpecError(ZtrustMailError):
    """The spec is invalid; ``findings`` holds all problems of all files, and the message the first."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        count = len(self.findings)
        message = f"the spec has {count} problem{'s' if count != 1 else ''}"
        places = [f"{finding.location}: {finding.message}" for finding in self.findings[:1]]
        super().__init__(": ".join([message, *places]))


class ResultError(ZtrustMailError):
    """Something failed in a result, and its ``raise_for_status()`` was called. The ``findings`` are the result's."""

    exit_status = ExitStatus.PARTIAL


class JournalError(ZtrustMailError):
    """The journal cannot be read or written, or was made by a newer version of this program."""


class Unsafe(ZtrustMailError):
    """Refused before any write, as dangerous, forbidden, or different from what was reviewed.

    ``findings`` has one finding for each realm concerned; the message names only some of them.
    """

    exit_status = ExitStatus.UNSAFE

    def __init__(self, message: str, hint: str = "", rule: str = "", findings: Iterable[Finding] = ()) -> None:
        super().__init__(message, hint, rule)
        self.findings = tuple(findings)


class ServerUnreachable(ServerError):
    """No usable response: no connection, a timeout, or a response that is not an identity server's."""


class ServerRefused(ServerError):
    """The server responded and refused this account."""


class RealmError(ZtrustMailError):
    """One realm failed; the others continue. ``state`` is the word for the realm's state."""

    exit_status = ExitStatus.PARTIAL
    state = "failed"


class RealmMissing(RealmError):
    """The server says that this realm does not exist."""

    state = "missing"


class RealmUnreadable(RealmError):
    """The account has no permission to read this realm's e-mail settings."""

    state = "unreadable"


class SecretError(RealmError):
    """A secret reference cannot or must not be resolved."""


class MailTestFailed(RealmError):
    """The server tested the connection, and the test failed."""

    __test__ = False  # keeps pytest from collecting it
    exit_status = ExitStatus.DIFFERS
