"""Every fault at every step of an apply: what the cases are, and twenty realms behind a proxy to try them on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import cast

from support.admin_api import AdminApi, realm_path
from support.fault_proxy import Exchange, Fault, FaultProxy
from support.server_under_test import ServerUnderTest

import ztrust_mail
from ztrust_mail.api import Session
from ztrust_mail.api.spec_types import SpecDict
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.dialects.products.keycloak import MASK
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.sandbox.relay.sink import MailSink
from ztrust_mail.specfile.entries import Spec

REALMS = tuple(f"matrix-{number:02}" for number in range(1, 21))
OUTSIDERS = ("outside-1", "outside-2")
"""Realms that no spec names: nobody may even ask for them."""

LISTED = "matrix-*"
"""A glob that matches no further realm: with it a plan reads the list of all realms."""

USER, SECRET_VARIABLE = "relay-user", "RELAY_PASSWORD"
LIST, TOKEN = "/admin/realms", "/realms/master/protocol/openid-connect/token"
SLOW = (Fault.DELAY, Fault.HANG)
TAKEN_BY_MORE = (*SLOW, Fault.REFUSE)
"""Faults under which requests that they were not meant for may go unanswered too."""

_LATE = 30.0  # seconds; no client of these tests waits so long
_ALWAYS = 1_000_000


def changes_visibly(realm: str) -> bool:
    """Tell whether a turn changes more of a realm than the password, which the server hides."""
    return REALMS.index(realm) % 2 == 1


class Step(Enum):
    """A step of an apply that a fault may befall."""

    LOGIN = "login"
    LIST = "list"
    REREAD = "reread"
    FIRST_PUT = "first-put"
    MIDDLE_PUT = "middle-put"
    LAST_PUT = "last-put"
    READ_BACK = "read-back"

    @property
    def realm(self) -> str:
        """The realm that is hit, or for steps that are about all of them the one to look at most closely."""
        return {Step.FIRST_PUT: REALMS[0], Step.LAST_PUT: REALMS[-1]}.get(self, REALMS[9])

    @property
    def is_put(self) -> bool:
        """Whether just one realm's write is hit."""
        return self in (Step.FIRST_PUT, Step.MIDDLE_PUT, Step.LAST_PUT)


@dataclass(frozen=True)
class Case:
    """One fault at one step: ``stubborn`` as often as it is tried, else just once."""

    fault: Fault
    step: Step
    stubborn: bool

    def __str__(self) -> str:
        """Return the case's name."""
        often = "always" if self.stubborn else "once"
        return f"{self.fault.name.lower().replace('_', '-')}-{self.step.value}-{often}"

    @property
    def is_asked_again(self) -> bool:
        """Whether the apply itself asks for it once more: but for a busy server no login, no page, nothing late."""
        return self.fault is Fault.BUSY if self.step is Step.LOGIN else self.fault not in (*SLOW, Fault.PAGE)

    @property
    def goes_well_at_once(self) -> bool:
        """Whether asking once more is enough."""
        return self.is_asked_again and not self.stubborn

    @property
    def shows_itself(self) -> bool:
        """Whether a write arrives that nobody hears of, and a look at its realm tells so."""
        arrives = self.fault in (Fault.CUT_BEFORE_ANSWER, Fault.CUT_IN_ANSWER, Fault.DELAY, Fault.PAGE)
        return self.step.is_put and arrives and not self.goes_well_at_once and changes_visibly(self.step.realm)

    @property
    def expected(self) -> ExitStatus:
        """What the apply that is struck ends with."""
        is_again = self.step in (Step.REREAD, Step.READ_BACK)
        replaced = (is_again and self.fault in (*SLOW, Fault.PAGE)) or (self.step is Step.LIST and self.fault in SLOW)
        if self.goes_well_at_once or self.shows_itself or (replaced and not self.stubborn):  # by single reads
            return ExitStatus.OK
        return ExitStatus.UNREACHABLE if self.step in (Step.LOGIN, Step.LIST) else ExitStatus.PARTIAL

    def strike(self, proxy: FaultProxy, *, skip: int = 0) -> None:
        """Let the next request of this step go wrong, after so many of its kind."""
        path = {Step.LOGIN: TOKEN}.get(self.step, LIST)
        proxy.fault(
            self.fault,
            method={Step.LOGIN: "POST"}.get(self.step, "PUT" if self.step.is_put else "GET"),
            path=realm_path(self.step.realm) if self.step.is_put else path,
            at=1 + skip,
            times=_ALWAYS if self.stubborn else 1,
            seconds=_LATE,
            retry_after="0" if self.stubborn else "1",
        )


def all_cases() -> list[Case]:
    """Return the whole matrix, in which each case is there once: what nobody repeats goes wrong once or always alike.

    A server that is down is so for all and for good.
    """
    cases = [Case(fault, step, stubborn) for fault in Fault for step in Step for stubborn in (False, True)]
    return [case for case in cases if case.stubborn is (case.fault is Fault.REFUSE) or _differs_from_once(case)]


def _differs_from_once(case: Case) -> bool:
    alone = case.step is Step.LOGIN or case.step.is_put  # else others ask for the same
    return case.stubborn and (case.is_asked_again or not alone)


class PickyRelay(MailSink):
    """A relay that wants a login which may change while it runs."""

    def want(self, user: str, password: str) -> None:
        """Take mail from now on only after this login."""
        self._credentials = (user, password)


@dataclass
class World:
    """Twenty realms on a server, reached through a proxy, with one journal. Each turn has another password.

    In every second realm the password is all that a turn changes; in the others something changes that can be seen.
    """

    server: ServerUnderTest
    proxy: FaultProxy
    admin: AdminApi
    relay: PickyRelay
    folder: Path
    turn: int = 0
    is_right: bool = False
    """Whether server and journal are as the last turn wanted them."""
    tried: list[str] = field(default_factory=list)
    taken_up: int = 0
    _journals: int = 0

    @property
    def haste(self) -> float:
        """How many seconds a hasty client waits for an answer: enough for one that is not held up."""
        return 1.0 if self.server.is_real else 0.3

    @property
    def password(self) -> str:
        """The password of this turn."""
        return f"relay-Passw0rd-{self.turn}"

    def entry(self, realm: str) -> dict[str, object]:
        """Return what the spec says of a realm in this turn, beside the defaults."""
        return {"sender": {"name": f"Turn {self.turn}"}} if changes_visibly(realm) else {}

    def written(self) -> dict[str, object]:
        """Return the spec of this turn."""
        auth = {"username": USER, "password": {"env": SECRET_VARIABLE}}
        relay = {"host": "localhost", "port": self.relay.port, "security": "none", "auth": auth}
        defaults = {"relay": relay, "sender": {"address": "no-reply@acme.example", "name": "Acme"}}
        entries = {realm: self.entry(realm) for realm in REALMS}
        return {"version": 1, "defaults": defaults, "realms": {**entries, LISTED: {"expect": {"min": 0}}}}

    def spec(self) -> Spec:
        """Return the same, loaded."""
        return ztrust_mail.load_spec(cast("SpecDict", self.written()))

    def expected(self, realm: str) -> Attributes:
        """Return what the server is to show of a realm."""
        name = f"Turn {self.turn}" if changes_visibly(realm) else "Acme"
        return {
            "from": "no-reply@acme.example", "fromDisplayName": name, "host": "localhost", "port": str(self.relay.port),
            "ssl": "false", "starttls": "false", "auth": "true", "authType": "basic", "user": USER, "password": MASK,
        }  # fmt: skip

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables that name the proxy, the administrator, the journal and the password."""
        return {
            "ZTRUST_MAIL_URL": self.proxy.url,
            "ZTRUST_MAIL_USERNAME": self.server.admin_user,
            "ZTRUST_MAIL_PASSWORD": self.server.admin_password,
            "ZTRUST_MAIL_TIMEOUT": "30s",
            "ZTRUST_MAIL_JOURNAL": self.journal_url,
            SECRET_VARIABLE: self.password,
            **more,
        }

    def connect(self, **more: str) -> Session:
        """Connect through the proxy."""
        return ztrust_mail.connect(environ=self.environment(**more))

    def live(self) -> dict[str, Attributes]:
        """Return what the server shows of every realm, asked past the proxy."""
        return {realm["realm"]: realm["smtpServer"] for realm in self.admin.ok("GET", LIST).json()}

    def clean(self) -> None:
        """Begin anew, after whatever went wrong: no e-mail in any realm, another journal."""
        self.heal()
        self._journals += 1
        (self.folder / str(self._journals)).mkdir()
        for realm in REALMS:
            self.admin.put_smtp(realm, {}).raise_for_status()

    def heal(self) -> None:
        """Let the server be there again, and nothing go wrong."""
        self.proxy.clear()
        self.proxy.refuse()
        self.proxy.listen()

    @property
    def journal_url(self) -> str:
        """Where the journal is, until all begins anew."""
        return f"sqlite:///{self.folder}/{self._journals}/journal.sqlite3"


@contextmanager
def world_on(server: ServerUnderTest, folder: Path) -> Iterator[World]:
    """Make the realms on a server and remove them in the end."""
    admin = AdminApi(server.url, server.admin_user, server.admin_password)
    for realm in (*REALMS, *OUTSIDERS):
        admin.create_realm(realm)
    relay = PickyRelay()
    with relay, FaultProxy(server.url) as proxy:
        yield World(server, proxy, admin, relay, folder)
    for realm in (*REALMS, *OUTSIDERS):
        admin.delete_realm(realm)
    admin.close()


def writes_to(realm: str, exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Return the writes to a realm that the server got."""
    return [e for e in exchanges if e.method == "PUT" and e.path == realm_path(realm) and e.forwarded]


def sent_password(exchange: Exchange) -> str:
    """Return the password that a write carried."""
    password: str = json.loads(exchange.body)["smtpServer"]["password"]
    return password
