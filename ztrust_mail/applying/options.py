"""How a plan is applied, and what an apply works with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ztrust_mail.applying.waves import Waves
from ztrust_mail.core.findings import Finding
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.journal.records import NOTHING_REMEMBERED, JournalState
from ztrust_mail.planning.plan import RealmPlan
from ztrust_mail.planning.safety import Reason
from ztrust_mail.secrets.store import SecretStore

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal

Progress = Callable[[RealmPlan], None]

CanaryTest = Callable[[Sequence[str]], Sequence[Finding]]
"""Has the server test the connection of realms; returns its answers, an error for each test that failed."""


@dataclass(frozen=True)
class ApplyOptions:
    """How a plan is applied.

    ``allow`` names the dangers that are intended. ``wait`` is how many seconds to wait for the lock on the server.
    ``progress`` is called, from any thread, with each realm that was written or has failed. Setting ``cancel`` lets
    the writes under way finish and skips the rest. ``command``, ``spec_digest`` and ``plan_digest`` are recorded in
    the journal; without ``plan_digest`` it is the digest of the plan itself.
    """

    allow: frozenset[Reason] = frozenset()
    waves: Waves = field(default_factory=Waves)
    wait: float = 0.0
    progress: Progress | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    command: str = "apply"
    spec_digest: str = ""
    plan_digest: str = ""


def _skip_test(realms: Sequence[str]) -> Sequence[Finding]:
    return ()


@dataclass(frozen=True)
class ApplyContext:
    """What an apply works with.

    ``who`` is recorded in the journal. ``memory`` is what the journal held when the plan was made. ``test_canary`` is
    called after the canary was written. ``lock_lost`` is set when this run loses its lock on the server; no write
    begins after that.
    """

    gateway: Gateway
    secrets: SecretStore
    journal: Journal
    who: str
    memory: JournalState = NOTHING_REMEMBERED
    test_canary: CanaryTest = _skip_test
    lock_lost: threading.Event = field(default_factory=threading.Event)
