"""The report that a worker stored with its request, which may be of another version than this program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import printable

if TYPE_CHECKING:
    from ztrust_mail.core.data import JsonLike
    from ztrust_mail.journal.requests import StoredRequest


def stored_report(request: StoredRequest) -> Mapping[str, JsonLike] | None:
    """Return a worker's stored report, None if there is none that this program can read."""
    try:
        data = json.loads(fill_in_number(request.report, request))
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("findings"), list):
        return None
    summary = data.get("summary")
    return data if isinstance(summary, dict) and all(isinstance(one, int) for one in summary.values()) else None


def fill_in_number(text: str, request: StoredRequest) -> str:
    """Return a worker's text with the number of the request in its hint to retry, which workers write as N."""
    return text.replace("requests N --retry", f"requests {request.number} --retry")


def stored_counts(request: StoredRequest) -> Mapping[str, int] | None:
    """Return the number of realms in a stored report, by status and in total as ``realms``; None without a report."""
    report = stored_report(request)
    summary = report["summary"] if report else None
    if not isinstance(summary, Mapping):
        return None
    return {"realms": 0, **{name: number for name, number in summary.items() if isinstance(number, int)}}


def stored_findings(request: StoredRequest) -> list[Finding]:
    """Return the findings of no single realm in the report of a worker."""
    report = stored_report(request)
    return [*_findings(report)] if report else []


def stored_realms(request: StoredRequest) -> Iterator[tuple[str, str, tuple[Finding, ...]]]:
    """Yield the realms in the report of a worker, each with its status and findings."""
    report = stored_report(request)
    realms = report.get("realms") if report else None
    for one in realms if isinstance(realms, list) else ():
        if isinstance(one, Mapping):
            yield str(one.get("realm")), printable(str(one.get("status"))), tuple(_findings(one))


def _findings(data: Mapping[str, object]) -> Iterator[Finding]:
    found = data.get("findings")
    for one in found if isinstance(found, list) else ():
        with suppress(ValueError, KeyError, TypeError):  # from a newer program
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
