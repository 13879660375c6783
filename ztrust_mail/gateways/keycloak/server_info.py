"""Reads what ``GET /admin/serverinfo`` says."""

from collections.abc import Mapping

from ztrust_mail.core.data import Json
from ztrust_mail.dialects.row import parse_version
from ztrust_mail.gateways.gateway import ServerInfo


def parse_server_info(info: Json) -> ServerInfo:
    """Return the version, the e-mail themes and the e-mail sender providers; an account without rights sees no more."""
    if not isinstance(info, dict):
        return ServerInfo()
    version = parse_version(str(_inside(info, "systemInfo").get("version", "")))
    themes, senders = _inside(info, "themes").get("email"), None
    sender_spi = _inside(info, "providers").get("emailSender")
    if isinstance(sender_spi, dict):
        senders = tuple(sorted(_inside(sender_spi, "providers")))
    named = (one.get("name") for one in themes if isinstance(one, dict)) if isinstance(themes, list) else ()
    known = frozenset(name for name in named if isinstance(name, str))
    return ServerInfo(version, known or None, senders)


def _inside(data: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}
