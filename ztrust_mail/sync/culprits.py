"""Who changed a realm behind our back, and when: asked of the server's own account of edits, where it keeps one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from ztrust_mail.errors import RealmError, ServerError
from ztrust_mail.gateways.admin_events import Edit
from ztrust_mail.gateways.base import Gateway
from ztrust_mail.spec.fields import TEMPLATES
from ztrust_mail.spec.model import is_within
from ztrust_mail.sync.attribution import Past
from ztrust_mail.sync.compare import Change
from ztrust_mail.text import quoted

MOST_REALMS = 50
"""So many realms' edits are asked for, so that a changed fleet does not flood its server with questions."""

_SHOWN = 3


def edits_since(gateway: Gateway, moments: Mapping[str, datetime | None]) -> dict[str, Sequence[Edit]]:
    """Return the edits of each realm since its moment, the newest first; of the first 50 realms at most.

    Realms whose edits are not to be had are left out: no failure here is worth more than the drift itself.
    """
    lost = threading.Event()

    def ask(realm: str) -> Sequence[Edit]:
        try:
            return () if lost.is_set() else gateway.edits(realm, moments[realm]) or ()
        except ServerError:
            lost.set()
        except RealmError:
            pass
        return ()

    realms = list(moments)[:MOST_REALMS]
    if not realms:
        return {}
    with ThreadPoolExecutor(gateway.connections) as pool:
        found = dict(zip(realms, pool.map(ask, realms), strict=True))
    return {realm: edits for realm, edits in found.items() if edits}


def author(past: Past, change: Change, edits: Sequence[Edit]) -> Edit | None:
    """Return the edit that gave a field its live value: the first of those since which it never was another.

    Edits do not tell of what stands beside the e-mail settings.
    """
    if is_within(change.field, TEMPLATES):
        return None
    found = None
    for edit in edits:
        if edit.fields is None or not past.is_live(change, edit.fields):
            break
        found = edit
    return found


def in_words(edits: Sequence[Edit]) -> str:
    """Return who made the newest edits, and when."""
    more = len(edits) - _SHOWN
    return "; ".join([*map(_who, edits[:_SHOWN]), *([f"and {more} more"] if more > 0 else [])])


def _who(edit: Edit) -> str:
    client = f" with client {quoted(edit.client)}" if edit.client else ""
    address = f" from {quoted(edit.address)}" if edit.address else ""
    return f"{quoted(edit.user) if edit.user else 'somebody'}{client}{address} on {moment(edit.at)}"


def moment(at: datetime) -> str:
    """Return a time for people, to the minute, in UTC."""
    return f"{utc(at):%Y-%m-%d %H:%M} UTC"


def utc(at: datetime) -> datetime:
    """Return a time with its zone; one without is in UTC."""
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
