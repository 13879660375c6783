"""Requests as a table, and what the report that a worker stored says of its realms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import printable, to_second
from ztrust_mail.journal.requests import StoredRequest
from ztrust_mail.reports.json_requests import stored_report
from ztrust_mail.reports.overview.rows import RealmRow, Table

_HEADS = ("request", "server", "work", "state", "attempts", "submitted", "by", "message", "summary")


def request_table(requests: Iterable[StoredRequest]) -> Table:
    """Return requests as a table with a row for each."""
    rows = (
        (str(one.number), one.name or one.server, one.kind, one.state.value, str(one.attempts),
         to_second(one.submitted), one.who, one.message, one.summary)
        for one in requests
    )  # fmt: skip
    return Table("Requests", _HEADS, tuple(rows))


def stored_findings(request: StoredRequest) -> list[Finding]:
    """Return the findings of no single realm in the report that a worker stored."""
    report = stored_report(request)
    return [*_findings(report)] if report else []


def stored_realms(request: StoredRequest) -> list[RealmRow]:
    """Return the realms in the report that a worker stored, with their findings."""
    report = stored_report(request)
    realms = report.get("realms") if report else None
    rows = [one for one in realms if isinstance(one, Mapping)] if isinstance(realms, list) else []
    return [
        RealmRow(str(one.get("realm")), printable(str(one.get("status"))), findings=tuple(_findings(one)))
        for one in rows
    ]


def _findings(data: Mapping[str, object]) -> Iterator[Finding]:
    found = data.get("findings")
    for one in found if isinstance(found, list) else ():
        with suppress(ValueError, KeyError, TypeError):  # of a newer program
            realm, rule = one["realm"], printable(str(one["rule"]))
            yield Finding(
                Severity(one["severity"]), rule, str(one["message"]), str(one["hint"]), _location(one),
                realm if isinstance(realm, str) else None,
            )  # fmt: skip


def _location(data: Mapping[str, object]) -> Location | None:
    path, line, column = data.get("path"), data.get("line"), data.get("column")
    if not isinstance(path, str):
        return None
    return Location(path, line if isinstance(line, int) else 0, column if isinstance(column, int) else 0)
