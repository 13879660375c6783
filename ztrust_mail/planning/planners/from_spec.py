"""Plans from a spec: reads the server, compares it with the desired settings, and asks the journal about secrets."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ztrust_mail.core.errors import RealmError, RealmMissing, RealmUnreadable, ServerError, UsageError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.core.text import did_you_mean, glob_matches, is_selected, quoted
from ztrust_mail.gateways.gateway import NOT_SEEN, Gateway, LiveRealm, Reading, add_templates
from ztrust_mail.journal.records import JournalState
from ztrust_mail.linting.lint import find_in_realm
from ztrust_mail.planning.compare import SecretMode, compare, fit_to_product
from ztrust_mail.planning.plan import Plan, RealmPlan, Status, finding_of
from ztrust_mail.planning.policy_check import violations
from ztrust_mail.planning.safety import notices
from ztrust_mail.planning.secret_state import judge_secrets, note_needed_secrets
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings.policy import Policy
from ztrust_mail.specfile.entries import Entry, Spec
from ztrust_mail.specfile.resolve import Desired, Matching, match, resolve_entry


def not_seen(gateway: Gateway) -> tuple[Finding, ...]:
    """Return a warning if the server does not show its settings, so that the plan compares with the journal."""
    if gateway.capabilities.read:
        return ()
    message = f"live settings are unknown: {gateway.title} does not show them; compared with the last applied ones"
    hint = "changes made by others or applied with another journal are not detected"
    return (Finding(Severity.WARNING, NOT_SEEN, message, hint),)


@dataclass(frozen=True)
class PlanningContext:
    """What planning needs besides the server: the settings' policy, the journal's state and the secret store.

    Without a store no reference is resolved. ``memory`` returns the journal's state; it is called after the server was
    read. ``moves`` turns on the warnings about relays and senders that move to another domain.
    """

    mode: SecretMode = SecretMode.AUTO
    policy: Policy = field(default_factory=Policy)
    memory: Callable[[], JournalState] = JournalState
    secrets: SecretStore | None = None
    moves: bool = True


_MOST_SUGGESTIONS = 20  # more missing realms are no typing mistakes
_CASE_SENSITIVE = "realm names are case-sensitive"


@dataclass(frozen=True)
class Selection:
    """The desired settings of the realms of a plan, with the read of the server that selected them.

    ``reading`` has all realms that were read. ``findings`` are about the spec and the choice of realms. ``is_listed``
    tells whether the list of all realms was requested.
    """

    wanted: tuple[Desired, ...]
    reading: Reading
    matching: Matching
    findings: tuple[Finding, ...] = ()
    uncovered: tuple[str, ...] = ()
    is_listed: bool = False


def select_realms(spec: Spec, gateway: Gateway, realms: Sequence[str] = (), *, everything: bool = False) -> Selection:
    """Read the server and return the desired settings of each realm.

    ``realms`` are globs that limit the selection. ``everything`` also reads the realms without an entry, and permits
    an empty selection; the caller then reports globs that match nothing. Raises :class:`UsageError` when the
    globs leave nothing otherwise, ``ServerError`` when nothing can be read.
    """
    gateway.login()
    spec, named = _narrow(spec, realms)
    exact = [entry.name for entry in spec.entries if not entry.is_glob and is_selected(entry.name, realms)]
    listing = bool(spec.globs) or (everything and not named)
    entry_names = [entry.name for entry in spec.entries]
    if not exact and not listing:
        nothing_selected(realms, entry_names)
    reading = suggest_names(gateway, gateway.read(exact, everything=listing), exact)
    matching = match(spec, [r for r, live in reading.realms.items() if not isinstance(live, RealmMissing)])
    chosen = {realm: entry for realm, entry in matching.entries.items() if is_selected(realm, realms)}
    if not chosen and not everything:
        nothing_selected(realms, [*entry_names, *matching.entries])
    findings = [*spec.warnings, *matching.findings, *(() if everything else find_unmatched(realms, chosen))]
    if listing and not reading.complete:
        findings.append(_no_list(spec, gateway))
    return Selection(
        tuple(_resolve(spec, entry, realm, matching) for realm, entry in chosen.items()),
        reading,
        matching,
        tuple(findings),
        tuple(realm for realm in matching.uncovered if is_selected(realm, realms)) if listing else (),
        listing,
    )


def find_named(spec: Spec, realms: Sequence[str] = ()) -> tuple[str, ...] | None:
    """Return all realms that :func:`select_realms` may select, None if the server's list decides."""
    if realms and not any("*" in one or "?" in one for one in realms):
        return tuple(realms)
    return None if spec.globs else tuple(entry.name for entry in spec.entries)


def plan_selection(selection: Selection, gateway: Gateway, means: PlanningContext) -> Plan:
    """Compare the desired settings of the selected realms with the server."""
    globs = selection.matching.globs
    held_back = {g.entry.name for g in globs if g.count < g.entry.expect_min}
    made = plan_wanted(selection.wanted, gateway, means, reading=selection.reading, held_back=held_back)
    return replace(
        made,
        globs=globs,
        uncovered=selection.uncovered,
        own_findings=(*selection.findings, *made.own_findings),
        listed=selection.is_listed and selection.reading.complete,
    )


def plan_wanted(
    wanted: Sequence[Desired],
    gateway: Gateway,
    means: PlanningContext,
    *,
    reading: Reading | None = None,
    held_back: frozenset[str] | set[str] = frozenset(),
) -> Plan:
    """Compare the desired settings of each realm with the server, which is read unless ``reading`` is given.

    Realms of the entries in ``held_back`` are skipped.
    """
    if reading is None:
        gateway.login()
        reading = gateway.read([one.realm for one in wanted], everything=False)
    reading = add_templates(gateway, reading, {one.realm: gateway.dialect.template_names(one.fields) for one in wanted})
    planned = [_plan_realm(gateway, one, reading.realms[one.realm], means, held_back) for one in wanted]
    planned = judge_secrets(planned, gateway.dialect, means.mode, means.memory(), means.secrets)
    planned = note_needed_secrets(planned, gateway, means.mode)
    plan = Plan(
        gateway.url, gateway.account(with_email=False), tuple(planned), means.mode, resolves=bool(means.secrets)
    )
    return replace(plan, own_findings=(*not_seen(gateway), *(notices(plan) if means.moves else ())))


def _resolve(spec: Spec, entry: Entry, realm: str, matching: Matching) -> Desired:
    """Return the desired settings of a realm; a tie between two globs is one of its findings."""
    wanted = resolve_entry(spec, entry, realm)
    tie = matching.ties.get(realm)
    return replace(wanted, findings=(*wanted.findings, tie)) if tie else wanted


def _narrow(spec: Spec, realms: Sequence[str]) -> tuple[Spec, bool]:
    """Return the spec limited to the named realms, and True, if each of ``realms`` is the name of an entry."""
    entries = tuple(entry for entry in spec.entries if entry.name in realms and not entry.is_glob)
    if realms and len(entries) == len(set(realms)):
        return replace(spec, entries=entries), True
    return spec, False


def suggest_names(gateway: Gateway, reading: Reading, exact: Collection[str]) -> Reading:
    """Return the reading, in which a missing realm has the hint of a live one with a similar name and no entry.

    If the server was not asked for its list, it is now, as far as it gives one.
    """
    missing = {realm: live for realm, live in reading.realms.items() if isinstance(live, RealmMissing)}
    if not missing or len(missing) > _MOST_SUGGESTIONS or not gateway.capabilities.list_realms:
        return reading
    try:
        live = reading.realms if reading.complete else gateway.realms()
    except (RealmError, ServerError):  # a missing suggestion must not stop a plan
        return reading
    free = set(live) - set(exact)
    hints = {realm: did_you_mean(realm, free) for realm in missing}
    meant = {r: RealmMissing(e.message, f"{hints[r]} Else {e.hint}", e.rule) for r, e in missing.items() if hints[r]}
    return replace(reading, realms={**reading.realms, **meant})


def nothing_selected(globs: Sequence[str], names: Iterable[str] = ()) -> None:
    """Raise :class:`UsageError` if there are globs; called when no realm matches them. ``names`` may be meant."""
    if globs:
        wanted = " or ".join(quoted(glob) for glob in globs)
        raise UsageError(f"no realm of the spec matches --realm {wanted}", _suggest(globs[0], names))


def find_unmatched(globs: Sequence[str], realms: Collection[str], of: str = " of the spec") -> list[Finding]:
    """Return a warning for each glob that matches none of the realms."""
    return [
        Finding(Severity.WARNING, "no-match", f"no realm{of} matches --realm {quoted(glob)}", _suggest(glob, realms))
        for glob in dict.fromkeys(globs)
        if glob not in realms and not any(glob_matches(glob, realm) for realm in realms)
    ]


def _suggest(glob: str, names: Iterable[str]) -> str:
    return did_you_mean(glob, names) or _CASE_SENSITIVE


def _no_list(spec: Spec, gateway: Gateway) -> Finding:
    severity = Severity.ERROR if spec.globs else Severity.WARNING
    so = "globs match nothing" if spec.globs else "realms without an entry are not reported"
    if not gateway.capabilities.list_realms:
        severity, hint = (severity, "name each realm in full") if spec.globs else (Severity.NOTE, "")
        return Finding(severity, "no-realm-list", f"{gateway.title} does not list its realms, so {so}", hint)
    message = f"the server lists no realms to this account, so {so}"
    hint = "give the account the role view-realm in its realms; if it has the role, see the server's log"
    return Finding(severity, "no-realm-list", message, hint)


def _plan_realm(
    gateway: Gateway,
    wanted: Desired,
    live: LiveRealm | RealmError,
    means: PlanningContext,
    held_back: frozenset[str] | set[str],
) -> RealmPlan:
    realm = wanted.realm
    if isinstance(live, RealmError):
        status = {RealmMissing: Status.MISSING, RealmUnreadable: Status.UNREADABLE}.get(type(live), Status.FAILED)
        return RealmPlan(realm, status, wanted, findings=(finding_of(live, realm), *wanted.findings))
    if wanted.findings:
        return RealmPlan(realm, Status.FAILED, wanted, live, findings=wanted.findings)
    if wanted.entry.name in held_back:
        return RealmPlan(realm, Status.SKIPPED, wanted, live)
    wanted, unfit = fit_to_product(gateway, wanted)
    if has_errors(unfit):
        return RealmPlan(realm, Status.FAILED, wanted, live, findings=unfit)
    difference = compare(gateway.dialect, wanted, live.attributes, means.mode)
    status = Status.CHANGED if difference.changes else Status.IN_SYNC
    forbidden = violations(means.policy, wanted)
    findings = (*find_in_realm(wanted), *unfit, *forbidden)
    return RealmPlan(realm, status, wanted, live, difference, findings, forbidden=forbidden)
