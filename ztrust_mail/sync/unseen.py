"""What was last applied, in the place of what is live, for a server that shows nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ztrust_mail.dialects.base import Outgoing
from ztrust_mail.dialects.row import Version
from ztrust_mail.findings import Finding, Severity
from ztrust_mail.gateways.base import Account, Gateway, LiveRealm, Reading
from ztrust_mail.sync.hidden import Memory
from ztrust_mail.sync.plan import NOT_SEEN

if TYPE_CHECKING:
    from ztrust_mail.gateways.admin_events import Edit


def not_seen(gateway: Gateway) -> tuple[Finding, ...]:
    """Return what every plan has to say of a server that shows nothing; nothing of one that does."""
    if gateway.capabilities.read:
        return ()
    message = f"live was not looked at: {gateway.title} shows no settings; this compares with what was last applied"
    hint = "what somebody else changed there, or another journal applied, cannot be seen"
    return (Finding(Severity.WARNING, NOT_SEEN, message, hint),)


class LastApplied(Gateway):
    """A gateway that cannot read, and in the place of reading what the journal says was last applied.

    A realm that was never written, or whose last write may or may not have arrived, has no settings here: then
    everything is a change, and writing it once more does no harm.
    """

    def __init__(self, gateway: Gateway, recall: Callable[[], Memory]) -> None:
        self.url, self.dialect, self.capabilities = gateway.url, gateway.dialect, gateway.capabilities
        self.connections = gateway.connections
        self._gateway, self._recall = gateway, recall

    @property
    def title(self) -> str:
        return self._gateway.title

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        memory = self._recall()
        return Reading({realm: self._last(realm, memory) for realm in wanted}, complete=False)

    def read_one(self, realm: str) -> LiveRealm:
        return self._last(realm, self._recall())

    def _last(self, realm: str, memory: Memory) -> LiveRealm:
        known = memory.of(realm)
        applied = known.last.after if known.last and not known.doubt else None
        return LiveRealm(realm, applied or {}, time.monotonic())

    def login(self) -> None:
        self._gateway.login()

    def account(self, *, with_email: bool = True) -> Account:
        return self._gateway.account(with_email=with_email)

    def version(self) -> Version:
        return self._gateway.version()

    def realms(self) -> list[str]:
        return self._gateway.realms()

    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        self._gateway.write(realm, attributes)  # whenever it is sent: there is no newer look to wait for

    def test(self, realm: str, attributes: Outgoing) -> None:
        self._gateway.test(realm, attributes)

    def may_write(self, realm: str) -> bool | None:
        return self._gateway.may_write(realm)

    def edits(self, realm: str, since: datetime | None) -> Sequence[Edit] | None:
        return self._gateway.edits(realm, since)

    def hurry(self) -> None:
        self._gateway.hurry()

    def try_again(self) -> None:
        self._gateway.try_again()

    def close(self) -> None:
        self._gateway.close()
