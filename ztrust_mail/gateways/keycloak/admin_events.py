"""Keycloak's admin events: who edited a realm through the API, if the server records it.

Measured on 16.1.1 and 26.7.4: the newest event comes first; ``dateFrom`` takes a date on all versions, an epoch on new
ones only; an edit of the realm itself has no ``resourcePath``; with details on, an event contains what was sent, which
16 masks in part only; events contain the ids of accounts, and only accounts of master and of the realm itself may edit
it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from ztrust_mail.core.data import Json
from ztrust_mail.core.text import MASTER
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.products.keycloak import SMTP_SERVER
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.gateways.gateway import Edit

MAX_EVENTS = 100
"""The number of a realm's newest events that are read."""

MAX_NAMES = 100
"""The most accounts that are looked up by id; further accounts are named by their id."""

_A_ZONE = timedelta(days=1)  # the date is taken in the server's own time zone
_END_OF_TIME = 253_402_300_799_999  # milliseconds; the last that a datetime holds


class AdminEvents:
    """Reads admin events. ``get`` returns a path's JSON, None if the server refuses it.

    May be used by several threads. An account is looked up once.
    """

    def __init__(self, get: Callable[[str], Json], dialect: Dialect) -> None:
        self._get = get
        self._dialect = dialect
        self._names: dict[tuple[str, str], str] = {}

    def edits(self, path: str, since: datetime | None) -> Sequence[Edit] | None:
        """Return the edits of the realm at this path after a moment, newest first; None if we may not see them.

        A realm whose admin events are off looks like a realm without edits.
        """
        query = f"operationTypes=UPDATE&resourceTypes=REALM&max={MAX_EVENTS}"
        if since is not None:
            query += f"&dateFrom={since.astimezone(UTC) - _A_ZONE:%Y-%m-%d}"
        listed = self._get(f"{path}/admin-events?{query}")
        if not isinstance(listed, list):
            return None
        found = [edit for event in listed if (edit := self._edit(path, event))]
        later = [edit for edit in found if since is None or edit.at > since]
        return sorted(later, key=lambda edit: edit.at, reverse=True)

    def _edit(self, path: str, event: Json) -> Edit | None:
        """Return an event as an edit; None if it does not concern the realm's own settings."""
        if not isinstance(event, dict) or event.get("resourcePath") or (at := _moment(event.get("time"))) is None:
            return None
        sent = _sent(event.get("representation"))
        attributes = None if sent is None else _attributes(sent)
        if sent is not None and attributes is None:
            return None
        details = event.get("authDetails")
        who: Mapping[str, Json] = details if isinstance(details, dict) else {}
        home = path if who.get("realmId") == event.get("realmId") else f"{path.rpartition('/')[0]}/{MASTER}"
        user, client, address = (_text(who.get(key)) for key in ("userId", "clientId", "ipAddress"))
        fields = None if attributes is None else self._dialect.decode(attributes)
        return Edit(at, self._name(home, user), client, address, fields)

    def _name(self, path: str, user: str) -> str:
        if not user.strip("."):  # such an id would change the path
            return user
        if (path, user) not in self._names and len(self._names) < MAX_NAMES:
            account = self._get(f"{path}/users/{quote(user, safe='', errors='replace')}")
            name = _text(account.get("username")) if isinstance(account, dict) else ""
            self._names[path, user] = name or user
        return self._names.get((path, user), user)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _moment(milliseconds: Json) -> datetime | None:
    if type(milliseconds) is not int or not 0 <= milliseconds <= _END_OF_TIME:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def _sent(representation: Json) -> Mapping[str, Json] | None:
    """Return the realm as it was sent; None if the details are missing or cut off."""
    try:
        sent: Json = json.loads(_text(representation))
    except (ValueError, RecursionError):
        return None
    return sent if isinstance(sent, dict) else None


def _attributes(sent: Mapping[str, Json]) -> Attributes | None:
    """Return the e-mail attributes of a realm as it was sent; None if the edit did not contain them."""
    attributes = sent.get(SMTP_SERVER)
    if not isinstance(attributes, dict):
        return None
    return {name: text for name, text in attributes.items() if isinstance(text, str)}
