"""Uses the last applied settings as live settings, for write-only products."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from ztrust_mail.dialects.row import Outgoing, Version
from ztrust_mail.gateways.gateway import Account, Edit, Gateway, LiveRealm, Reading, ServerInfo
from ztrust_mail.journal.records import JournalState
from ztrust_mail.transport.throttle import Throttle


class LastAppliedGateway(Gateway):
    """A gateway to a write-only product that reads the last applied settings from the journal.

    A realm that was never written, or whose last write has an unknown outcome, has no settings here: then all of the
    spec is a change, and writing it again does no harm.
    """

    def __init__(self, gateway: Gateway, read_journal: Callable[[Collection[str]], JournalState]) -> None:
        self.url, self.dialect, self.capabilities = gateway.url, gateway.dialect, gateway.capabilities
        self.connections = gateway.connections
        self._gateway, self._read_journal = gateway, read_journal

    @property
    def title(self) -> str:
        return self._gateway.title

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        journal = self._read_journal(wanted)
        return Reading({realm: _last_applied(journal, realm) for realm in wanted}, complete=False)

    def read_one(self, realm: str) -> LiveRealm:
        return _last_applied(self._read_journal([realm]), realm)

    def login(self) -> None:
        self._gateway.login()

    def account(self, *, with_email: bool = True) -> Account:
        return self._gateway.account(with_email=with_email)

    def version(self) -> Version:
        return self._gateway.version()

    def server_info(self) -> ServerInfo:
        return self._gateway.server_info()

    def realms(self) -> list[str]:
        return self._gateway.realms()

    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        self._gateway.write(realm, attributes)  # without a deadline: there is no fresh read to wait for

    def test(self, realm: str, attributes: Outgoing) -> None:
        self._gateway.test(realm, attributes)

    def may_write(self, realm: str) -> bool | None:
        return self._gateway.may_write(realm)

    def edits(self, realm: str, since: datetime | None) -> Sequence[Edit] | None:
        return self._gateway.edits(realm, since)

    def throttles(self) -> Collection[Throttle]:
        return self._gateway.throttles()

    def close(self) -> None:
        self._gateway.close()


def _last_applied(journal: JournalState, realm: str) -> LiveRealm:
    known = journal.of(realm)
    applied = known.last.after if known.last and not known.doubt else None
    return LiveRealm(realm, applied or {}, time.monotonic())
