"""Probes the relays of test mails, and joins both sides to one diagnosis per relay and login."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import urlsplit

from ztrust_mail.core.errors import ExitStatus, ServerError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.diagnose.evidence import GIVES_UP_AFTER, OWN_TIMEOUTS, Evidence, ServerAnswer
from ztrust_mail.diagnose.mail_test import MailTestOutcome, MailTestRun, MailTestStatus
from ztrust_mail.diagnose.verdict import DOWNGRADE, Diagnosis, Verdict, judge
from ztrust_mail.dialects.row import Version
from ztrust_mail.gateways.gateway import TEST_UNKNOWN, Gateway, RealmCounter
from ztrust_mail.model.fields import CONNECT_TIMEOUT, LOGIN, READ_TIMEOUT, SECURITY, Duration, FieldMap, Login, Security
from ztrust_mail.probing.options import ProbeOptions
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, Stage, StageOutcome
from ztrust_mail.probing.relay import Relay, relay_of, sender_of
from ztrust_mail.probing.run import ProgressCounter, probe_relays
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings import is_loopback

TEST_FAILED = "test-failed"

_EXPLAINED = (TEST_FAILED, TEST_UNKNOWN)
"""The rules of failed tests that the relay may have caused; the others explain themselves."""

_LEAST_TIMEOUT = 2.0


class _Likeness(NamedTuple):
    """The properties shared by the realms of one diagnosis. ``refusal`` is the reply to the probe, if any.

    ``is_asked`` tells whether the probe checked the sender.
    """

    relay: Relay
    is_sent: bool
    waited: bool
    message: str
    refusal: str
    is_asked: bool


@dataclass(frozen=True)
class Examiner:
    """Probes relays and judges."""

    gateway: Gateway
    store: SecretStore
    redactor: Redactor
    options: ProbeOptions

    def examine(self, run: MailTestRun, progress: RealmCounter | None = None) -> MailTestRun:
        """Return the run with a diagnosis for each relay that there is something to say about.

        ``progress`` gets the numbers of relays that are probed and of all, from any thread, first with 0.
        """
        tested = {one.realm: one for one in run.outcomes if one.settings and _is_worth_a_probe(one)}
        relays = {
            realm: relay
            for realm, one in tested.items()
            if isinstance(relay := relay_of(realm, one.settings or {}), Relay)
        }
        if not relays:
            return run
        counter = ProgressCounter(progress, len(set(relays.values())))
        counter.add(0)
        probes = self._probe(run, [tested[realm] for realm in relays], relays, lambda _: counter.add(1))
        version = self._version() if any(one.status is MailTestStatus.FAILED for one in tested.values()) else ()
        seen = {realm: self._evidence(tested[realm], probes[relay], version) for realm, relay in relays.items()}
        verdicts = {realm: judge(one) for realm, one in seen.items()}
        diagnoses = tuple(_diagnose(seen, verdicts))
        return replace(run, outcomes=_with_verdicts(run.outcomes, seen, verdicts), diagnoses=diagnoses)

    def _version(self) -> Version:
        """Return the server's version, empty if it does not say."""
        try:
            return self.gateway.version()
        except ServerError:
            return ()

    def _probe(
        self,
        run: MailTestRun,
        tested: Iterable[MailTestOutcome],
        relays: Mapping[str, Relay],
        done: Callable[[Relay], None],
    ) -> dict[Relay, RelayOutcome]:
        """Return the outcome by relay. Those of sent mails only are probed up to the encryption, without a login."""
        failed: dict[Relay, dict[str, None]] = {}
        sent: dict[Relay, list[str]] = {}
        for one in tested:
            relay = relays[one.realm]
            if one.status is MailTestStatus.SENT:
                sent.setdefault(relay, [])
            else:
                failed.setdefault(relay, {})[sender_of(one.settings or {})] = None
        wanted = {relay: [sender for sender in senders if sender] for relay, senders in failed.items()}
        whole = replace(self.options, to=run.account.email or "")
        found = probe_relays(wanted, whole, self.store, self.redactor, done)
        rest = {relay: senders for relay, senders in sent.items() if relay not in failed}
        found += probe_relays(rest, replace(self.options, until=Stage.EHLO_TLS), self.store, self.redactor, done)
        return {one.relay: one for one in found}

    def _evidence(self, one: MailTestOutcome, probe: RelayOutcome, version: Version) -> Evidence:
        settings, message = one.settings or {}, one.findings[0].message if one.findings else ""
        sender = sender_of(settings)
        failure = _failure_for(probe, sender)
        is_untested = failure is None and _said_to(probe, sender) is ProbeStatus.NOT_TESTED
        return Evidence(
            one.realm,
            ServerAnswer(one.status is MailTestStatus.SENT, message, one.seconds),
            probe,
            failure,
            version,
            _gives_up_after(settings, version),
            has_own_trust=bool(self.options.ca_bundle),
            is_local_server=_is_local(self.gateway.url),
            untested_sender=sender if is_untested else "",
        )


def _diagnose(seen: Mapping[str, Evidence], verdicts: Mapping[str, Verdict | None]) -> list[Diagnosis]:
    """Return one diagnosis for realms that are alike, critical ones first."""
    groups: dict[_Likeness, list[str]] = {}
    for realm, one in seen.items():
        if verdicts[realm]:
            groups.setdefault(_side(one), []).append(realm)
    found = []
    for side, realms in groups.items():
        first, verdict = seen[realms[0]], verdicts[realms[0]]
        assert verdict is not None  # realms without one are in no group
        found.append(Diagnosis(side.relay, tuple(realms), first.answer, first.probe, verdict))
    return sorted(found, key=lambda one: one.verdict.severity is not Severity.CRITICAL)


def _side(seen: Evidence) -> _Likeness:
    answer, reply = seen.answer, seen.failure.reply if seen.failure else None
    waited = not answer.is_sent and seen.server_waited
    refusal = str(reply) if reply else seen.failure.rule if seen.failure else ""
    return _Likeness(seen.probe.relay, answer.is_sent, waited, answer.message, refusal, not seen.untested_sender)


def _is_worth_a_probe(one: MailTestOutcome) -> bool:
    """Tell whether the relay may have caused a failed test, or whether a sent mail leaves questions open."""
    if one.status is MailTestStatus.FAILED:
        return bool(one.findings) and one.findings[0].rule in _EXPLAINED
    settings = one.settings or {}
    has_login = settings.get(LOGIN, Login.NONE) is not Login.NONE
    return one.status is MailTestStatus.SENT and (has_login or settings.get(SECURITY) is Security.STARTTLS)


def _said_to(probe: RelayOutcome, sender: str) -> ProbeStatus | None:
    """Return the result of a sender, None if the probe did not get that far."""
    return next((one.status for one in probe.senders if one.address == sender), None)


def _failure_for(probe: RelayOutcome, sender: str) -> StageOutcome | None:
    """Return the failed stage of a relay, unless it is about the senders of other realms.

    A sender that was not tried counts as refused: after some refusals, and after 20 senders, no more are tried.
    """
    failed = probe.failure
    if failed is None or failed.stage is not Stage.SENDER or not probe.senders:
        return failed
    if _said_to(probe, sender) is ProbeStatus.OK:
        return None
    own = next((one.reply for one in probe.senders if one.address == sender and one.reply), None)
    return replace(failed, reply=own) if own else failed


def _gives_up_after(settings: FieldMap, version: Version) -> float:
    """Return the shortest timeout of the settings in seconds, if the server supports such settings.

    A shorter one than :data:`_LEAST_TIMEOUT` cannot be told from a refusal.
    """
    if version and version < OWN_TIMEOUTS:
        return GIVES_UP_AFTER
    given = [value for name in (CONNECT_TIMEOUT, READ_TIMEOUT) if isinstance(value := settings.get(name), Duration)]
    shortest = min((one.milliseconds / 1000 for one in given if one.milliseconds), default=GIVES_UP_AFTER)
    return max(shortest, _LEAST_TIMEOUT)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return is_loopback(host) or host.endswith(".localhost")


def _with_verdicts(
    outcomes: Iterable[MailTestOutcome], seen: Mapping[str, Evidence], verdicts: Mapping[str, Verdict | None]
) -> tuple[MailTestOutcome, ...]:
    """Return the outcomes with their verdicts as findings, and with what the probe proves about encryption."""
    return tuple(
        _with_verdict(one, verdicts[one.realm], seen[one.realm].probe) if one.realm in seen else one for one in outcomes
    )


def _with_verdict(one: MailTestOutcome, verdict: Verdict | None, probe: RelayOutcome) -> MailTestOutcome:
    if verdict is None:
        is_offered = probe.offers_starttls and one.status is MailTestStatus.SENT
        return replace(one, proof="sent; the relay offers STARTTLS, as seen from this machine") if is_offered else one
    status = ExitStatus.DIFFERS if verdict.is_failure and one.exit_status is ExitStatus.OK else one.exit_status
    proof = "sent in clear text: the relay offers no STARTTLS" if verdict.rule == DOWNGRADE else one.proof
    return replace(one, findings=(*one.findings, verdict.finding_on(one.realm)), exit_status=status, proof=proof)
