"""The interface of every gateway, and the types that it returns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import RealmError
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, Outgoing, Version, as_attribute, is_template
from ztrust_mail.model.fields import FieldMap

if TYPE_CHECKING:
    from ztrust_mail.transport.throttle import Throttle  # which imports requests

NOT_SEEN = "live-not-seen"
"""The rule of the finding that a plan was made without reading the server."""


RealmCounter = Callable[[int, int], None]
"""Called from any thread with the numbers of realms that are done and of all realms."""

TOKEN_OWNER = "the owner of the given token"
"""The name shown for an account whose token does not contain it."""


@dataclass(frozen=True)
class Account:
    """The account that the caller works as.

    ``realm`` is empty if the product's accounts belong to no realm, or if the realm is unknown. ``email`` is None if it
    cannot be found out, empty if the account has none. ``issuer`` is the URL by which the server names the account's
    realm, empty if the token does not contain it; it is left out of comparisons because one server may have several
    names.
    """

    name: str
    realm: str
    email: str | None
    issuer: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.name} (realm {self.realm})" if self.realm else self.name

    @property
    def phrase(self) -> str:
        """The account as part of a sentence."""
        return f"{self.name} of realm {self.realm}" if self.realm else self.name


def wire_body(attributes: Outgoing) -> dict[str, str]:
    """Return attributes as they are sent, without templates."""
    own = {as_attribute(name): value for name, value in attributes.items() if not is_template(name)}
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in own.items()}


@dataclass(frozen=True)
class Edit:
    """One edit of a realm that may have changed its e-mail settings.

    ``at`` is the server's time, in UTC. ``user`` is the account's name, or its id if its name is not visible.
    ``client`` is the server's id of the client that was used, ``address`` the IP address of the request. ``fields`` are
    the e-mail settings sent, with masked secrets; None if the server keeps no details.
    """

    at: datetime
    user: str
    client: str
    address: str
    fields: FieldMap | None = None


TEST_UNKNOWN = "test-unknown"
"""The rule of an error after which it is unknown whether a test mail was sent."""

NEEDS_MAIL = ("verifyEmail", "resetPasswordAllowed")
"""A realm's switches that lock users out if it cannot send e-mail: they verify addresses and reset passwords."""


@dataclass(frozen=True)
class Capabilities:
    """What a product's API supports.

    ``list_realms``: it lists the existing realms. ``test_unstored``: it tests settings before they are stored.
    ``keep_secrets``: a write can leave the stored secret as it is. ``clear``: a realm can have no e-mail settings.
    ``set_up``: doctor can print the commands that create an account for ztrust-mail.
    """

    read: bool
    write: bool
    test: bool
    list_realms: bool = True
    test_unstored: bool = False
    keep_secrets: bool = True
    clear: bool = True
    set_up: bool = False


@dataclass(frozen=True)
class LiveRealm:
    """A realm's e-mail attributes as the server showed them.

    ``read_at`` is the monotonic time in seconds at which the request was sent. ``needs_mail`` names the switches of the
    realm that are on and do not work without e-mail. ``theme`` is the e-mail theme, which comes with every read; it is
    among the attributes only if it was asked for, see :meth:`Gateway.read_templates`. The attributes are left out of
    the repr, because a server older than 26.2 shows a token's client secret unmasked.
    """

    realm: str
    attributes: Attributes = field(repr=False)
    read_at: float
    needs_mail: tuple[str, ...] = ()
    theme: str = ""


@dataclass(frozen=True)
class Reading:
    """The outcome of reading many realms: the settings of each, or the error.

    ``complete`` tells whether it contains all realms that the account may see.
    """

    realms: Mapping[str, LiveRealm | RealmError]
    complete: bool


@dataclass(frozen=True)
class ServerInfo:
    """The server's information about itself; None or empty if it provides none.

    ``themes`` are its e-mail themes, ``senders`` the ids of its providers that send e-mail.
    """

    version: Version = ()
    themes: frozenset[str] | None = None
    senders: tuple[str, ...] | None = None


class Gateway(ABC):
    """One server. Methods raise ``ServerError`` if the whole server cannot be used.

    All methods may be called by several threads at once.
    """

    url: str
    dialect: Dialect
    capabilities: Capabilities
    connections: int
    """The maximum number of concurrent requests."""

    @property
    def title(self) -> str:
        """The product's name in messages."""
        return self.dialect.title

    @cached_property
    def redactor(self) -> Redactor:
        """Removes the secrets from the server's messages."""
        return Redactor()

    @abstractmethod
    def login(self) -> None:
        """Log in, so that a wrong address or password fails before anything else is done."""

    @abstractmethod
    def account(self, *, with_email: bool = True) -> Account:
        """Return the account we work as; finding its e-mail address may cost a request."""

    @abstractmethod
    def version(self) -> Version:
        """Return the server's version; empty if this account may not see it."""

    def server_info(self) -> ServerInfo:
        """Return the server's information about itself, with at most one request."""
        return ServerInfo()

    def mail_workflows(self, realms: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the names of each realm's workflows that send mail, with one request per realm.

        A realm whose workflows this account may not see has none.
        """
        return {}

    @abstractmethod
    def realms(self) -> list[str]:
        """Return the sorted names of the realms that this account may see."""

    @abstractmethod
    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        """Read the wanted realms, and with ``everything`` all other visible realms too."""

    def prefers_list(self, count: int, within: float = math.inf) -> bool:
        """Return whether reading so many realms together costs less than single requests.

        With ``within``, also return False unless reading them together is known to take at most so many seconds.
        """
        return False

    @abstractmethod
    def read_one(self, realm: str) -> LiveRealm:
        """Read one realm; raises :class:`RealmError`."""

    def read_templates(
        self, found: Mapping[str, LiveRealm], names: Mapping[str, Collection[str]]
    ) -> Mapping[str, LiveRealm | RealmError]:
        """Return realms with those templates among their attributes that are named for each realm.

        Not called for products without templates: their dialects have no names of templates.
        """
        return found

    @abstractmethod
    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        """Replace a realm's e-mail attributes by these; raises :class:`RealmError`.

        Raises :class:`WriteDeadlineExceeded` instead of sending or repeating the request later than ``before``, in
        monotonic seconds.
        """

    def write_templates(self, realm: str, texts: Mapping[str, str | None]) -> None:
        """Write a realm's templates by name, and remove those whose text is None; raises :class:`RealmError`."""
        return

    @abstractmethod
    def test(self, realm: str, attributes: Outgoing) -> None:
        """Let the server send one test mail with these attributes; raises :class:`RealmError`.

        The mail goes to the address of the account we work as. The request is never repeated.
        """

    @abstractmethod
    def may_write(self, realm: str) -> bool | None:
        """Return whether the account may change a realm's e-mail settings, without changing any.

        None if that cannot be determined.
        """

    def edits(self, realm: str, since: datetime | None) -> Sequence[Edit] | None:
        """Return the edits of a realm after a moment, newest first; None if they are unknown."""
        return None

    def throttles(self) -> Collection[Throttle]:
        """Return the throttle of each host in use."""
        return ()

    def stop_waiting(self) -> None:
        """Stop waiting for a server that is too busy: waiting requests return the refusal they have, or fail."""
        for throttle in self.throttles():
            throttle.stop_waiting()

    def allow_probe(self) -> None:
        """Let one request through to a server that counts as down, such as a final read after a write."""
        for throttle in self.throttles():
            throttle.allow_probe()

    def is_stuck(self) -> bool:
        """Return whether a request has taken longer than its deadlines permit."""
        return any(throttle.is_stuck() for throttle in self.throttles())

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


TemplateNames = Mapping[str, Collection[str]]
"""The names of the templates to read, by realm; a realm that is left out asks for none."""


def read_with_templates(gateway: Gateway, realms: Collection[str], names: TemplateNames) -> Reading:
    """Read realms, each with the templates named for it."""
    return add_templates(gateway, gateway.read(realms, everything=False), names)


def add_templates(gateway: Gateway, reading: Reading, names: TemplateNames) -> Reading:
    """Return a reading with the templates named for each of its readable realms."""
    found = {realm: live for realm, live in reading.realms.items() if names.get(realm) and isinstance(live, LiveRealm)}
    if not found:
        return reading
    return replace(reading, realms={**reading.realms, **gateway.read_templates(found, names)})


def read_each(
    realms: Collection[str],
    read: Callable[[str], LiveRealm],
    connections: int,
    interruptible: AbstractContextManager[None],
) -> dict[str, LiveRealm | RealmError]:
    """Read realms in parallel; the value of a realm that cannot be read is its error.

    ``interruptible`` has to end the waits of the threads on Ctrl-C, before the pool waits for the threads.
    """

    def attempt(realm: str) -> LiveRealm | RealmError:
        try:
            return read(realm)
        except RealmError as e:
            return e

    if len(realms) == 1:  # the threads that write read one realm at a time
        with interruptible:
            return {realm: attempt(realm) for realm in realms}
    with ThreadPoolExecutor(connections) as pool, interruptible:
        return dict(zip(realms, pool.map(attempt, realms), strict=True))
