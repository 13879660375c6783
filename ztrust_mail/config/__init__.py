"""Settings: which servers there are, how to log in at them, what a spec is permitted and what its limits are.

A file named by ``--config`` or ``$ZTRUST_MAIL_CONFIG`` is the only one. Otherwise the file in the user's config folder
is in force, and ``./ztrust-mail.toml`` adds servers to it. That file is not trusted: see :mod:`.untrusted`.
"""

from __future__ import annotations

from ztrust_mail.config.environment import PREFIX, PROCESS, Environment, Variables
from ztrust_mail.config.file_urls import FILES, folder_of
from ztrust_mail.config.policy import Policy
from ztrust_mail.config.server_urls import is_loopback
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
)
from ztrust_mail.config.settings import FILE_NAME, Permissions, Settings, journal_url, load, places

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
    "PROCESS",
    "Environment",
    "Permissions",
    "Policy",
    "Server",
    "Settings",
    "Variables",
    "choose_server",
    "folder_of",
    "is_loopback",
    "journal_url",
    "load",
    "places",
]
