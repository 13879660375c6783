"""Connections to a sandbox, and a gateway without a server for faults that no server has on demand."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from support.mail_settings import ENVIRON, shown
from support.waiting import Clock

from ztrust_mail import Session
from ztrust_mail.applying.apply import apply_plan
from ztrust_mail.applying.options import ApplyContext, ApplyOptions
from ztrust_mail.applying.outcome import Result
from ztrust_mail.applying.writer import FRESH_SECONDS
from ztrust_mail.core.errors import RealmError, RealmMissing
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.row import Outgoing, Version
from ztrust_mail.gateways.gateway import Account, Capabilities, Gateway, LiveRealm, Reading
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.planning.plan import Plan
from ztrust_mail.planning.planners.from_spec import PlanningContext, plan_selection, select_realms
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sandbox.sandbox import RecordedRequest
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings import Server
from ztrust_mail.specfile.entries import Spec

NO_MEANS = PlanningContext()
"""Planning with the spec and the server only."""


def connected(
    sandbox: Sandbox,
    environ: Mapping[str, str] = ENVIRON,
    *,
    username: str = "admin",
    password: str = "admin",
    connections: int = 8,
) -> Session:
    """Return a connection to a sandbox that waits for it in no real time; a spec's references find ``environ``."""
    server = Server(sandbox.url, username=username, password=Secret(password), connections=connections)
    gateway = KeycloakGateway(server, KEYCLOAK, Clock().throttle(connections))
    return Session(server, gateway, Reach(environ=environ))


def make_plan(
    spec: Spec,
    gateway: Gateway,
    means: PlanningContext = NO_MEANS,
    *,
    realms: Sequence[str] = (),
    everything: bool = False,
) -> Plan:
    """Read the server through a gateway, and compare it with the spec, as ``ztrust_mail.plan`` does for a session."""
    return plan_selection(select_realms(spec, gateway, realms, everything=everything), gateway, means)


def carried_out(
    plan: Plan,
    gateway: Gateway,
    *,
    environ: Mapping[str, str] = ENVIRON,
    cancel: threading.Event | None = None,
    lock_lost: threading.Event | None = None,
) -> Result:
    """Apply a plan through a gateway, with the journal where it is by default."""
    from ztrust_mail.journal.journal import open_journal

    options = ApplyOptions(cancel=cancel or threading.Event())
    lock_lost = lock_lost or threading.Event()
    journal = open_journal(None, writable=True)
    assert journal is not None
    with journal:
        secrets = SecretStore(Reach(environ=environ))
        return apply_plan(plan, ApplyContext(gateway, secrets, journal, "a test", lock_lost=lock_lost), options)


def aged(plan: Plan) -> Plan:
    """Return a plan whose realms were read so long ago that each is read again before it is written."""
    old = [realm.live and replace(realm.live, read_at=realm.live.read_at - 2 * FRESH_SECONDS) for realm in plan.realms]
    realms = (replace(realm, live=live) for realm, live in zip(plan.realms, old, strict=True))
    return replace(plan, realms=tuple(realms))


def sent(sandbox: Sandbox, method: str, since: int = 0) -> list[RecordedRequest]:
    """Return the requests of a method that the sandbox got, logins left out."""
    return [r for r in sandbox.requests[since:] if r.method == method and not r.path.endswith("/token")]


class Unreadable(Mapping[str, str]):
    """An environment that nobody may look into."""

    def __getitem__(self, name: str) -> str:
        raise AssertionError(f"{name} was looked up")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the environment was listed")

    def __len__(self) -> int:
        raise AssertionError("the environment was counted")


class FakeGateway(Gateway):
    """A server in memory. The hooks stand for what goes wrong: they may raise, or change what is stored."""

    capabilities = Capabilities(read=True, write=True, test=True, test_unstored=True, set_up=True)
    dialect = KEYCLOAK
    url = "https://fake.example"

    def __init__(self, realms: Mapping[str, Mapping[str, str]], connections: int = 4) -> None:
        self.stored: dict[str, dict[str, str]] = {name: dict(held) for name, held in realms.items()}
        self.connections = connections
        self.email: str | None = "admin@fake.example"
        self.running: Version = (26, 7, 4)
        self.written: list[str] = []
        self.tested: list[str] = []
        self.before_login: Callable[[], None] = lambda: None
        self.before_read: Callable[[], None] = lambda: None
        self.before_write: Callable[[str], None] = lambda realm: None
        self.on_store: Callable[[dict[str, str]], dict[str, str]] = lambda attributes: attributes
        self.before_test: Callable[[str], None] = lambda realm: None
        self.before_may_write: Callable[[str], None] = lambda realm: None

    def login(self) -> None:
        self.before_login()

    def account(self, *, with_email: bool = True) -> Account:
        return Account("admin", "master", self.email)

    def version(self) -> Version:
        return self.running

    def realms(self) -> list[str]:
        return sorted(self.stored)

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        self.before_read()
        names = dict.fromkeys([*wanted, *(self.stored if everything else ())])
        return Reading({name: self._read(name) for name in names}, everything)

    def _read(self, realm: str) -> LiveRealm | RealmError:
        try:
            return self.read_one(realm)
        except RealmError as e:
            return e

    def read_one(self, realm: str) -> LiveRealm:
        if realm not in self.stored:
            raise RealmMissing("there is no such realm", rule="no-realm")
        held = {
            n: Secret(v) if n in ("password", "authTokenClientSecret") else v for n, v in self.stored[realm].items()
        }
        return LiveRealm(realm, shown(held), time.monotonic())

    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        self.before_write(realm)
        self.written.append(realm)
        plain = {n: v.reveal() if isinstance(v, Secret) else v for n, v in attributes.items()}
        self.stored[realm] = self.on_store(plain)

    def test(self, realm: str, attributes: Outgoing) -> None:
        self.tested.append(realm)
        self.before_test(realm)

    def may_write(self, realm: str) -> bool:
        self.before_may_write(realm)
        return True

    def close(self) -> None:
        return
