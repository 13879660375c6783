"""Settings: the servers, how to log in to them, what a spec is permitted to do, its policy, and workers.

A file named by ``--config`` or ``$ZTRUST_MAIL_CONFIG`` is the only one read. Otherwise the file in the user's config
folder applies, and ``./ztrust-mail.toml`` adds servers to it. The latter file is not trusted: see :mod:`.untrusted`.
"""

from ztrust_mail.settings.file import FILE_NAME, LintSettings, Permissions, Settings, journal_url, load, places
from ztrust_mail.settings.fleet import FleetSettings, Schedule
from ztrust_mail.settings.inputs import PREFIX, PROCESS, Environment, Variables
from ztrust_mail.settings.policy import Policy
from ztrust_mail.settings.servers import GATEWAYS, Server, choose_server, has_server_at
from ztrust_mail.settings.urls import FILES, folder_of, is_loopback

__all__ = [
    "FILES",
    "FILE_NAME",
    "GATEWAYS",
    "PREFIX",
    "PROCESS",
    "Environment",
    "FleetSettings",
    "LintSettings",
    "Permissions",
    "Policy",
    "Schedule",
    "Server",
    "Settings",
    "Variables",
    "choose_server",
    "folder_of",
    "has_server_at",
    "is_loopback",
    "journal_url",
    "load",
    "places",
]
