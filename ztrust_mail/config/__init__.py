"""Settings: which servers there are, how to log in at them, what a spec is permitted and what its limits are.

Found first wins: ``--config``, ``$ZTRUST_MAIL_CONFIG``, ``./ztrust-mail.toml``, the user's config folder.
A file that only lies in the working folder is not trusted: of its tables only ``[servers]`` counts.
"""

from __future__ import annotations

from ztrust_mail.config.file_urls import FILES, folder_of
from ztrust_mail.config.policy import Policy
from ztrust_mail.config.servers import (
    DEFAULT_CLIENT,
    DEFAULT_CONNECTIONS,
    DEFAULT_REALM,
    DEFAULT_TIMEOUT,
    GATEWAYS,
    MAX_CONNECTIONS,
    MAX_TIMEOUT,
    Server,
    choose_server,
    is_loopback,
)
from ztrust_mail.config.settings import FILE_NAME, PREFIX, Permissions, Settings, journal_url, load, places

__all__ = [
    "DEFAULT_CLIENT",
    "DEFAULT_CONNECTIONS",
    "DEFAULT_REALM",
    "DEFAULT_TIMEOUT",
    "FILES",
    "FILE_NAME",
    "GATEWAYS",
    "MAX_CONNECTIONS",
    "MAX_TIMEOUT",
    "PREFIX",
    "Permissions",
    "Policy",
    "Server",
    "Settings",
    "choose_server",
    "folder_of",
    "is_loopback",
    "journal_url",
    "load",
    "places",
]
