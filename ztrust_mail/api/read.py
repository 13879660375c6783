"""The functions that write nothing to the server: plan, drift, test, pull, explain, doctor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ztrust_mail.api.linting import lint_plan
from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import fit_spec, require_server
from ztrust_mail.core.errors import Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import did_you_mean, is_selected, quoted, to_second
from ztrust_mail.linting.selection import LintOptions
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.settings import FILES
from ztrust_mail.settings.policy import Policy
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, match, resolve_entry

if TYPE_CHECKING:
    from ztrust_mail.api.pull_spec import Pulled
    from ztrust_mail.applying.resume import UnfinishedRun
    from ztrust_mail.diagnose.doctor import DoctorReport
    from ztrust_mail.diagnose.mail_test import MailTestRun
    from ztrust_mail.drift_detection.drift import Drift
    from ztrust_mail.gateways.gateway import Gateway
    from ztrust_mail.journal.records import Holder
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.providers.presets import Preset


def plan(
    spec: Spec,
    session: Session,
    *,
    realms: Sequence[str] = (),
    secrets: SecretMode = SecretMode.AUTO,
    resolve: bool = True,
    left: UnfinishedRun | None = None,
    lint: LintOptions | None = None,
) -> Plan:
    """Return what an apply would do.

    ``realms`` are globs; ``left`` limits the plan to what a run left, see :func:`find_unfinished`. References are
    resolved unless ``resolve`` is False, so that masked secrets can be compared with the journal's fingerprints.
    With ``lint`` the rules about the server are run, too, which costs one request.

    Raises :class:`ServerError` when nothing can be read, :class:`JournalError`. Errors of a single realm are part of
    the plan.
    """
    from ztrust_mail.planning.planners.from_spec import plan_selection, select_realms

    spec = fit_spec(spec, session)
    with session.journal_state_in_background() as memory:
        recall = (lambda: left.within(memory())) if left else memory
        context = session.planning_context(secrets, recall, resolve=resolve)
        selected = select_realms(spec, session.gateway, left.realms if left else realms)
        made = plan_selection(selected, session.gateway, context)
    made = lint_plan(made, spec, session, replace(selected, uncovered=()), lint)
    notes = (*session.missing_journal_note(), *lock_note(session.lock_holder()))
    return replace(made, own_findings=(*made.own_findings, *notes))


def drift(spec: Spec, session: Session, *, realms: Sequence[str] = (), lint: LintOptions | None = None) -> Drift:
    """Return how the server differs from the spec and who probably changed it. Needs no secret.

    Includes realms without an entry. With ``lint`` the rules about the server are run, too, which costs one request.
    """
    from ztrust_mail.drift_detection.drift import explain_drift
    from ztrust_mail.planning.planners.from_spec import PlanningContext, plan_selection, select_realms

    spec = fit_spec(spec, session)
    with session.journal_state_in_background() as memory:
        context = PlanningContext(policy=session.policy, moves=False)
        selected = select_realms(spec, session.gateway, realms, everything=True)
        made = lint_plan(plan_selection(selected, session.gateway, context), spec, session, selected, lint)
        holder = session.lock_holder()
        made = replace(made, own_findings=(*made.own_findings, *session.missing_journal_note(), *lock_note(holder)))
        running = holder.run if holder else None
        return explain_drift(made, memory().realms, session.gateway, selected=realms, under_way=running)


def lock_note(holder: Holder | None) -> tuple[Finding, ...]:
    """Return a note on the run that holds the lock on the server."""
    if holder is None:
        return ()
    run = f"run {holder.run}" if holder.run else "a run"
    message = f"{run} of {holder.who} is working on this server since {to_second(holder.since)}"
    return (Finding(Severity.NOTE, "under-way", message, "it may be writing now; run this again when it has ended"),)


def test(
    session: Session,
    realms: Sequence[str] = (),
    *,
    spec: Spec | None = None,
    probe: bool | ProbeOptions = True,
    progress: Callable[[int, int], None] | None = None,
    probed: Callable[[int, int], None] | None = None,
    cancel: threading.Event | None = None,
) -> MailTestRun:
    """Have the server send a test mail for each realm, from its stored settings or from a spec's.

    With ``probe``, relays of failed tests are probed from here, too, by the given options if any, and each gets a
    diagnosis. Relays of mails that were sent are probed up to the encryption, where the settings ask for STARTTLS or
    have a login: a server may send in clear text, or without logging in, and not say so.

    ``realms`` are globs; without any, all realms of the spec, or all that the account sees. The mail
    goes to the address of the account that logs in. ``progress`` is called from any thread with the numbers
    of realms that are tested and of all realms, then ``probed`` with those of relays, beginning with 0. Setting
    ``cancel`` lets the tests under way finish, and skips the rest and the probes. Raises :class:`Unsafe` before any
    mail where the policy forbids what the spec says.
    """
    from ztrust_mail.diagnose.mail_test import send_stored, send_wanted
    from ztrust_mail.gateways.capabilities import Operation, require

    gateway, spec = session.gateway, fit_spec(spec, session) if spec else None
    require(gateway, Operation.TEST if spec is None else Operation.TEST_UNSTORED)
    gateway.login()
    if spec is None:
        run = send_stored(gateway, match_realms(gateway, realms), progress, cancel=cancel)
    else:
        wanted = resolve_wanted(spec, gateway, realms)
        refuse_forbidden(session.policy, wanted, "test")
        run = send_wanted(gateway, wanted, session.secrets, progress, cancel=cancel)
    is_cancelled = cancel is not None and cancel.is_set()
    return _examine(session, run, probe, probed) if probe and not is_cancelled else run


def _examine(
    session: Session, run: MailTestRun, probe: bool | ProbeOptions, probed: Callable[[int, int], None] | None
) -> MailTestRun:
    from ztrust_mail.diagnose.diagnosis import Examiner
    from ztrust_mail.probing.options import ProbeOptions

    options = ProbeOptions() if isinstance(probe, bool) else probe
    return Examiner(session.gateway, session.secrets, session.opened.redactor, options).examine(run, probed)


test.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it wherever it is imported


def refuse_forbidden(policy: Policy, wanted: Iterable[Desired], what: str) -> None:
    """Raise :class:`Unsafe` where the policy forbids what is wanted: a test and a probe send the password, too."""
    from ztrust_mail.planning.policy_check import violations

    found = [f for one in wanted for f in violations(policy, one)]
    if found:
        first, more = found[0], f" (and {len(found) - 1:,} more)" if found[1:] else ""
        raise Unsafe(f"the policy forbids this {what}: {first.message}{more}", first.hint, first.rule)


def match_realms(gateway: Gateway, globs: Sequence[str]) -> list[str]:
    """Return the exact names, and the realms on the server that the globs match."""
    exact = [glob for glob in globs if "*" not in glob and "?" not in glob]
    if globs and len(exact) == len(globs):
        return exact
    _require_list(gateway)
    live = gateway.realms()
    found = [realm for realm in live if is_selected(realm, globs)]
    if not found:
        raise UsageError("no realm matches", _suggest(globs, live) or "check the names and the account's rights")
    return list(dict.fromkeys([*exact, *found]))


def _suggest(globs: Sequence[str], names: Iterable[str]) -> str:
    return did_you_mean(globs[0], names) if globs else ""


def _require_list(gateway: Gateway) -> None:
    if not gateway.capabilities.list_realms:
        raise UsageError(f"{gateway.title} gives no list of its realms", "name each realm in full")


def resolve_wanted(spec: Spec, gateway: Gateway, globs: Sequence[str]) -> list[Desired]:
    """Return the desired settings of the spec's realms that the globs select. Raises :class:`UsageError` if none."""
    matching = match(spec, gateway.realms() if spec.globs else ())
    chosen = {r: e for r, e in matching.entries.items() if is_selected(r, globs)}
    if not chosen:
        hint = _suggest(globs, [entry.name for entry in spec.entries]) or "check the names given"
        raise UsageError("no realm of the spec matches", hint)
    ties = matching.ties
    return [
        Desired(realm, entry, findings=(ties[realm],)) if realm in ties else resolve_entry(spec, entry, realm)
        for realm, entry in chosen.items()
    ]


def pull(session: Session, realms: Sequence[str] = (), *, factor: bool = False) -> Pulled:
    """Return live settings as spec entries; ``factor`` moves the values that all realms share into the defaults.

    ``realms`` are globs. Raises :class:`UsageError` where the account sees none of them, or
    where the product does not show settings.
    """
    from ztrust_mail.api.pull_spec import pull as pull_entries
    from ztrust_mail.gateways.capabilities import Operation, require
    from ztrust_mail.planning.planners.from_spec import find_unmatched

    gateway = session.gateway
    require(gateway, Operation.PULL)
    exact = bool(realms) and not any("*" in glob or "?" in glob for glob in realms)
    if not exact:
        _require_list(gateway)
    gateway.login()
    reading = gateway.read(realms if exact else (), everything=not exact)
    names = [r for r in sorted(reading.realms) if is_selected(r, realms)]
    if not names:
        hint = _suggest(realms, reading.realms) or "check the names and the account's rights"
        raise UsageError("no realm matches", hint)
    pulled = pull_entries(gateway.dialect, {name: reading.realms[name] for name in names}, factor=factor)
    return replace(pulled, findings=(*find_unmatched(realms, names, of=""), *pulled.findings))


def explain(spec: Spec, realm: str) -> Desired:
    """Return the settings of one realm with the place where each value is defined; offline.

    Raises :class:`UsageError` where no entry covers the realm, and where the spec has entries for certain servers and
    is not fitted to one by :func:`fit_spec`.
    """
    require_server(spec)
    matching = match(spec, [realm])
    entry = matching.entries.get(realm)
    if entry is None:
        hint = did_you_mean(realm, [e.name for e in spec.entries]) or "add an entry, or a glob that matches it"
        if elsewhere := next((e for e in spec.written if e.name == realm and e.limit), None):
            hint = f"the one at {elsewhere.location} is for other servers: {elsewhere.limit}"
        raise UsageError(f"no entry of the spec covers the realm {quoted(realm)}", hint)
    if tie := matching.ties.get(realm):
        return Desired(realm, entry, findings=(tie,))
    return resolve_entry(spec, entry, realm)


def doctor(
    session: Session, realms: Sequence[str] = (), progress: Callable[[int, int], None] | None = None
) -> DoctorReport:
    """Check connection, login and permissions; return each answer with a hint for what fails.

    ``progress`` is called from any thread with the numbers of realms that are checked and of all realms.
    """
    from ztrust_mail.diagnose.doctor import examine, examine_files

    if session.server.gateway == FILES:
        return examine_files(session.server, realms)
    return examine(session.server, session.gateway, realms, progress)


def presets(name: str | None = None) -> tuple[Preset, ...]:
    """Return the mail providers that a spec can name as ``relay.preset``, or only the one with a name; offline.

    Raises :class:`UsageError` for an unknown name.
    """
    from ztrust_mail.providers.presets import all_presets, look_up

    return all_presets() if name is None else (look_up(name),)
