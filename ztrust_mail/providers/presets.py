"""Presets: the relay settings of mail providers. The facts are in ``data/presets.yaml``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import did_you_mean, first_and_more, glob_matches, quoted
from ztrust_mail.model.fields import Security

ALL_PRESETS = "all presets: ztrust-mail presets"
_REGION = "{region}"


class ProviderKind(StrEnum):
    """The kind of a provider: a transactional mail service, a mailbox provider, or a mail catcher for development."""

    SERVICE = "service"
    MAILBOX = "mailbox"
    DEVELOPMENT = "development"


class UsernameRule(StrEnum):
    """The kind of user name of a login. With ``TOKEN``, it is the secret itself."""

    FIXED = "fixed"
    ADDRESS = "address"
    ISSUED = "issued"
    TOKEN = "token"
    NONE = "none"


class SenderRule(StrEnum):
    """Which From addresses a provider takes: those of the login, those verified with the provider, or any."""

    LOGIN = "login"
    VERIFIED = "verified"
    ANY = "any"


@dataclass(frozen=True)
class PresetPort:
    """A port that a provider serves."""

    port: int
    security: Security


@dataclass(frozen=True)
class PresetLogin:
    """How to log in. ``username`` is the fixed user name; ``secret`` the kind of secret in the provider's words.

    ``password`` is the kind of password where ``secret`` is that of a token login. ``variable`` is the secret's
    variable in examples. ``optional`` says that the provider also knows servers by their addresses.
    """

    username_rule: UsernameRule
    username: str = ""
    secret: str = ""
    variable: str = ""
    password: str = ""
    optional: bool = False


@dataclass(frozen=True)
class SendingLimit:
    """A sending limit of a provider: its number, unit, period, and the accounts it applies to."""

    count: int
    of: str
    per: str
    scope: str
    when: str = ""

    def __str__(self) -> str:
        """Return ``2,000 messages per day and account (a paid account)``."""
        of = self.of.removesuffix("s") if self.count == 1 else self.of
        return f"{self.count:,} {of} per {self.per} and {self.scope}{f' ({self.when})' if self.when else ''}"


@dataclass(frozen=True)
class TokenEndpoint:
    """The token source of a token login; ``{tenant}`` in ``token_url`` stands for the customer's own."""

    token_url: str
    scope: str
    permission: str = ""


@dataclass(frozen=True)
class Deprecation:
    """A feature that a provider turns off, and when."""

    id: str
    date: date
    text: str


@dataclass(frozen=True)
class FactSource:
    """A page of the vendor, the day it was read, and the facts of the preset that it confirms."""

    url: str
    read: date
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Preset:
    """The facts of a provider.

    ``ports`` begins with the preset's own. ``regions`` maps each region to its text in the host. A preset that needs a
    region has ``{region}`` in its ``host`` until :func:`find_preset` finds it by a name with one, such as
    ``ses-eu-west-1``. ``spf`` is the domain that a sender's SPF record includes.
    """

    name: str
    title: str
    kind: ProviderKind
    host: str
    ports: tuple[PresetPort, ...]
    login: PresetLogin
    sender: SenderRule
    sources: tuple[FactSource, ...]
    regions: Mapping[str, str] = field(default_factory=dict)
    region: str = ""
    spf: str = ""
    limits: tuple[SendingLimit, ...] = ()
    oauth: TokenEndpoint | None = None
    deprecations: tuple[Deprecation, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def port(self) -> int:
        """The port of the preset."""
        return self.ports[0].port

    @property
    def security(self) -> Security:
        """The security of the preset."""
        return self.ports[0].security

    @property
    def needs_region(self) -> bool:
        """Whether a spec has to name a region."""
        return _REGION in self.host

    @property
    def host_pattern(self) -> str:
        """The host as a glob, for all regions."""
        return str(_rows()[self.name.removesuffix(f"-{self.region}")]["host"]).replace(_REGION, "*")

    def port_for(self, security: Security) -> int | None:
        """Return the first port with a security, None if the provider serves none."""
        return next((one.port for one in self.ports if one.security is security), None)

    def security_of(self, port: int) -> Security:
        """Return the security of a port; that of the preset for a port that the provider does not name."""
        return next((one.security for one in self.ports if one.port == port), self.security)

    def in_region(self, region: str) -> "Preset":
        """Return the preset with the host of a region."""
        name = self.name if region == self.region else f"{self.name}-{region}"
        host = str(_rows()[self.name]["host"]).replace(_REGION, self.regions[region])
        return replace(self, name=name, region=region, host=host)


def all_presets() -> tuple[Preset, ...]:
    """Return every preset once, in the order of the file: with its default region, or without a region."""
    return tuple(_presets().values())


def preset_names() -> Iterator[str]:
    """Yield every name that a spec may use: of each preset, and of each preset in each other region."""
    for name, preset in _presets().items():
        if not preset.needs_region:
            yield name
        yield from (f"{name}-{region}" for region in preset.regions if region != preset.region)


def find_preset(name: str) -> Preset | None:
    """Return a preset by a name that a spec may use, None for an unknown name and for one that lacks its region."""
    found = _presets().get(name)
    if found:
        return None if found.needs_region else found
    for base, preset in _presets().items():
        if name.startswith(f"{base}-") and (region := name.removeprefix(f"{base}-")) in preset.regions:
            return preset.in_region(region)
    return None


def look_up(name: str) -> Preset:
    """Return a preset by its name, one that lacks its region too, to be read about.

    Raises :class:`UsageError` for an unknown name.
    """
    if found := find_preset(name) or _presets().get(name):
        return found
    problem, hint = explain_unknown(name)
    raise UsageError(problem.replace("names the ", "", 1), hint)


def explain_unknown(name: str) -> tuple[str, str]:
    """Return the problem of a name that :func:`find_preset` does not find, and the next step."""
    if preset := _presets().get(name):
        regions = first_and_more(list(preset.regions))
        example = f"{name}-{next(iter(preset.regions))}"
        return f"names {quoted(name)} without a region", f"write a region, such as `{example}`; regions: {regions}"
    base = next((base for base, preset in _presets().items() if preset.regions and name.startswith(f"{base}-")), "")
    others = f"its regions: ztrust-mail presets {base}" if base else ALL_PRESETS
    hint = did_you_mean(name, preset_names()) or f"{others}; for another server, write relay.host"
    return f"names the unknown preset {quoted(name)}", hint


def recognise_preset(host: str, port: int, security: Security) -> Preset | None:
    """Return the preset with exactly this host, port and security.

    Presets for development are left out: their host says nothing about what listens there.
    """
    found = _by_host().get(host)
    return found if found and (found.port, found.security) == (port, security) else None


def provider_of(host: str) -> str:
    """Return the name of the preset that a host belongs to, without a region; empty for any other host."""
    lowered = host.casefold().removesuffix(".")
    return next((name for name, glob in _patterns().items() if glob_matches(glob, lowered)), "")


@cache
def _by_host() -> Mapping[str, Preset]:
    named = filter(None, map(find_preset, preset_names()))
    return {preset.host: preset for preset in named if preset.kind is not ProviderKind.DEVELOPMENT}


@cache
def _patterns() -> Mapping[str, str]:
    return {name: p.host_pattern for name, p in _presets().items() if p.host != "localhost"}


@cache
def _rows() -> Mapping[str, Mapping[str, Any]]:
    import yaml

    text = (resources.files("ztrust_mail") / "data" / "presets.yaml").read_text("utf-8")
    rows: Mapping[str, Mapping[str, Any]] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return rows


@cache
def _presets() -> Mapping[str, Preset]:
    return {name: _preset(name, row) for name, row in _rows().items()}


def _preset(name: str, row: Mapping[str, Any]) -> Preset:
    regions, region = row.get("regions", {}), row.get("default_region", "")
    regions = regions if isinstance(regions, dict) else {one: one for one in regions}
    login = row["login"]
    return Preset(
        name,
        row["title"],
        ProviderKind(row["kind"]),
        row["host"].replace(_REGION, regions[region]) if region else row["host"],
        tuple(PresetPort(one["port"], Security(one["security"])) for one in row["ports"]),
        PresetLogin(
            UsernameRule(login["username"]),
            login.get("value", ""),
            login.get("secret", ""),
            login.get("variable", ""),
            login.get("password", ""),
            login.get("optional", False),
        ),
        SenderRule(row["sender"]),
        tuple(FactSource(one["url"], one["read"], tuple(one["facts"])) for one in row["sources"]),
        regions,
        region,
        row.get("spf", ""),
        tuple(SendingLimit(**one) for one in row.get("limits", ())),
        TokenEndpoint(**row["oauth"]) if "oauth" in row else None,
        tuple(Deprecation(**one) for one in row.get("deprecations", ())),
        tuple(row.get("remarks", ())),
    )
