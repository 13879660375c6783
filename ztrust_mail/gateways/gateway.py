"""What every gateway offers, whatever the product's API looks like."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import RealmError
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes, Outgoing, Version, as_attribute, is_template
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.transport.account import Account

if TYPE_CHECKING:
    from ztrust_mail.core.redaction import Redactor

NOT_SEEN = "live-not-seen"
"""The rule of the finding that says that a plan was made without a look at the server."""


def wire_body(attributes: Outgoing) -> dict[str, str]:
    """Return attributes as they go on the wire, without what stands beside them."""
    own = {as_attribute(name): value for name, value in attributes.items() if not is_template(name)}
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in own.items()}


@dataclass(frozen=True)
class Edit:
    """One edit of a realm that may have changed its e-mail settings.

    ``at`` is the server's time, in UTC. ``user`` is the account's name, or its id where that is all that can be
    seen; ``client`` is the id by which the server knows the client that was used, ``address`` where the request came
    from. ``fields`` are the e-mail settings sent, secrets masked; None where the server keeps no details.
    """

    at: datetime
    user: str
    client: str
    address: str
    fields: FieldMap | None = None


TEST_UNKNOWN = "test-unknown"
"""The rule of an error that says that a test mail may or may not have been sent."""

NEEDS_MAIL = ("verifyEmail", "resetPasswordAllowed")
"""A realm's switches that lock people out where it cannot send: a new account's address, a forgotten password."""


@dataclass(frozen=True)
class Capabilities:
    """What a product's API can do at all.

    ``list_realms`` tells whether it names the realms there are, ``test_unstored`` whether it tests settings before
    they are stored, ``keep_secrets`` whether a write can leave the stored secret alone, ``clear`` whether a realm can
    be left without e-mail, ``set_up`` whether we know the commands that make an account for us.
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

    ``read_at`` is the monotonic time in seconds at which the request for them was sent. ``needs_mail`` names the
    realm's switches that are on and do not work without e-mail. ``theme`` is the e-mail theme, which came along; it
    stands among the attributes only where it was asked for, see :meth:`Gateway.read_templates`. The attributes do not
    stand in the repr: a server older than 26.2 shows a token's client secret in clear.
    """

    realm: str
    attributes: Attributes = field(repr=False)
    read_at: float
    needs_mail: tuple[str, ...] = ()
    theme: str = ""


@dataclass(frozen=True)
class Reading:
    """The outcome of reading many realms: per realm its settings, or why they cannot be had.

    ``complete`` tells whether all realms the account may see are in it.
    """

    realms: Mapping[str, LiveRealm | RealmError]
    complete: bool


class Gateway(ABC):
    """One server. Methods raise ``ServerError`` when it cannot be worked with at all.

    All methods may be called from several threads at once.
    """

    url: str
    dialect: Dialect
    capabilities: Capabilities
    connections: int
    """How many requests may be under way at once."""

    @property
    def title(self) -> str:
        """What messages call the product."""
        return self.dialect.title

    @cached_property
    def redactor(self) -> Redactor:
        """Knows the secrets that no message of the server may show."""
        from ztrust_mail.core.redaction import Redactor

        return Redactor()

    @abstractmethod
    def login(self) -> None:
        """Log in, so that a wrong address or password shows before anything else is done."""

    @abstractmethod
    def account(self, *, with_email: bool = True) -> Account:
        """Return who we are; looking the address up may cost a request."""

    @abstractmethod
    def version(self) -> Version:
        """Return the server's version; empty where this account may not see it."""

    @abstractmethod
    def realms(self) -> list[str]:
        """Return the names of the realms this account may see, sorted."""

    @abstractmethod
    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        """Read the wanted realms, and with ``everything`` all other visible ones too."""

    @abstractmethod
    def read_one(self, realm: str) -> LiveRealm:
        """Read one realm; raises :class:`RealmError`."""

    def read_templates(
        self, found: Mapping[str, LiveRealm], names: Mapping[str, Collection[str]]
    ) -> Mapping[str, LiveRealm | RealmError]:
        """Return realms with what the server holds of these names, by realm, beside its e-mail settings.

        A product that holds nothing there is never asked: its dialect has no such name.
        """
        return found

    @abstractmethod
    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        """Replace a realm's e-mail attributes by these; raises :class:`RealmError`.

        Raises :class:`HeldBack` instead of sending them, be it again, later than ``before``, in monotonic seconds.
        """

    def write_templates(self, realm: str, texts: Mapping[str, str | None]) -> None:
        """Write what stands beside a realm's e-mail settings, None to remove it; raises :class:`RealmError`."""
        return

    @abstractmethod
    def test(self, realm: str, attributes: Outgoing) -> None:
        """Have the server send one test mail with these attributes; raises :class:`RealmError`.

        The mail goes to the address of the account we work as. It is never sent twice.
        """

    @abstractmethod
    def may_write(self, realm: str) -> bool | None:
        """Tell whether the account may change a realm's e-mail settings, without changing any.

        None where that cannot be known beforehand.
        """

    def edits(self, realm: str, since: datetime | None) -> Sequence[Edit] | None:
        """Return who edited a realm after a moment, the newest first; None where that cannot be known."""
        return None

    def stop_waiting(self) -> None:
        """Wait no more for a server that is too busy: somebody wants to stop."""
        return

    def allow_probe(self) -> None:
        """Let one request through to a server that counts as down."""
        return

    def is_stuck(self) -> bool:
        """Return whether a request has been under way for longer than its deadlines permit."""
        return False

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
