"""Probes the relays of test mails, and joins both sides to one diagnosis per relay and login."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import urlsplit

from ztrust_mail.core.errors import ExitStatus, ServerError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.diagnose.evidence import GIVES_UP_AFTER, OWN_TIMEOUTS, Evidence, ServerAnswer
from ztrust_mail.diagnose.mail_test import MailTestOutcome, MailTestRun, MailTestStatus
from ztrust_mail.diagnose.verdict import Verdict, judge
from ztrust_mail.dialects.row import Version
from ztrust_mail.gateways.gateway import TEST_UNKNOWN, Gateway
from ztrust_mail.model.fields import CONNECT_TIMEOUT, LOGIN, READ_TIMEOUT, SECURITY, Duration, FieldMap, Login, Security
from ztrust_mail.probing.options import ProbeOptions
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, SenderOutcome, Stage, StageOutcome
from ztrust_mail.probing.relay import Relay, relay_of, sender_of
from ztrust_mail.probing.run import probe_relays
from ztrust_mail.secrets.store import SecretStore

TEST_FAILED = "test-failed"

_EXPLAINED = (TEST_FAILED, TEST_UNKNOWN)
"""The rules of failed tests that the relay may be the cause of; others say themselves what is wrong."""


@dataclass(frozen=True)
class Diagnosis:
    """One relay with its login, as the server and this machine see it, and the ``realms`` that use it.

    ``answer`` is the server's for the first of the realms; the others are alike.
    """

    relay: Relay
    realms: tuple[str, ...]
    answer: ServerAnswer
    probe: RelayOutcome
    verdict: Verdict


class _Side(NamedTuple):
    """What the realms of one diagnosis have in common. ``refused_sender`` is empty unless the relay refuses it."""

    relay: Relay
    is_sent: bool
    waited: bool
    message: str
    refused_sender: str


@dataclass(frozen=True)
class Examiner:
    """Probes relays and judges. ``is_stored`` tells that the server tested what it has stored."""

    gateway: Gateway
    store: SecretStore
    redactor: Redactor
    options: ProbeOptions
    is_stored: bool

    def examine(self, run: MailTestRun) -> MailTestRun:
        """Return the run with a diagnosis for each relay that there is something to say about."""
        tested = [one for one in run.outcomes if one.settings and _is_worth_a_probe(one)]
        relays = {
            one.realm: relay for one in tested if isinstance(relay := relay_of(one.realm, one.settings or {}), Relay)
        }
        if not relays:
            return run
        probes = self._probe(run, tested, relays)
        version = self._version() if any(one.status is MailTestStatus.FAILED for one in tested) else ()
        groups: dict[_Side, list[MailTestOutcome]] = {}
        for one in tested:
            if one.realm in relays:
                groups.setdefault(self._side(one, probes[relays[one.realm]], version), []).append(one)
        found = [self._diagnose(several, probes[side.relay], version) for side, several in groups.items()]
        diagnoses = tuple(sorted(filter(None, found), key=lambda one: one.verdict.severity is not Severity.CRITICAL))
        outcomes = _with_verdicts(run.outcomes, diagnoses, {realm: probes[relay] for realm, relay in relays.items()})
        return replace(run, outcomes=outcomes, diagnoses=diagnoses)

    def _version(self) -> Version:
        """Return the server's version, empty if it does not say."""
        try:
            return self.gateway.version()
        except ServerError:
            return ()

    def _probe(
        self, run: MailTestRun, tested: Iterable[MailTestOutcome], relays: Mapping[str, Relay]
    ) -> dict[Relay, RelayOutcome]:
        """Return the outcome by relay. Those of sent mails only are probed up to the encryption, without a login."""
        failed: dict[Relay, dict[str, None]] = {}
        sent: dict[Relay, list[str]] = {}
        for one in tested:
            if (relay := relays.get(one.realm)) is None:
                continue
            if one.status is MailTestStatus.SENT:
                sent.setdefault(relay, [])
            else:
                failed.setdefault(relay, {})[sender_of(one.settings or {})] = None
        wanted = {relay: [sender for sender in senders if sender] for relay, senders in failed.items()}
        whole = replace(self.options, to=run.account.email or "")
        found = probe_relays(wanted, whole, self.store, self.redactor)
        rest = {relay: senders for relay, senders in sent.items() if relay not in failed}
        found += probe_relays(rest, replace(self.options, until=Stage.EHLO_TLS), self.store, self.redactor)
        return {one.relay: one for one in found}

    def _side(self, one: MailTestOutcome, probe: RelayOutcome, version: Version) -> _Side:
        is_sent = one.status is MailTestStatus.SENT
        settings, refused = one.settings or {}, _refused(probe, sender_of(one.settings or {}))
        waited = not is_sent and one.seconds >= _gives_up_after(settings, version) * 0.95
        message = one.findings[0].message if one.findings else ""
        return _Side(probe.relay, is_sent, waited, message, refused.address if refused else "")

    def _diagnose(self, several: list[MailTestOutcome], probe: RelayOutcome, version: Version) -> Diagnosis | None:
        first = several[0]
        settings = first.settings or {}
        answer = ServerAnswer(
            first.status is MailTestStatus.SENT, first.findings[0].message if first.findings else "", first.seconds
        )  # fmt: skip
        seen = Evidence(
            first.realm,
            answer,
            probe,
            _failure_for(probe, sender_of(settings)),
            version,
            _gives_up_after(settings, version),
            bool(self.options.ca_bundle),
            _is_local(self.gateway.url),
            self.is_stored,
        )
        verdict = judge(seen)
        return Diagnosis(probe.relay, tuple(one.realm for one in several), answer, probe, verdict) if verdict else None


def _is_worth_a_probe(one: MailTestOutcome) -> bool:
    """Tell whether the relay may be why a test failed, or whether a mail that was sent leaves questions open."""
    if one.status is MailTestStatus.FAILED:
        return bool(one.findings) and one.findings[0].rule in _EXPLAINED
    settings = one.settings or {}
    has_login = settings.get(LOGIN, Login.NONE) is not Login.NONE
    return one.status is MailTestStatus.SENT and (has_login or settings.get(SECURITY) is Security.STARTTLS)


def _refused(probe: RelayOutcome, sender: str) -> SenderOutcome | None:
    """Return what the relay said to a sender that it refuses."""
    found = (one for one in probe.senders if one.address == sender)
    return next((one for one in found if one.status is ProbeStatus.FAILED), None)


def _failure_for(probe: RelayOutcome, sender: str) -> StageOutcome | None:
    """Return the failed stage of a relay, unless it is about the senders of other realms."""
    failed = probe.failure
    if failed and failed.stage is Stage.SENDER and probe.senders:
        refused = _refused(probe, sender)
        return replace(failed, reply=refused.reply) if refused else None
    return failed


def _gives_up_after(settings: FieldMap, version: Version) -> float:
    """Return the shortest time-out of the settings in seconds, where the server knows such settings."""
    if version and version < OWN_TIMEOUTS:
        return GIVES_UP_AFTER
    given = [value for name in (CONNECT_TIMEOUT, READ_TIMEOUT) if isinstance(value := settings.get(name), Duration)]
    return min((one.milliseconds / 1000 for one in given if one.milliseconds), default=GIVES_UP_AFTER)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _with_verdicts(
    outcomes: Iterable[MailTestOutcome], diagnoses: Iterable[Diagnosis], probes: Mapping[str, RelayOutcome]
) -> tuple[MailTestOutcome, ...]:
    """Return the outcomes with their verdicts as findings, and with what the probe proves of the encryption."""
    verdicts = {realm: one.verdict for one in diagnoses for realm in one.realms}
    return tuple(_with_verdict(one, verdicts.get(one.realm), probes.get(one.realm)) for one in outcomes)


def _with_verdict(one: MailTestOutcome, verdict: Verdict | None, probe: RelayOutcome | None) -> MailTestOutcome:
    if verdict is None:
        is_offered = probe is not None and probe.offers_starttls and one.status is MailTestStatus.SENT
        return replace(one, proof="sent; the relay offers STARTTLS, as seen from this machine") if is_offered else one
    status = ExitStatus.DIFFERS if verdict.is_failure and one.exit_status is ExitStatus.OK else one.exit_status
    proof = "sent in clear text: the relay offers no STARTTLS" if verdict.severity is Severity.CRITICAL else one.proof
    findings = (*one.findings, verdict.finding_on(one.realm))
    return replace(one, findings=findings, exit_status=status, proof=proof if one.proof else "")
