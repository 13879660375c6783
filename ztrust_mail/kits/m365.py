"""The check ``m365-oauth``: rehearses the login by token of realms on Microsoft 365 before a plan switches them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.text import glob_matches, pluralise, quoted
from ztrust_mail.kits.kit import Candidate, RelayKit
from ztrust_mail.kits.result import CheckedSubject, CheckFact, CheckRun, fact_of, not_tested, ok
from ztrust_mail.model.fields import HOST, LOGIN, LOGIN_SECRETS, USERNAME, FieldMap, Login
from ztrust_mail.probing.outcome import ProbeStatus, RelayOutcome, RelayProblem, Stage, StageOutcome, TokenFacts
from ztrust_mail.probing.relay import Relay, relay_of, sender_of
from ztrust_mail.probing.run import ProbedStatus

HOSTS = ("smtp.office365.com", "smtp-legacy.office365.com", "smtp.office365.us", "smtp.partner.outlook.cn")
"""The hosts of Microsoft 365 for clients, those of its national clouds too."""

ROLE = "SMTP.SendAsApp"
"""The application permission that a token needs to log in by SMTP."""

_AUDIENCES = (
    *("https://outlook.office365.com", "https://outlook.office.com", "https://outlook.office365.us"),
    *("https://partner.outlook.cn", "00000002-0000-0ff1-ce00-000000000000"),
)
"""The audiences of tokens for Exchange Online, the last one by its application id."""

_SEE = "see: ztrust-mail docs switching"
_REGISTER = "register an application in Entra ID with a client secret, and write its tenant, client id and secret to"
_REGISTER += " relay.auth.token"
_GRANT = (
    f"add the application permission {ROLE} of Office 365 Exchange Online to the application, and grant admin consent"
)
_PRINCIPAL = "in Exchange Online PowerShell: New-ServicePrincipal -AppId CLIENT_ID -ObjectId OBJECT_ID (that of the"
_PRINCIPAL += (
    " enterprise application), Add-MailboxPermission -Identity MAILBOX -User OBJECT_ID -AccessRights FullAccess,"
)
_PRINCIPAL += " Set-CASMailbox MAILBOX -SmtpClientAuthenticationDisabled $false"


@dataclass(frozen=True)
class M365Kit(RelayKit):
    """Probes every distinct login by token at Microsoft 365 until MAIL FROM; ``hosts`` are globs of its hosts."""

    hosts: tuple[str, ...] = HOSTS

    name = "m365-oauth"
    until = Stage.SENDER
    needs_live = True

    def select(self, candidate: Candidate) -> Relay | CheckFact | Finding | None:
        """Return the wanted relay of a realm on Microsoft 365, or the fact that it keeps its password."""
        if isinstance(candidate.wanted, Finding):
            return candidate.wanted
        fields = candidate.fields
        if fields is None or not self._is_here(fields):
            return None
        if fields.get(LOGIN) is Login.TOKEN:  # without a spec its secret is masked, and it is switched already
            return relay_of(candidate.realm, fields) if candidate.is_in_spec else None
        return _password(candidate) if self._has_password(fields) else None

    def judge(self, subject: Relay, seen: RelayOutcome, users: Sequence[Candidate]) -> CheckedSubject:
        """Return whether the token login works, and what is missing in the tenant, as facts."""
        facts = [*_connection(seen), *_token(subject, seen), *_login(seen), *_senders(seen, users)]
        waiting = [one.realm for one in users if self._has_password(one.live_fields)]
        if waiting:
            facts.append(ok("on the server", f"{pluralise(len(waiting), 'realm')} still with a password"))
        return CheckedSubject(str(subject), tuple(one.realm for one in users), tuple(facts))

    def close(self, run: CheckRun) -> tuple[tuple[str, ...], str]:
        """Return how many realms can be switched, and the plan that does so."""
        concerned = {realm for subject in run.subjects for realm in subject.realms}
        if not concerned:
            return ("No realm is on Microsoft 365.",), ""
        ready = sum(one.realm in concerned and one.exit_status is ExitStatus.OK for one in run.realms)
        skipped = sum(one.status is ProbedStatus.SKIPPED for one in run.realms)
        said = f"{ready:,} of {pluralise(len(concerned), 'realm')} on Microsoft 365 can log in with a token."
        return (said,), "ztrust-mail plan SPEC..." if ready == len(run.realms) - skipped else ""

    def _is_here(self, fields: FieldMap) -> bool:
        host = str(fields.get(HOST, "")).casefold().removesuffix(".")
        return any(glob_matches(glob.casefold(), host) for glob in self.hosts)

    def _has_password(self, fields: FieldMap | None) -> bool:
        return fields is not None and self._is_here(fields) and fields.get(LOGIN) is Login.BASIC


def _password(candidate: Candidate) -> CheckFact:
    """Return the fact that a realm logs in with a password, and that no spec says otherwise."""
    is_uncovered = not candidate.is_in_spec and candidate.live is not None
    why = "and the spec has no entry for it" if is_uncovered else "which stops working"
    message = f"logs in to Microsoft 365 with a password, {why}"
    field = LOGIN_SECRETS[Login.BASIC] if candidate.is_in_spec else ""
    return fact_of("login", RelayProblem("m365-basic-login", message, f"{_REGISTER}; {_SEE}"), field=field)


def _connection(seen: RelayOutcome) -> Iterator[CheckFact]:
    """Yield what failed before the token: then nothing is known about the login."""
    failure = seen.failure
    if failure and failure.stage not in (Stage.TOKEN, Stage.LOGIN, Stage.SENDER):
        yield _report_failure(failure)


def _report_failure(stage: StageOutcome) -> CheckFact:
    """Return the fact that a stage failed, as the probe says it."""
    hint = stage.finding.hint if stage.finding else ""
    return fact_of(stage.stage.label, RelayProblem(stage.rule, stage.detail, hint))


def _token(relay: Relay, seen: RelayOutcome) -> Iterator[CheckFact]:
    stage = seen.stage(Stage.TOKEN)
    if stage is None or stage.status is ProbeStatus.NOT_TESTED:
        return
    if stage.status is ProbeStatus.FAILED:
        hint = f"check relay.auth.token; if there is no application yet, {_REGISTER}; {_SEE}"
        yield fact_of("token", RelayProblem("m365-token", stage.detail, hint))
    elif seen.token is not None:
        yield from _claims(relay, seen.token)


def _claims(relay: Relay, token: TokenFacts) -> Iterator[CheckFact]:
    """Yield facts from the token: its audience, and what it permits."""
    until = f"valid until {token.expires:%Y-%m-%d %H:%M} UTC" if token.expires else "of unknown validity"
    if not (token.audience or token.roles or token.scopes):
        yield not_tested("token", f"{until}; its audience and roles cannot be read")
        return
    yield ok("token", until)
    audience = ", ".join(map(quoted, token.audience)) or "nobody"
    if any(one.rstrip("/").lower() in _AUDIENCES for one in token.audience):
        yield ok("audience", audience)
    else:
        message = f"the token is for {audience}, not for Exchange Online (scope {quoted(relay.token_scope)})"
        hint = f"set relay.auth.token.scope: https://outlook.office365.com/.default; {_SEE}"
        yield fact_of("audience", RelayProblem("m365-token-audience", message, hint))
    if ROLE in token.roles:
        yield ok("roles", ", ".join(token.roles))
        return
    held = f"has the roles {', '.join(token.roles)}" if token.roles else "has no role"
    held = f"is one of a user, with scopes {', '.join(token.scopes)}" if token.scopes and not token.roles else held
    yield fact_of("roles", RelayProblem("m365-token-role", f"the token {held}, not {ROLE}", f"{_GRANT}; {_SEE}"))


def _login(seen: RelayOutcome) -> Iterator[CheckFact]:
    stage, failure = seen.stage(Stage.LOGIN), seen.failure
    if stage is None or (failure and failure.stage is not Stage.LOGIN and stage.status is ProbeStatus.NOT_TESTED):
        return
    if stage.status is ProbeStatus.NOT_TESTED:
        problem = RelayProblem("m365-login-unknown", stage.detail, "give a secret that can be resolved here")
        yield not_tested("login", stage.detail, problem)
    elif stage.status is not ProbeStatus.FAILED:
        yield ok("login", stage.detail)
    elif _is_refused_for_good(stage) and seen.token is not None and ROLE in seen.token.roles:
        yield fact_of("login", RelayProblem("m365-service-principal", stage.detail, f"{_PRINCIPAL}; {_SEE}"))
    else:
        yield _report_failure(stage)


def _is_refused_for_good(stage: StageOutcome) -> bool:
    return stage.rule == "relay-login-refused" and stage.reply is not None and stage.reply.code >= 500


def _senders(seen: RelayOutcome, users: Sequence[Candidate]) -> Iterator[CheckFact]:
    """Yield the relay's replies to the senders; a refused sender is a fact about its own realms."""
    stage = seen.stage(Stage.SENDER)
    if stage is None or (stage.status is ProbeStatus.NOT_TESTED):
        return
    refused = {one.address for one in seen.senders if one.status is ProbeStatus.FAILED}
    if not refused:
        yield ok(Stage.SENDER.label, stage.detail) if stage.status is ProbeStatus.OK else _report_failure(stage)
        return
    realms = tuple(one.realm for one in users if sender_of(one.fields or {}) in refused)
    hint = (
        f"the mailbox needs the right to send as this address: set it to {quoted(seen.relay.username)}, or grant SendAs"
    )
    fact = fact_of(Stage.SENDER.label, RelayProblem("m365-sender", stage.detail, hint), field=USERNAME)
    yield replace(fact, realms=realms)
