"""The check ``starttls``: which realms lose their mail when StartTLS becomes mandatory."""

from collections.abc import Sequence

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.kits.kit import Candidate, RelayKit
from ztrust_mail.kits.result import CheckedSubject, CheckFact, CheckRun, fact_of, not_tested, ok
from ztrust_mail.model.fields import LOGIN, SECURITY, Login, Security
from ztrust_mail.probing.outcome import RelayOutcome, RelayProblem, Stage
from ztrust_mail.probing.relay import Relay, relay_of
from ztrust_mail.probing.run import ProbedStatus


class StarttlsKit(RelayKit):
    """Probes every distinct relay of realms with StartTLS until STARTTLS. No login is tried."""

    name = "starttls"
    until = Stage.STARTTLS

    def select(self, candidate: Candidate) -> Relay | Finding | None:
        """Return the relay, without its login, of a realm with StartTLS."""
        wanted = candidate.wanted
        if wanted is None or isinstance(wanted, Finding):
            return wanted
        fields = candidate.fields or {}
        if isinstance(fields.get(SECURITY), Security) and fields[SECURITY] is not Security.STARTTLS:
            return None
        return relay_of(candidate.realm, {name: value for name, value in fields.items() if name != LOGIN})

    def judge(self, subject: Relay, seen: RelayOutcome, users: Sequence[Candidate]) -> CheckedSubject:
        """Say whether the relay offers STARTTLS."""
        fact = _judge_offer(seen, has_login=any(_has_login(one) for one in users))
        return CheckedSubject(str(subject), tuple(one.realm for one in users), (fact,))

    def close(self, run: CheckRun) -> tuple[tuple[str, ...], str]:
        """Return how many realms lose their mail."""
        lost = len(run.affected)
        who = f"{pluralise(lost, 'realm')} lose{'s its' if lost == 1 else ' their'}" if lost else "No realm loses its"
        open_ends = sum(one.status is ProbedStatus.NOT_TESTED for one in run.realms)
        unknown = f"; of {pluralise(open_ends, 'realm')} it is not known" if open_ends else ""
        return (f"{who} mail when StartTLS becomes mandatory{unknown}.",), ""


def _judge_offer(seen: RelayOutcome, *, has_login: bool) -> CheckFact:
    failure = seen.failure
    if seen.offers_starttls is False:
        clear = "logins and mails go" if has_login else "mails go"
        message = f"offers no STARTTLS: {clear} in clear text now, and stop when StartTLS becomes mandatory"
        hint = "before the upgrade, turn STARTTLS on at the relay, use its port for TLS (relay.security: tls), or set"
        hint += " relay.security: none on purpose; see: ztrust-mail docs switching"
        problem = RelayProblem("starttls-mandatory", message, hint, Severity.CRITICAL)
        return fact_of("STARTTLS", problem, field=SECURITY)
    if failure is None:
        return ok("STARTTLS", "offered")
    said = failure.finding
    hint = said.hint if said else ""
    if failure.stage is Stage.STARTTLS:
        grave = said is not None and said.severity is Severity.CRITICAL
        severity = Severity.CRITICAL if grave else Severity.WARNING  # mails fail today, and will not begin to
        return fact_of("STARTTLS", RelayProblem(failure.rule, f"offers STARTTLS, but {failure.detail}", hint, severity))
    message = f"whether it offers STARTTLS is unknown: {failure.detail}"
    return not_tested(failure.stage.label, failure.detail, RelayProblem("starttls-unknown", message, hint))


def _has_login(candidate: Candidate) -> bool:
    return (candidate.fields or {}).get(LOGIN, Login.NONE) is not Login.NONE
