"""The cases of requests under faults, and the server that each case has for itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

from support.fault_proxy import FaultProxy
from support.fleet_points import MAILING
from support.fleet_workers import PATIENCE

from ztrust_mail.api.spec_types import EntryDict, SpecDict
from ztrust_mail.journal.requests import RequestState, StoredRequest

VARIABLE = "FLEET_RELAY_PASSWORD"
OLD, NEW = "relay-Passw0rd-old", "relay-Passw0rd-new"
REALMS_EACH = 3
QUICK = 0.2  # seconds between two sweeps of a worker that takes up what others have left
SLOW = 600.0
TICK = 0.05  # seconds between two looks at a condition

Kind = str
APPLY, APPLY_PLAN, ROTATE, ONBOARD, DRIFT, TEST, TEST_STORED = (
    "apply",
    "apply-plan",
    "rotate",
    "onboard",
    "drift",
    "test",
    "test-stored",
)
WRITING_KINDS = (APPLY, APPLY_PLAN, ROTATE, ONBOARD)
MAIL_KINDS = (TEST, TEST_STORED)


def wait_until(holds: Callable[[], bool], what: Callable[[], str], patience: float = PATIENCE) -> None:
    """Wait until a condition holds; fail with what is wrong if it does not in time."""
    waited, pause = 0.0, threading.Event()
    while not holds():
        assert waited < patience, what()
        pause.wait(TICK)
        waited += TICK


@dataclass(frozen=True)
class Case:
    """A kind of request, and the point at which the fault strikes."""

    kind: Kind
    point: str
    then: str = ""
    """Where the worker is struck that follows."""

    def __str__(self) -> str:
        return f"{self.kind} at {self.point}{self.then and ', then at '}{self.then}"

    @property
    def loses_mails(self) -> bool:
        """Whether the request is only about mails, and is known to have been taken and not to have ended."""
        return self.kind in MAIL_KINDS and self.point in (*MAILING, "taken", "connected", "before-ended")


@dataclass
class Site:
    """One server of a round: what its case asked for, and what must have come of it."""

    case: Case
    name: str
    proxy: FaultProxy
    realms: tuple[str, ...]
    requests: list[StoredRequest] = field(default_factory=list)
    since: int = 0
    ends: dict[int, RequestState] = field(default_factory=dict)
    """The requests that are to end as something else than done."""
    verified: frozenset[str] = frozenset()
    """The realms that the journal knew as written when the fault struck."""

    def entry(self, realm: str, port: int) -> EntryDict:
        """Return what a spec says of a realm."""
        auth = {"username": "apikey", "password": {"env": VARIABLE}}
        relay = {"host": "localhost", "port": port, "security": "none", "auth": auth}
        return cast("EntryDict", {"sender": {"address": f"{realm}@acme.example"}, "relay": relay})

    def spec(self, port: int) -> SpecDict:
        """Return a spec of all its realms."""
        return {"version": 1, "realms": {realm: self.entry(realm, port) for realm in self.realms}}

    def puts(self) -> dict[str, list[str]]:
        """Return by realm the settings of each write that the server got."""
        found: dict[str, list[str]] = {}
        for put in self.proxy.requests[self.since :]:
            if put.method == "PUT" and put.forwarded:
                realm = unquote(put.path.rpartition("/")[2])
                found.setdefault(realm, []).append(json.dumps(json.loads(put.body)["smtpServer"], sort_keys=True))
        return found
