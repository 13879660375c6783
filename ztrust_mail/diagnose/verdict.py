"""Combines the server's response and the probe's result into a verdict on why a test fails or proves little."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import pluralise, shell_word
from ztrust_mail.diagnose.evidence import Evidence, ServerAnswer
from ztrust_mail.diagnose.possible_causes import PossibleCause, find_possible_causes
from ztrust_mail.model.fields import Security
from ztrust_mail.probing.outcome import RelayOutcome, Stage, StageOutcome
from ztrust_mail.probing.relay import Relay
from ztrust_mail.probing.tls import EXPIRES
from ztrust_mail.providers.replies import KnownReply, explain_reply

DOWNGRADE = "starttls-downgrade"
NO_LOGIN_OFFERED = "login-skipped"
LAX_CHECK = "certificate-not-checked"
SERVER_ONLY = "server-only"
SERVER_TIMEOUT = "server-timeout"
LOGIN_UNKNOWN = "login-unknown"


@dataclass(frozen=True)
class Verdict:
    """Why a test failed. ``rule`` is the rule of the cause, ``cause`` one sentence, ``explanation`` what supports it.

    ``observation`` is what the probe saw of it. ``possible_causes`` are worth checking if the probe itself found none.
    """

    rule: str
    cause: str
    explanation: str = ""
    next_step: str = ""
    severity: Severity = Severity.ERROR
    possible_causes: tuple[PossibleCause, ...] = ()
    observation: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether a test with this verdict failed, also if the server says otherwise."""
        return self.severity in (Severity.ERROR, Severity.CRITICAL)

    def finding_on(self, realm: str) -> Finding:
        """Return the finding about a realm."""
        likely = [f"Likely: {one.text}." for one in self.possible_causes[:1] if one.is_likely]
        observed = [f"From here: {self.observation}."] if self.observation else []
        message = " ".join(part for part in (self.cause, *observed, self.explanation, *likely) if part)
        return Finding(self.severity, self.rule, message, self.next_step, realm=realm)


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


def judge(seen: Evidence) -> Verdict | None:
    """Return the verdict; None for a mail that was sent without any doubt."""
    if seen.answer.is_sent:
        return _judge_sent(seen)
    if seen.failure is None:
        return _judge_difference(seen)
    if seen.server_waited and not seen.probe_waited and not _lets_wait(seen.failure):
        return _judge_two_failures(seen, seen.failure)
    return _judge_failure(seen, seen.failure)


def _judge_sent(seen: Evidence) -> Verdict | None:
    relay, failed = seen.probe.relay, seen.probe.failure
    if failed and failed.rule == "relay-injection":
        return _judge_failure(seen, failed)
    if relay.security is Security.STARTTLS and seen.probe.offers_starttls is False:
        what = "the password and the mail" if seen.has_login else "the mail"
        return Verdict(
            DOWNGRADE,
            f"The relay offers no STARTTLS, and the server sent {what} in clear text.",
            "Versions with the fix of CVE-2026-107121, such as 26.6.8, refuse such a relay: mail stops on upgrade.",
            f"{_ENCRYPT}; then rotate the password" if seen.has_login else _ENCRYPT,
            Severity.CRITICAL,
        )
    if seen.has_login and seen.offers_login is False:
        return Verdict(
            NO_LOGIN_OFFERED,
            "The relay offers no login (AUTH), and the server sent the mail without logging in.",
            "Whether user name and password are right is unknown.",
            "use the relay's port for submission, usually 587 or 465, or remove relay.auth",
            Severity.WARNING,
        )
    return _judge_certificate(seen)


def _judge_certificate(seen: Evidence) -> Verdict | None:
    """Return the present or imminent problem with the certificate of a relay that accepted the mail."""
    failed = _with_definite_check(seen, seen.probe.failure) if seen.probe.failure else None
    if failed and failed.rule in _REFUSED_BY_ALL:
        return Verdict(
            LAX_CHECK,
            f"The server accepts a certificate that this machine refuses: {_what(failed)}.",
            "Its host name policy or truststore is laxer, or it reached another machine of the relay.",
            failed.finding.hint if failed.finding else "",
            Severity.WARNING,
        )
    soon = next((one for one in seen.probe.findings if one.rule == EXPIRES), None)
    if soon is None or seen.probe.tls is None:
        return None
    left = pluralise(min(one.days_left for one in seen.probe.tls.chain), "day")
    return Verdict(
        EXPIRES, f"The relay's certificate expires in {left}.", "Mail stops then.", soon.hint, Severity.WARNING
    )


_ENCRYPT = "turn STARTTLS on at the relay, or set relay.security: tls if it has a port for TLS, usually 465"

_REFUSED_BY_ALL = ("relay-certificate-expired", "relay-certificate-not-yet-valid", "relay-certificate-name")
"""Failed checks of a certificate that no truststore makes good."""

_CERTIFICATE = "Servers that verify certificates refuse it, too."
_ISSUER = (
    "The server refuses it, too, unless its truststore has the issuer. If it has, the cause is another one: give the "
    "issuer here with --ca-bundle FILE."
)
_SIDES: Mapping[str, str] = {
    "relay-certificate-expired": _CERTIFICATE,
    "relay-certificate-name": _CERTIFICATE,
    "relay-certificate-not-yet-valid": _CERTIFICATE,
    "relay-certificate-issuer": _ISSUER,
    "relay-certificate-self-signed": _ISSUER,
    "relay-speaks-tls": "Each side waits for the other one, until the server gives up.",
    "relay-ehlo": "The server greets with the name of its own machine, which the relay may refuse or accept.",
    "relay-no-starttls": "Either the server sends nothing in clear text, as versions with the fix "
    "of CVE-2026-107121 do, or the relay refuses the mail for that or a later reason.",
    "relay-defers": "The server does not try again: its mails are lost while the relay defers.",
}
"""What the probe's failure means for the server."""

_CAUSES: Mapping[str, str] = {
    "relay-certificate-expired": "The relay's certificate has expired.",
    "relay-certificate-name": "The relay's certificate is for another name than {host}.",
    "relay-certificate-not-yet-valid": "The relay's certificate is not yet valid.",
    "relay-certificate-issuer": "The relay's certificate is of an issuer that this machine does not know.",
    "relay-certificate-self-signed": "The relay's certificate is self-signed.",
    "relay-injection": "Plain text was added to the relay's reply to STARTTLS: somebody may alter the connection.",
    "relay-name": "The host name {host} does not resolve.",
    "relay-unreachable": "Nothing accepts connections at {address}.",
    "relay-slow": "The relay does not answer in time.",
    "relay-closed": "The relay closes the connection without a reason.",
    "relay-refuses": "The relay refuses to serve: {reply}.",
    "relay-protocol": "What answers at {address} is no SMTP server.",
    "relay-speaks-tls": "The port expects TLS from the first byte, and the settings say {security}.",
    "relay-speaks-plain": "The port speaks plain SMTP, and the settings say tls.",
    "relay-no-starttls": "The settings say starttls, and the relay offers no STARTTLS.",
    "relay-no-login": "The settings have a login, and the relay offers none (AUTH).",
    "relay-login-method": "The relay offers no method of login that the settings fit.",
    "relay-login-refused": "The relay refuses the login of {user}: {reply}.",
    "relay-token": "There is no access token for the login.",
    "relay-needs-login": "The relay wants a login, and the settings have none.",
    "relay-sender": "The relay refuses the sender: {reply}.",
    "relay-recipient": "The relay refuses the recipient: {reply}.",
    "relay-defers": "The relay refuses for now: {reply}.",
    "relay-ehlo": "The relay refuses the EHLO name: {reply}.",
}
"""The cause in one sentence. Other rules, and replies of the reply book, have their own texts."""


_NEXT: Mapping[str, str] = {
    "relay-certificate-expired": "renew the certificate on {host}",
    "relay-certificate-name": "set relay.host to a name of the certificate, or get a certificate for {host}",
    "relay-slow": "find out whether the relay delays clients, or a firewall drops its answers",
    "relay-login-refused": "check user name and secret with the provider",
}
"""Next steps that replace those of a probe, which do not apply to a test."""


_ELSEWHERE: Mapping[str, str] = {
    "relay-name": "The server is another machine, and may know a name that this one does not.",
    "relay-unreachable": "The server is another machine, and may reach a relay that this one does not.",
    "relay-refuses": "The relay may treat the server's address in another way.",
    "relay-closed": "The relay may treat the server's address in another way.",
}
"""Why the server, on another machine, may not see the probe's failure."""


def _judge_failure(seen: Evidence, failed: StageOutcome) -> Verdict:
    failed = _with_definite_check(seen, failed)
    relay, known = seen.probe.relay, _known_reply(seen, failed)
    reply = str(failed.reply).rstrip(".") if failed.reply else _what(failed)
    template = _CAUSES.get(failed.rule, "{what}.")
    cause = template.format(
        host=relay.host, address=relay.address, security=relay.security.value, user=relay.username, reply=reply,
        what=_capitalise(_what(failed)),
    )  # fmt: skip
    parts = [known.cause] if known and "{" in template else []
    parts += [_SIDES[failed.rule]] if failed.rule in _SIDES else []
    if failed.rule in ("relay-recipient", "relay-sender") and seen.offers_login and not seen.has_login:
        parts.append("The relay offers a login, and the settings have none: it may take such mails only after one.")
    parts += _time_remarks(seen, failed)
    is_elsewhere = failed.rule in _ELSEWHERE and not seen.is_local_server and not seen.answer.is_sent
    parts += [_ELSEWHERE[failed.rule]] if is_elsewhere else []
    hint = _NEXT.get(failed.rule, "").format(host=relay.host) or (failed.finding.hint if failed.finding else "")
    hint = _lower(known.next_step.rstrip(".")) if known else hint
    next_step = f"{hint}; then {_again(seen)}" if hint else _again(seen)
    next_step += f"; or {_suggest_job(seen)}" if is_elsewhere else ""
    severity = failed.finding.severity if failed.finding else Severity.ERROR
    observation = "" if "{reply}" in template or "{what}" in template else _what(failed)
    return Verdict(failed.rule, cause, " ".join(parts), next_step, severity, observation=observation)


def _with_definite_check(seen: Evidence, failed: StageOutcome) -> StageOutcome:
    """Return the stage with a check that fails everywhere, instead of one that a truststore could fix."""
    problems = seen.probe.tls.problems if seen.probe.tls else ()
    if failed.finding is None or failed.rule not in problems:
        return failed
    definite = [replace(failed.finding, rule=rule) for rule in problems if rule in _REFUSED_BY_ALL]
    return replace(failed, finding=definite[0]) if definite else failed


def _again(seen: Evidence) -> str:
    return f"ztrust-mail test {shell_word(seen.realm)}"


def _suggest_job(seen: Evidence) -> str:
    return f"run the same probe next to the server: ztrust-mail probe {shell_word(seen.realm)} --as kubernetes-job"


def _known_reply(seen: Evidence, failed: StageOutcome) -> KnownReply | None:
    if failed.reply is None or failed.reply.code < 400:
        return None
    return explain_reply(seen.probe.relay.host, failed.reply.code, failed.reply.text)


def _time_remarks(seen: Evidence, failed: StageOutcome) -> list[str]:
    """Return what the server's time indicates, if it contradicts the probe."""
    if seen.answer.is_sent or seen.server_waited or not _is_silent(failed):
        return []
    took = f"{seen.answer.seconds:.1f} s"
    return [f"The server failed after {took}: it may be refused at once, where this machine gets no answer."]


def _is_silent(failed: StageOutcome) -> bool:
    """Tell whether there was no reply."""
    return failed.rule in ("relay-slow", "relay-speaks-tls") or failed.seconds >= 4


def _lets_wait(failed: StageOutcome) -> bool:
    """Tell whether the server has to wait for this failure, including for the rest of a reply that is not SMTP."""
    return failed.rule == "relay-protocol" or _is_silent(failed)


def _judge_two_failures(seen: Evidence, failed: StageOutcome) -> Verdict:
    waited = f"The server waited {seen.answer.seconds:.0f} s for an answer, where this machine gets one at once."
    own = f"From here the relay fails, too, at {failed.stage.label}: {_what(failed)}."
    causes = find_possible_causes(seen)
    return Verdict(SERVER_TIMEOUT, waited, own, _suggest_job(seen), possible_causes=causes)


def _judge_difference(seen: Evidence) -> Verdict:
    causes = find_possible_causes(seen)
    if seen.server_waited:
        waited = f"The server waited {seen.answer.seconds:.0f} s in vain for the relay, which answers this machine."
        return Verdict(SERVER_TIMEOUT, waited, _first_of(causes), _suggest_job(seen), possible_causes=causes)
    if causes and causes[0].id == "secret":
        cause = "The relay works from here up to the login, which was not tested."
        login = seen.probe.stage(Stage.LOGIN)
        why = login.detail if login else ""
        return Verdict(
            LOGIN_UNKNOWN, cause, _first_of(causes), causes[0].check, possible_causes=causes, observation=why
        )
    cause = "The relay accepts all that this machine asks for, and fails for the server."
    return Verdict(SERVER_ONLY, cause, _first_of(causes), _suggest_job(seen), possible_causes=causes)


def _first_of(causes: tuple[PossibleCause, ...]) -> str:
    return f"{pluralise(len(causes), 'possible cause')}, the first to check first." if len(causes) > 1 else ""


def _what(failed: StageOutcome) -> str:
    return failed.detail.rstrip(".")


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
