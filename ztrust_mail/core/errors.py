"""What can go wrong, each kind with the exit status it leads to."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztrust_mail.core.findings import Finding

CIRCUIT_OPEN = "circuit-open"
"""The rule of an error that says that a request was not sent, since the server is down."""

NOT_THE_API = "not-the-admin-api"
"""The rule of an error that says that something else than the identity server answered, such as a proxy."""

TOO_BUSY = "too-busy"
"""The rule of an error that says that the server, or something in front of it, refuses requests for now."""


class ExitStatus(IntEnum):
    """Every exit status of the command line; listed from the one that wins to the one that yields."""

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
    """Base of all errors this package raises on purpose.

    The text is for people: what, where, why. ``hint`` says what to do next.
    """

    exit_status = ExitStatus.USAGE

    def __init__(self, message: str, hint: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.rule = rule


class ServerError(ZtrustMailError):
    """The server as a whole cannot be worked with."""

    exit_status = ExitStatus.UNREACHABLE


class WriteDeadlineExceeded(ServerError):
    """The server was busy until it was too late to send a write. It may have been sent before, and been refused."""


class UsageError(ZtrustMailError):
    """The command or the call was given something it cannot take."""


class ConfigError(ZtrustMailError):
    """The settings file or the environment is wrong or incomplete."""


class NoServerChosen(ConfigError):
    """Neither an option nor the settings nor the environment chooses one server."""


class SpecError(ZtrustMailError):
    """The spec is invalid; ``findings`` holds every problem of every file, the text the first."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        count = len(self.findings)
        message = f"the spec has {count} problem{'s' if count != 1 else ''}"
        places = [f"{finding.location}: {finding.message}" for finding in self.findings[:1]]
        super().__init__(": ".join([message, *places]))


class JournalError(ZtrustMailError):
    """The journal cannot be read or written, or is newer than this program."""


class Unsafe(ZtrustMailError):
    """Refused before anything was written: what was asked for is dangerous, forbidden, or not what was reviewed.

    ``findings`` tell of each realm that it is about, where the message names only some.
    """

    exit_status = ExitStatus.UNSAFE

    def __init__(self, message: str, hint: str = "", rule: str = "", findings: Iterable[Finding] = ()) -> None:
        super().__init__(message, hint, rule)
        self.findings = tuple(findings)


class ServerUnreachable(ServerError):
    """No usable answer: no connection, no time left, not an identity server's answer."""


class ServerRefused(ServerError):
    """The server answered and does not let this account in."""


class RealmError(ZtrustMailError):
    """One realm failed; the others go on."""

    exit_status = ExitStatus.PARTIAL


class RealmMissing(RealmError):
    """The server says that this realm does not exist."""


class RealmUnreadable(RealmError):
    """The account may not see this realm's e-mail settings."""


class SecretError(RealmError):
    """A secret reference cannot be resolved or may not be."""


class MailTestFailed(RealmError):
    """The server tried the connection and it did not work."""

    __test__ = False  # not a test class, whatever its name looks like to pytest
    exit_status = ExitStatus.DIFFERS
