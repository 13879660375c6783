"""Lists the servers of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ztrust_mail import settings as config

if TYPE_CHECKING:
    from ztrust_mail.diagnose.servers import ServerList


def servers(
    labels: Mapping[str, str] | None = None,
    *,
    check: bool = False,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> ServerList:
    """Return the servers of the settings that have all of these labels; with ``check``, log in to each.

    Without ``check`` nothing is sent, and no secret is resolved. Raises :class:`ConfigError` where the settings as a
    whole cannot be read, and :class:`UsageError` for a label that no server has. An entry that is broken is listed with
    its problem.
    """
    from ztrust_mail.diagnose.servers import ServerList, check_servers
    from ztrust_mail.settings.inventory import list_servers, report_servers, select_servers

    environ = config.Environment(environ)
    settings = config.load(config_path, environ)
    chosen = select_servers(list_servers(settings, environ), labels or {})
    findings = (*settings.findings, *report_servers(chosen))
    return ServerList(chosen, findings, check_servers(chosen) if check else {})
