"""How relays are probed, as the caller says, and the stages that follow from it."""

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import quoted
from ztrust_mail.model.fields import Kind, Login, Security
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.probing.outcome import Stage
from ztrust_mail.probing.relay import Relay

_EHLO_NAME = re.compile(r"[!-~]{1,255}")


class AddressFamily(StrEnum):
    """Which addresses of a name are tried."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


@dataclass(frozen=True)
class ProbeOptions:
    """Options of a probe. Raises :class:`UsageError` for unusable values.

    ``deadline`` is in seconds, for the whole dialogue with one relay. ``until`` is the last stage. ``to`` is the
    recipient to ask about, and with ``send`` the recipient of a real message. ``sender`` is the envelope sender for a
    relay that no realm names. ``ehlo_name`` is this machine's name in
    EHLO. ``ca_bundle`` is a PEM file of the authorities to trust instead of this machine's. ``source_address``
    is the local address to connect from. ``allow_clear_login`` also sends a login on a line without encryption.
    ``patience`` is how many seconds a relay may be silent before the probe tries whether the port expects TLS.
    """

    deadline: float = 20.0
    until: Stage = Stage.QUIT
    to: str = ""
    sender: str = ""
    send: bool = False
    ehlo_name: str = ""
    ca_bundle: str = ""
    source_address: str = ""
    family: AddressFamily = AddressFamily.ANY
    allow_clear_login: bool = False
    patience: float = 5.0

    @property
    def wanted_family(self) -> AddressFamily:
        """The family of addresses to try: the given one, or that of the source address."""
        if self.family is not AddressFamily.ANY or not self.source_address:
            return self.family
        return AddressFamily.IPV6 if ":" in self.source_address else AddressFamily.IPV4

    def __post_init__(self) -> None:
        if not 0 < self.deadline <= 600:
            raise UsageError("the deadline of a probe is out of range", "give up to 10m, such as 20s")
        if self.send and not self.to:
            raise UsageError("a message needs a recipient", "add --to ADDRESS")
        if self.ehlo_name and not _EHLO_NAME.fullmatch(self.ehlo_name):
            hint = "give a host name, such as id.example.com"
            raise UsageError(f"{quoted(self.ehlo_name)} cannot be a name in EHLO", hint)
        _check_address("recipient", self.to)
        _check_address("sender", self.sender)
        _check_source(self.source_address)
        _check_bundle(self.ca_bundle)


def _check_address(what: str, address: str) -> None:
    if not address:
        return
    try:
        parse(Kind.ADDRESS, address, utf8=True)
    except BadValue as bad:
        raise UsageError(f"the {what} {quoted(address)} {bad.problem}", bad.hint) from None


def _check_source(address: str) -> None:
    if not address:
        return
    try:
        ipaddress.ip_address(address)
    except ValueError:
        message = f"{quoted(address)} is no IP address of this machine"
        raise UsageError(message, "give one that `ip address` lists") from None


def _check_bundle(path: str) -> None:
    if not path:
        return
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError):
        message = f"cannot read certificates from {quoted(path)}"
        raise UsageError(message, "name a PEM file of authorities") from None


_SEQUENCES: Mapping[Security, tuple[Stage, ...]] = {
    Security.STARTTLS: (Stage.NAME, Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.STARTTLS, Stage.EHLO_TLS),
    Security.TLS: (Stage.NAME, Stage.CONNECT, Stage.TLS, Stage.BANNER, Stage.EHLO),
    Security.NONE: (Stage.NAME, Stage.CONNECT, Stage.BANNER, Stage.EHLO),
}
_ALIASES = {Stage.TLS: Stage.STARTTLS, Stage.STARTTLS: Stage.TLS, Stage.EHLO_TLS: Stage.EHLO}
"""The stage that replaces one which a dialogue does not have."""


def stages_of(relay: Relay) -> tuple[Stage, ...]:
    """Return the stages of a dialogue with a relay, in order."""
    token = (Stage.TOKEN,) if relay.login is Login.TOKEN else ()
    own = (Stage.LOGIN,) if relay.login is not Login.NONE else ()
    end = (Stage.SENDER, Stage.RECIPIENT, Stage.MESSAGE, Stage.QUIT)
    return (*_SEQUENCES[relay.security], *token, *own, *end)


def reaches(relay: Relay, options: ProbeOptions, stage: Stage) -> bool:
    """Tell whether the caller asks for a stage of a dialogue."""
    stages = stages_of(relay)
    last = next((one for one in _last_stages(options.until) if one in stages), Stage.QUIT)
    return stage in stages[: stages.index(last) + 1]


def _last_stages(until: Stage) -> tuple[Stage, ...]:
    """Return a stage and its replacements, nearest first; a relay without a login ends at its last EHLO."""
    more = (Stage.EHLO_TLS, Stage.EHLO) if until in (Stage.TOKEN, Stage.LOGIN) else ()
    return (until, *([_ALIASES[until]] if until in _ALIASES else []), *more)
