"""The newest look at realms that are about to be written: a plan grows old while people read it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import islice

from ztrust_mail.core.errors import RealmError
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, read_with_templates
from ztrust_mail.planning.plan import RealmPlan

FRESH_SECONDS = 5.0
"""A realm read longer ago than this is read anew before it is written."""


LONG_SECONDS = 1.0
"""A reading of all realms still to come that takes longer than this is not repeated: too few are written before they
are old again."""

FEW = 8
"""So many realms are read together then, each by itself."""


class FreshReads:
    """Gives each realm's settings as they were at most five seconds ago; may be shared by threads.

    When one realm has grown old, the others still to come have too: one reading serves them all, unless there are so
    many that it takes long. Of a server that shows nothing there is no newer look than the plan's.
    """

    def __init__(self, gateway: Gateway, planned: Sequence[RealmPlan]) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self._all_at_once = True
        self._seen: dict[str, LiveRealm | RealmError | None] = {realm.realm: realm.live for realm in planned}
        self._names = {realm.realm: gateway.dialect.template_names(realm.wanted.fields) for realm in planned}

    def take(self, realm: str) -> LiveRealm:
        """Return one realm's settings, once; raises :class:`RealmError` where they cannot be read any more."""
        with self._lock:
            live = self._seen.pop(realm)
            if self._gateway.capabilities.read and not _fresh(live):
                live = self._look(realm)
        if isinstance(live, RealmError):
            raise live
        assert live is not None  # a reading holds settings or an error
        return live

    def _look(self, realm: str) -> LiveRealm | RealmError:
        """Return a realm from a new look, at it and at others still to come."""
        began = time.monotonic()
        ahead = list(self._seen) if self._all_at_once else list(islice(self._seen, FEW - 1))
        reading = read_with_templates(self._gateway, [realm, *ahead], self._names).realms
        self._seen |= {name: reading[name] for name in ahead}
        self._all_at_once &= time.monotonic() - began <= LONG_SECONDS
        return reading[realm]

    def again(self, realm: str) -> LiveRealm:
        """Return the settings of a realm that was taken already, from a new look; raises as :meth:`take` does."""
        live = read_with_templates(self._gateway, [realm], self._names).realms[realm]
        if isinstance(live, RealmError):
            raise live
        return live


def _fresh(live: LiveRealm | RealmError | None) -> bool:
    return isinstance(live, LiveRealm) and time.monotonic() - live.read_at <= FRESH_SECONDS
