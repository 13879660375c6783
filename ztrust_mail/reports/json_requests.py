"""Requests as data for the JSON report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ztrust_mail.core.text import to_iso

if TYPE_CHECKING:
    from datetime import datetime

    from ztrust_mail.core.data import JsonLike
    from ztrust_mail.journal.request_list import RequestStatus
    from ztrust_mail.journal.requests import StoredRequest


def request_data(request: StoredRequest) -> Mapping[str, JsonLike]:
    """Return what a list shows of a request."""
    return {
        "request": request.number,
        "server": request.server,
        "name": request.name,
        "queue": request.queue,
        "kind": request.kind,
        "key": request.key,
        "state": request.state.value,
        "cancelling": request.is_cancelled and not request.state.is_final,
        "attempts": request.attempts,
        "exit_status": int(request.final_status) if request.state.is_final else None,
        "summary": request.summary,
        "who": request.who,
        "message": request.message,
        "submitted": to_iso(request.submitted),
        "due": to_iso(request.due),
        "started": _time(request.started),
        "ended": _time(request.ended),
        "tool_version": request.tool_version,
    }


def status_data(one: RequestStatus, *, whole: bool) -> Mapping[str, JsonLike]:
    """Return a request with how far it came; with ``whole`` also with its report, null where none is stored."""
    progress: Mapping[str, JsonLike] = {
        "ahead": one.ahead,
        "run": one.run,
        "steps": {step.value: number for step, number in one.steps.items()},
    }
    report: Mapping[str, JsonLike] = {"report": stored_report(one.request)} if whole else {}
    return {**request_data(one.request), **progress, **report}


def stored_report(request: StoredRequest) -> Mapping[str, JsonLike] | None:
    """Return the report of a worker, None where it stored none that this program can read."""
    try:
        data = json.loads(fill_in_number(request.report, request))
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("findings"), list):
        return None
    summary = data.get("summary")
    return data if isinstance(summary, dict) and all(isinstance(one, int) for one in summary.values()) else None


def fill_in_number(text: str, request: StoredRequest) -> str:
    """Return the text of a worker, which does not know the number in its advice to try a request again."""
    return text.replace("requests N --retry", f"requests {request.number} --retry")


def stored_counts(request: StoredRequest) -> Mapping[str, int] | None:
    """Return how many realms the report of a worker has, in all as ``realms`` and by status; None without a report."""
    report = stored_report(request)
    summary = report["summary"] if report else None
    if not isinstance(summary, Mapping):
        return None
    return {"realms": 0, **{name: number for name, number in summary.items() if isinstance(number, int)}}


def _time(time: datetime | None) -> str | None:
    return to_iso(time) if time else None
