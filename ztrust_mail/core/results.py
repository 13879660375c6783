"""The common methods of all results: a one-line summary, an exception if something failed, and a report."""

from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from typing import ClassVar, Protocol

from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.errors import ExitStatus, RealmMissing, RealmUnreadable, ResultError, SecretError, ZtrustMailError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise, printable

_KINDS: Mapping[str, type[ZtrustMailError]] = {
    "no-realm": RealmMissing,
    "may-not-see": RealmUnreadable,
    "secret-missing": SecretError,
    "secret-bad": SecretError,
    "secret-out-of-reach": SecretError,
}
"""The class of the error to raise, by the rule of the findings, where all have the same."""


class _Result(Protocol):
    accepted: ClassVar[frozenset[ExitStatus]]
    failure: ClassVar[type[ZtrustMailError]]

    @property
    def exit_status(self) -> ExitStatus: ...
    @property
    def findings(self) -> Sequence[Finding]: ...
    @property
    def summary(self) -> str: ...
    def find_failure(self) -> ZtrustMailError | None: ...


class ResultMethods:
    """Base of all results, which have ``exit_status``, ``findings`` (all, those of the realms too) and ``summary``.

    ``accepted`` are the exit statuses that are not a failure; ``failure`` is the class of the error raised for the
    others, unless the findings determine a more specific one.
    """

    accepted: ClassVar[frozenset[ExitStatus]] = frozenset({ExitStatus.OK})
    failure: ClassVar[type[ZtrustMailError]] = ResultError

    def __str__(self: _Result) -> str:
        """Return one line: the server and how many realms are in which state."""
        return self.summary

    def __repr__(self: _Result) -> str:
        return f"<{type(self).__name__} {self.summary}>"

    def raise_for_status(self: _Result) -> None:
        """Raise an error with all ``findings`` and the ``exit_status`` of this result, unless nothing failed.

        It is a :class:`RealmMissing`, :class:`RealmUnreadable` or :class:`SecretError` if that is the only reason, a
        :class:`MailTestFailed` for test mails, or else a :class:`ResultError`.
        """
        if error := self.find_failure():
            raise error

    def find_failure(self: _Result) -> ZtrustMailError | None:
        """Return the error that :meth:`raise_for_status` raises, None if nothing failed."""
        return None if self.exit_status in self.accepted else _error_of(self)

    def to_dict(self) -> dict[str, JsonLike]:
        """Return the report of this result by ``schemas/report.schema.json``, as ``--format json`` prints it."""
        return make_report(self)


@singledispatch
def make_report(result: object) -> dict[str, JsonLike]:
    """Return the report of a result. The library registers how: reports are made above the rooms of results."""
    raise TypeError(f"{type(result).__name__} has no report")


def summarise(where: str, statuses: Mapping[str, int]) -> str:
    """Return a line such as ``https://id.example: 3 realms: 2 applied, 1 failed``."""
    total = pluralise(sum(statuses.values()), "realm")
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in statuses.items())
    return f"{printable(where)}: {total}{': ' if counts else ''}{counts}"


def flatten(own: Iterable[Finding], realms: Iterable[Iterable[Finding]]) -> tuple[Finding, ...]:
    """Return all findings once, those of no single realm first."""
    return tuple(dict.fromkeys([*own, *(finding for found in realms for finding in found)]))


def _error_of(result: _Result) -> ZtrustMailError:
    errors = [one for one in result.findings if one.severity in (Severity.CRITICAL, Severity.ERROR)]
    kinds = {_KINDS.get(one.rule, result.failure) for one in errors}
    kind = kinds.pop() if len(kinds) == 1 else result.failure
    message, hint, rule = result.summary, "see the findings of the result", ""
    if errors:
        first, more = errors[0], f" (and {len(errors) - 1:,} more)" if errors[1:] else ""
        of_realm = f"realm {printable(first.realm)}: " if first.realm else ""
        message, hint, rule = f"{message}; {of_realm}{first.message}{more}", first.hint, first.rule
    error = kind(message, hint, rule)
    error.findings, error.exit_status = tuple(result.findings), result.exit_status
    return error
