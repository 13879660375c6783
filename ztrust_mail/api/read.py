"""The functions that write nothing to the server: plan, drift, test, pull, doctor, compare, servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from ztrust_mail import settings as config
from ztrust_mail.api.linting import lint_plan
from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import fit_spec
from ztrust_mail.core.errors import Unsafe, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import did_you_mean, is_glob, is_selected, quoted, to_second
from ztrust_mail.linting.selection import LintOptions
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.settings.policy import Policy
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, match

if TYPE_CHECKING:
    from ztrust_mail.api.pull_spec import Pulled
    from ztrust_mail.applying.resume import UnfinishedRun
    from ztrust_mail.diagnose.doctor import DoctorReport
    from ztrust_mail.diagnose.mail_test import MailTestRun
    from ztrust_mail.diagnose.servers import ServerList
    from ztrust_mail.drift_detection.drift import Drift
    from ztrust_mail.gateways.gateway import Gateway
    from ztrust_mail.journal.records import Holder
    from ztrust_mail.planning.differences import ServerDiff, Side
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.probing.options import ProbeOptions


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

    ``realms`` are globs; ``left`` limits the plan to the realms that a run left, see :func:`find_unfinished`.
    References are resolved unless ``resolve`` is False, so that masked secrets can be compared with the journal's
    fingerprints. With ``lint`` the rules about the server are run, too, which costs one request.

    Raises :class:`ServerError` when nothing can be read, :class:`JournalError`. Errors of a single realm are part of
    the plan.
    """
    from ztrust_mail.planning.planners.from_spec import find_named, plan_selection, select_realms

    spec, realms = fit_spec(spec, session), left.realms if left else realms
    with session.journal_state_in_background(find_named(spec, realms)) as memory:
        recall = (lambda: left.within(memory())) if left else memory
        context = session.planning_context(secrets, recall, resolve=resolve)
        selected = select_realms(spec, session.gateway, realms)
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

    With ``probe``, relays of failed tests are also probed from here, with the given options if any, and diagnosed.
    Relays of delivered mails are probed up to the encryption if the settings ask for STARTTLS or have a login: a server
    may silently send in clear, or without logging in.

    ``realms`` are globs; without any, all realms of the spec, or all that the account sees. The mail
    goes to the address of the account that logs in. ``progress`` is called from any thread with the number of realms
    tested and in total, then ``probed`` with those of relays, starting with 0. Setting ``cancel`` lets tests in
    progress finish, and skips the rest and the probes. Raises :class:`Unsafe` before any mail if the policy forbids
    what the spec says.
    """
    from ztrust_mail.diagnose.mail_test import send_stored, send_wanted
    from ztrust_mail.gateways.capabilities import Operation, require

    gateway, spec = session.gateway, fit_spec(spec, session) if spec else None
    require(gateway, Operation.TEST if spec is None else Operation.TEST_UNSTORED)
    gateway.login()
    if spec is None:
        run = send_stored(gateway, match_realms(gateway, realms), progress, cancel=cancel)
    else:
        wanted = resolve_wanted(spec, gateway.realms() if spec.globs else (), realms)
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
    """Raise :class:`Unsafe` if the policy forbids the settings: tests and probes send the password too."""
    from ztrust_mail.planning.policy_check import violations

    found = [f for one in wanted for f in violations(policy, one)]
    if found:
        first, more = found[0], f" (and {len(found) - 1:,} more)" if found[1:] else ""
        raise Unsafe(f"the policy forbids this {what}: {first.message}{more}", first.hint, first.rule)


def match_realms(gateway: Gateway, globs: Sequence[str]) -> list[str]:
    """Return the exact names, and the realms on the server that the globs match."""
    exact = [name for name in globs if not is_glob(name)]
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


def resolve_wanted(spec: Spec, known: Sequence[str], globs: Sequence[str]) -> list[Desired]:
    """Return the desired settings of the spec's realms that the globs select. Raises :class:`UsageError` if none.

    The globs of the spec match the ``known`` realms.
    """
    matching = match(spec, known)
    chosen = [realm for realm in matching.entries if is_selected(realm, globs)]
    if not chosen:
        hint = _suggest(globs, [entry.name for entry in spec.entries]) or "check the names given"
        raise UsageError("no realm of the spec matches", hint)
    return [matching.resolve(spec, realm) for realm in chosen]


def pull(session: Session, realms: Sequence[str] = (), *, factor: bool = False) -> Pulled:
    """Return live settings as spec entries; ``factor`` moves values shared by all realms into the defaults.

    ``realms`` are globs. Raises :class:`UsageError` if the account sees none of them, or
    if the product does not show settings.
    """
    from ztrust_mail.api.pull_spec import pull as pull_entries
    from ztrust_mail.gateways.capabilities import Operation, require
    from ztrust_mail.planning.planners.from_spec import find_unmatched

    gateway = session.gateway
    require(gateway, Operation.PULL)
    exact = bool(realms) and not any(map(is_glob, realms))
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


def doctor(
    session: Session, realms: Sequence[str] = (), progress: Callable[[int, int], None] | None = None
) -> DoctorReport:
    """Check connection, login and permissions; return each answer with a hint for what fails.

    ``progress`` is called from any thread with the numbers of realms that are checked and of all realms.
    """
    from ztrust_mail.diagnose.doctor import examine, examine_files

    if session.server.gateway == config.FILES:
        return examine_files(session.server, realms)
    return examine(session.server, session.gateway, realms, progress)


def compare(first: Session, second: Session, *, spec: Spec | None = None, realms: Sequence[str] = ()) -> ServerDiff:
    """Compare the e-mail settings of two servers, realm by realm. Writes nothing.

    ``realms`` are globs; a ``spec`` limits the comparison to the realms that it has on one of the servers. Masked
    secrets are compared by the journal's fingerprints, if both sessions use the same journal. Themes and texts are not
    compared. Raises :class:`ServerError` if a server cannot be read, :class:`UsageError` for a product that does not
    show settings, and for one server given twice.
    """
    from ztrust_mail.gateways.capabilities import Operation, require
    from ztrust_mail.planning.differences import compare_sides

    if first.gateway.url == second.gateway.url:
        message = f"both servers are {quoted(first.gateway.url, 255)}"
        raise UsageError(message, "give two different ones: --server NAME --server NAME")
    for session in (first, second):
        require(session.gateway, Operation.PULL)
    sessions = (first, second)
    with ThreadPoolExecutor(2) as pool:
        chosen = list(pool.map(lambda session: _choose_realms(session, spec, realms), sessions))
        names = None if chosen[0][0] is None else list(dict.fromkeys(name for one, _ in chosen for name in one or ()))
        one, other = pool.map(lambda session: _read_side(session, names), sessions)
    if not one.realms and not other.realms:
        raise UsageError("no realm to compare", "check the names and the accounts' rights")
    same = first.journal_url == second.journal_url
    found = tuple(dict.fromkeys(finding for _, several in chosen for finding in several))
    return compare_sides(one, other, globs=realms, same_journal=same, found=found)


def _choose_realms(
    session: Session, spec: Spec | None, globs: Sequence[str]
) -> tuple[list[str] | None, tuple[Finding, ...]]:
    """Return the realms of the spec on one server, or those named in full, None for all; and the spec's warnings."""
    gateway = session.gateway
    if spec is not None:
        spec = fit_spec(spec, session)
    gateway.login()
    if spec is not None:
        matching = match(spec, gateway.realms() if spec.globs else ())
        return [name for name in matching.entries if is_selected(name, globs)], spec.warnings
    is_exact = bool(globs) and not any(map(is_glob, globs))
    return list(dict.fromkeys(globs)) if is_exact else None, ()


def _read_side(session: Session, names: Sequence[str] | None) -> Side:
    from ztrust_mail.planning.differences import read_side

    side = read_side(session.gateway, session.server.name, session.memory(), names)
    if names is None and not side.is_whole:  # else each realm would seem to be on the other server only
        message = f"{quoted(side.name, 255)} lists no realms to this account"
        raise UsageError(message, "name the realms by --realm or by a spec, or give the account the role view-realm")
    return side


def servers(
    labels: Mapping[str, str] | None = None,
    *,
    check: bool = False,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> ServerList:
    """Return the servers in the settings that have all of these labels; with ``check``, log in to each.

    Without ``check`` nothing is sent, and no secret is resolved. Raises :class:`ConfigError` if the settings as a
    whole cannot be read, and :class:`UsageError` for a label that no server has. An entry that is broken is listed with
    its problem.
    """
    from ztrust_mail.diagnose.servers import ServerList, check_servers
    from ztrust_mail.settings.inventory import list_servers, report_servers, select_servers

    environ = config.Environment(environ)
    settings = config.load(config_path, environ)
    chosen = select_servers(list_servers(settings, environ), labels or {})
    findings = (*settings.findings, *report_servers(chosen))
    return ServerList(chosen, findings, check_servers(chosen) if check else {})
