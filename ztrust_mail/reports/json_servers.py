"""The servers of the settings as data for the JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztrust_mail.core.data import JsonLike
    from ztrust_mail.diagnose.servers import ReachCheck, ServerList
    from ztrust_mail.settings.inventory import ListedServer
    from ztrust_mail.settings.limits import Limits


def server_data(one: ListedServer, found: ServerList) -> Mapping[str, JsonLike]:
    """Return what is known of a server; ``url`` and more are null for a broken entry, ``check`` without a check."""
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
