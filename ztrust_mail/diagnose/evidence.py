"""The evidence for a verdict: a server's test and a probe of the same relay."""

import ipaddress
from dataclasses import dataclass

from ztrust_mail.dialects.row import Version
from ztrust_mail.model.fields import Login
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, Stage, StageOutcome
from ztrust_mail.settings import is_loopback

GIVES_UP_AFTER = 10.0
"""Seconds after which Keycloak gives up waiting for each reply of a relay, unless timeouts are configured."""

OWN_TIMEOUTS = (26, 5, 0)
"""The first version that has time-outs in its settings."""

_SOON = 0.95
"""A server that took this part of its time-out waited for an answer that did not come."""


@dataclass(frozen=True)
class ServerAnswer:
    """The result of the server's own test, and how long it took. ``message`` is empty for a sent mail."""

    is_sent: bool
    message: str
    seconds: float


@dataclass(frozen=True)
class Evidence:
    """Both sides of the test of a ``realm``. ``failure`` is the probe's failed stage as far as it concerns the realm.

    ``version`` is the server's, empty if unknown. ``gives_up_after`` is its time-out in seconds for these settings.
    ``has_own_trust`` tells that the probe trusts authorities that the caller gave. ``is_local_server`` tells that the
    server's URL is one of this machine. ``untested_sender`` is the realm's sender if the relay was not asked about it.
    """

    realm: str
    answer: ServerAnswer
    probe: RelayOutcome
    failure: StageOutcome | None = None
    version: Version = ()
    gives_up_after: float = GIVES_UP_AFTER
    has_own_trust: bool = False
    is_local_server: bool = False
    untested_sender: str = ""

    @property
    def server_waited(self) -> bool:
        """Whether the server took so long that it waited in vain for an answer."""
        return self.answer.seconds >= self.gives_up_after * _SOON

    @property
    def probe_waited(self) -> bool:
        """Whether the relay let the probe wait, too, so that the server's time-out may have passed."""
        return self.probe.seconds >= self.gives_up_after / 2

    @property
    def slowest(self) -> StageOutcome | None:
        """The stage in which the probe waited longer than the server would, None if there was none."""
        return next((one for one in self.probe.stages if one.seconds >= self.gives_up_after * _SOON), None)

    @property
    def has_login(self) -> bool:
        """Whether the settings have a login."""
        return self.probe.relay.login is not Login.NONE

    @property
    def has_host_name(self) -> bool:
        """Whether the relay's host is a name, which has to be resolved."""
        try:
            ipaddress.ip_address(self.probe.relay.host)
        except ValueError:
            return True
        return False

    @property
    def is_loopback(self) -> bool:
        """Whether the relay's host is the machine itself, whichever machine that is."""
        found = [one.address.partition(" ")[0].strip("[]") for one in self.probe.addresses]
        return bool(found) and all(is_loopback(one) for one in found)

    @property
    def has_ipv6(self) -> bool:
        """Whether one of the relay's addresses is of IPv6."""
        return any(one.address.count(":") > 1 for one in self.probe.addresses)

    @property
    def ehlo_name(self) -> str:
        """The name by which the probe greeted."""
        for one in self.probe.transcript:
            word, _, name = one.text.partition(" ")
            if one.sent and word.lower() == "ehlo":
                return name
        return ""

    def is_untested(self, stage: Stage) -> bool:
        """Tell whether a stage of the dialogue was skipped."""
        found = self.probe.stage(stage)
        return found is not None and found.status is ProbeStatus.NOT_TESTED

    @property
    def offers_login(self) -> bool | None:
        """Whether the relay offers AUTH, None if the dialogue did not get that far."""
        greeted = [one for one in self.probe.stages if one.stage in (Stage.EHLO, Stage.EHLO_TLS)]
        if not greeted or greeted[-1].status not in (ProbeStatus.OK, ProbeStatus.WARNING):
            return None
        return any(one.upper().startswith(("AUTH ", "AUTH=")) for one in self.probe.features)
