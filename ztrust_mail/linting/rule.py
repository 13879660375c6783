"""Lint rules: an id, a severity, and a function that yields problems."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property, lru_cache

from ztrust_mail.core.findings import Location, Severity
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Version
from ztrust_mail.model.fields import HOST, LOGIN, PORT, SECURITY, SENDER_ADDRESS, USERNAME, FieldValue, Login, text_of
from ztrust_mail.providers.presets import Preset, look_up, provider_of
from ztrust_mail.settings.file import DayLimits
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired


@dataclass(frozen=True)
class Problem:
    """A problem found by a rule: message, hint, and fields, of which the first with a known place is the location.

    ``location`` and ``realm`` are set by rules about a whole spec or a server.
    """

    message: str
    hint: str
    fields: tuple[str, ...] = (HOST,)
    location: Location | None = None
    realm: str = ""


@dataclass(frozen=True)
class RealmView:
    """The input of a rule about the desired settings of one realm."""

    wanted: Desired
    today: date = date.min
    limits: DayLimits = field(default_factory=DayLimits)

    @cached_property
    def host(self) -> str:
        """The relay's host in lower case."""
        return self.text(HOST).casefold().removesuffix(".")

    @property
    def port(self) -> FieldValue | None:
        """The relay's port."""
        return self.wanted.fields.get(PORT)

    @property
    def security(self) -> FieldValue | None:
        """The security of the connection."""
        return self.wanted.fields.get(SECURITY)

    @property
    def login(self) -> FieldValue:
        """The mode of login."""
        return self.wanted.fields.get(LOGIN, Login.NONE)

    @property
    def username(self) -> str:
        """The user name of the login; empty without one."""
        return self.text(USERNAME)

    @property
    def sender(self) -> str:
        """The From address."""
        return self.text(SENDER_ADDRESS)

    @cached_property
    def provider(self) -> Preset | None:
        """The facts of the mail provider that the host belongs to; None for any other host."""
        return provider_at(self.host)

    def is_served(self) -> bool | None:
        """Return whether the provider serves the port with this security; None if neither is known."""
        if not self.provider:
            return None
        return any((one.port, one.security) == (self.port, self.security) for one in self.provider.ports)

    def text(self, name: str) -> str:
        """Return a field's text; empty without one."""
        return text_of(self.wanted.fields, name)


@lru_cache(4096)
def provider_at(host: str) -> Preset | None:
    """Return the facts of the mail provider that a host belongs to; None for any other host."""
    name = provider_of(host)
    return look_up(name) if name else None


@dataclass(frozen=True)
class SpecView:
    """The input of a rule about a whole spec; ``wanted`` has the desired settings of each entry without errors."""

    spec: Spec
    wanted: tuple[Desired, ...]


@dataclass(frozen=True)
class LiveRealmFacts:
    """The server's facts about one realm.

    ``needs_mail`` names the switches that are on and do not work without e-mail, ``workflows`` the workflows that send
    e-mail. ``both_switches`` tells that implicit TLS and STARTTLS are both on.
    """

    has_mail: bool
    needs_mail: tuple[str, ...] = ()
    theme: str = ""
    both_switches: bool = False
    workflows: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerView:
    """The input of a rule about a server and the spec's realms on it.

    ``wanted`` has the desired settings by realm, ``realms`` the server's facts about each readable realm. ``themes``
    and ``senders`` are the e-mail themes and the e-mail sender providers that the server has; None if it does not say.
    ``secrets`` are the times at which each realm's present secret was first written, as far as the journal knows.
    """

    dialect: Dialect
    wanted: Mapping[str, Desired]
    realms: Mapping[str, LiveRealmFacts]
    today: date
    version: Version = ()
    themes: frozenset[str] | None = None
    senders: tuple[str, ...] | None = None
    secrets: Mapping[str, datetime] = field(default_factory=dict)
    limits: DayLimits = field(default_factory=DayLimits)

    def stays_without_mail(self, realm: str) -> bool:
        """Tell whether a realm has no e-mail settings and gets none from the spec."""
        wanted = self.wanted.get(realm)
        return not self.realms[realm].has_mail and (wanted is None or wanted.disabled)


@dataclass(frozen=True)
class LintRule:
    """A rule that ``--select`` and ``--ignore`` name by its id, ``rule``. Without ``on`` it is off by default."""

    rule: str
    severity: Severity
    on: bool = True


@dataclass(frozen=True)
class RealmRule(LintRule):
    """A rule about the desired settings of one realm."""

    check: Callable[[RealmView], Iterator[Problem]] = field(kw_only=True)


@dataclass(frozen=True)
class SpecRule(LintRule):
    """A rule about a whole spec."""

    check: Callable[[SpecView], Iterator[Problem]] = field(kw_only=True)


@dataclass(frozen=True)
class ServerRule(LintRule):
    """A rule about a server and the realms on it."""

    check: Callable[[ServerView], Iterator[Problem]] = field(kw_only=True)


def realm_rule(
    rule: str, severity: Severity, *, on: bool = True
) -> Callable[[Callable[[RealmView], Iterator[Problem]]], RealmRule]:
    """Return a decorator that makes a rule of a function."""
    return lambda check: RealmRule(rule, severity, on, check=check)


def spec_rule(rule: str, severity: Severity) -> Callable[[Callable[[SpecView], Iterator[Problem]]], SpecRule]:
    """Return a decorator that makes a rule of a function."""
    return lambda check: SpecRule(rule, severity, check=check)


def server_rule(rule: str, severity: Severity) -> Callable[[Callable[[ServerView], Iterator[Problem]]], ServerRule]:
    """Return a decorator that makes a rule of a function."""
    return lambda check: ServerRule(rule, severity, check=check)
