"""The package's exceptions, each with its exit status."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztrust_mail.core.findings import Finding

CIRCUIT_OPEN = "circuit-open"
"""The rule of an error for a request that was not sent because the server is down."""

NOT_THE_API = "not-the-admin-api"
"""The rule of an error for a response that is not the identity server's, such as a proxy's."""

TOO_BUSY = "too-busy"
"""The rule of an error for a server, or a proxy in front of it, that is overloaded and refuses requests."""


class ExitStatus(IntEnum):
    """Every exit status of the command line, in order of precedence."""

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

    The message says what happened and why, ``hint`` what to do next. ``rule`` is a stable id.
    """

    exit_status = ExitStatus.USAGE

    def __init__(self, message: str, hint: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.rule = rule


class ServerError(ZtrustMailError):
    """The server as a whole cannot be used."""

    exit_status = ExitStatus.UNREACHABLE


class WriteDeadlineExceeded(ServerError):
    """The server was busy until the deadline for sending a write. An earlier attempt may have been sent and refused."""


class UsageError(ZtrustMailError):
    """The command or the call has an invalid argument."""


class ConfigError(ZtrustMailError):
    """The settings file or the environment is invalid or incomplete."""


class NoServerChosen(ConfigError):
    """Neither an option nor the settings nor the environment chooses a single server."""


class SpecError(ZtrustMailError):
    """The spec is invalid. ``findings`` are all problems of all files; the message has the first."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        count = len(self.findings)
        message = f"the spec has {count} problem{'s' if count != 1 else ''}"
        places = [f"{finding.location}: {finding.message}" for finding in self.findings[:1]]
        super().__init__(": ".join([message, *places]))


class JournalError(ZtrustMailError):
    """The journal cannot be read or written, or was made by a newer version of this program."""


class Unsafe(ZtrustMailError):
    """Refused before anything was written: a change that is dangerous, forbidden by policy, or not as reviewed.

    The message names some of the affected realms; ``findings`` has one finding for each.
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
    """One realm failed; the others are not affected."""

    exit_status = ExitStatus.PARTIAL


class RealmMissing(RealmError):
    """The server says that this realm does not exist."""


class RealmUnreadable(RealmError):
    """The account may not see this realm's e-mail settings."""


class SecretError(RealmError):
    """A secret reference cannot be resolved, or must not be."""


class MailTestFailed(RealmError):
    """The server's test of the connection to the relay failed."""

    __test__ = False  # not a test class, whatever its name looks like to pytest
    exit_status = ExitStatus.DIFFERS
