"""Reads realms again before they are written: the plan gets stale while people review it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import islice

from ztrust_mail.core.errors import RealmError
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.planning.plan import RealmPlan

FRESH_SECONDS = 5.0
"""A realm that was read longer ago than this is read again before it is written."""


LONG_SECONDS = 1.0
"""When reading all remaining realms takes longer than this, it is not repeated: too few of them would be written
before the read is stale again."""

SINGLE_READS = 8
"""How many realms are then read together, each by a request of its own."""


class FreshReads:
    """Returns settings of realms that were read at most five seconds ago. Threads may share it.

    When one realm is stale, the remaining ones are too: one read serves them all, unless they are so many that it
    takes long. For a server that shows no settings, the read of the plan is used.
    """

    def __init__(self, gateway: Gateway, planned: Sequence[RealmPlan]) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self._all_at_once = True
        self._seen: dict[str, LiveRealm | RealmError | None] = {realm.realm: realm.live for realm in planned}
        self._names = {realm.realm: gateway.dialect.template_names(realm.wanted.fields) for realm in planned}

    def get(self, realm: str) -> LiveRealm:
        """Return one realm's settings, once per realm. Raises :class:`RealmError` where they cannot be read."""
        with self._lock:
            live = self._seen.pop(realm)
            if self._gateway.capabilities.read and not _is_fresh(live):
                live = self._read_again(realm)
        if isinstance(live, RealmError):
            raise live
        assert live is not None  # a read gives settings or an error
        return live

    def _read_again(self, realm: str) -> LiveRealm | RealmError:
        """Read a realm together with remaining ones, and return it."""
        began = time.monotonic()
        ahead = list(self._seen) if self._all_at_once else list(islice(self._seen, SINGLE_READS - 1))
        reading = read_with_templates(self._gateway, [realm, *ahead], self._names).realms
        self._seen |= {name: reading[name] for name in ahead}
        self._all_at_once &= time.monotonic() - began <= LONG_SECONDS
        return reading[realm]

    def refresh(self, realm: str) -> LiveRealm:
        """Read a realm alone that :meth:`get` has returned before. Raises as :meth:`get` does."""
        live = read_with_templates(self._gateway, [realm], self._names).realms[realm]
        if isinstance(live, RealmError):
            raise live
        return live


def _is_fresh(live: LiveRealm | RealmError | None) -> bool:
    return isinstance(live, LiveRealm) and time.monotonic() - live.read_at <= FRESH_SECONDS
