"""The servers of the settings, and requests to workers, as data for the JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ztrust_mail.core.text import to_iso
from ztrust_mail.reports.stored import stored_report

if TYPE_CHECKING:
    from ztrust_mail.core.data import JsonLike
    from ztrust_mail.diagnose.servers import ReachCheck, ServerList
    from ztrust_mail.journal.request_list import RequestStatus
    from ztrust_mail.journal.requests import StoredRequest
    from ztrust_mail.settings.inventory import ListedServer
    from ztrust_mail.settings.limits import Limits


def server_data(one: ListedServer, found: ServerList) -> Mapping[str, JsonLike]:
    """Return a server as data. ``url`` and others are null for a broken entry, ``check`` without a check."""
    server, check = one.server, found.checks.get(one.name)
    return {
        "name": one.name,
        "settings": one.path,
        "labels": dict(one.labels),
        "vars": dict(server.vars) if server else {},
        "url": server.url if server else None,
        "gateway": server.gateway if server else None,
        "account": one.account,
        "secrets": dict(one.sources),
        "queue": server.queue if server else None,
        "limits": _limits(server.limits, server.connections) if server else None,
        "problem": one.problem.message if one.problem else None,
        "check": _check(check) if check else None,
    }


def _limits(limits: Limits, connections: int) -> Mapping[str, JsonLike]:
    windows: list[JsonLike] = [
        {"cron": one.cron, "minutes": int(one.duration.total_seconds()) // 60, "timezone": one.timezone}
        for one in limits.windows or ()
    ]
    return {
        "connections": connections,
        "requests_per_second": limits.requests_per_second,
        "windows": None if limits.windows is None else windows,
    }


def _check(check: ReachCheck) -> Mapping[str, JsonLike]:
    return {"status": check.status.value, "detail": check.detail, "seconds": round(check.seconds, 3)}


def request_data(request: StoredRequest) -> Mapping[str, JsonLike]:
    """Return a request as data for lists."""
    return {
        "request": request.number,
        "server": request.server,
        "name": request.name,
        "queue": request.queue,
        "kind": request.kind,
        "key": request.key,
        "state": request.state.value,
        "cancelling": request.is_stopping,
        "attempts": request.attempts,
        "exit_status": int(request.final_status) if request.state.is_final else None,
        "summary": request.summary,
        "who": request.who,
        "message": request.message,
        "submitted": to_iso(request.submitted),
        "due": to_iso(request.due),
        "started": to_iso(request.started) if request.started else None,
        "ended": to_iso(request.ended) if request.ended else None,
        "tool_version": request.tool_version,
    }


def status_data(one: RequestStatus, *, whole: bool) -> Mapping[str, JsonLike]:
    """Return a request with its progress; with ``whole`` also its report, null if none is stored."""
    progress: Mapping[str, JsonLike] = {
        "ahead": one.ahead,
        "run": one.run,
        "steps": {step.value: number for step, number in one.steps.items()},
    }
    report: Mapping[str, JsonLike] = {"report": stored_report(one.request)} if whole else {}
    return {**request_data(one.request), **progress, **report}
