"""The verbs ``probe`` and ``check``: the client's own look at relays, and whom a switch would affect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from ztrust_mail import settings as config
from ztrust_mail.api.read import match_realms, refuse_forbidden, resolve_wanted
from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import fit_spec, require_server
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.text import did_you_mean, is_glob, quoted
from ztrust_mail.gateways.gateway import Gateway, LiveRealm
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.secrets.sources import GivenSecrets, Reach, Secrets
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings.policy import Policy
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired

if TYPE_CHECKING:
    from ztrust_mail.kits.kit import Candidate
    from ztrust_mail.kits.m365 import M365Kit
    from ztrust_mail.kits.result import CheckRun
    from ztrust_mail.kits.sender import SenderKit
    from ztrust_mail.kits.starttls import StarttlsKit
    from ztrust_mail.probing.kubernetes_job import JobPlace
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.relay import Relay
    from ztrust_mail.probing.run import Job, ProbeRun

KITS = ("starttls", "m365-oauth", "sender")
"""The names of all checks."""


def probe(
    session: Session | None = None,
    realms: Sequence[str] = (),
    *,
    spec: Spec | None = None,
    relay: Relay | None = None,
    options: ProbeOptions | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
    secrets: Secrets | GivenSecrets | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeRun:
    """Probe relays from this machine, stage by stage, and return the result of each stage.

    Probes one ``relay``, the relays of a ``spec``, or those of live realms. ``realms`` are globs, as for
    :func:`ztrust_mail.test`. A spec without globs needs no session; ``config_path``, ``environ`` and ``secrets`` then
    are those of :func:`ztrust_mail.connect`. Realms with the same relay and login are probed once. ``progress`` is
    called from any thread with the number of realms done and in total. Sends no mail unless the options say so. Raises
    :class:`UsageError`, and :class:`Unsafe` if the policy forbids what the spec says.
    """
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.run import probe_given, probe_realms

    environ, secrets = config.Environment(environ), GivenSecrets(secrets)  # else an exception would show them
    options = options or ProbeOptions()
    access = _secret_access(session, config_path, environ, secrets)
    if relay is not None:
        return probe_given(relay, options, access.store, access.redactor)
    url, jobs = _jobs_of(session, realms, spec, access.policy)
    return probe_realms(url, jobs, options, access.store, access.redactor, progress)


def write_probe_jobs(
    session: Session | None = None,
    realms: Sequence[str] = (),
    *,
    spec: Spec | None = None,
    relay: Relay | None = None,
    options: ProbeOptions | None = None,
    place: JobPlace | None = None,
) -> str:
    """Return Kubernetes jobs in YAML that run the probes of :func:`probe` next to the server, one per relay.

    Resolves no secrets and connects to no relay: the jobs name a Kubernetes secret, see :class:`JobPlace`.
    """
    from ztrust_mail.probing.kubernetes_job import JobPlace, write_jobs
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.relay import Relay, relay_of, sender_of

    options, place = options or ProbeOptions(), place or JobPlace()
    if relay is not None:
        return write_jobs({relay: ()}, options, place)
    senders: dict[Relay, list[str]] = {}
    _, jobs = _jobs_of(session, realms, spec, session.policy if session else Policy())
    for realm, job in jobs.items():
        if isinstance(job, Mapping) and isinstance(found := relay_of(realm, job), Relay):
            senders.setdefault(found, []).append(sender_of(job))
    if not senders:
        raise UsageError("no realm has a relay that can be probed", "see them one by one: ztrust-mail probe")
    return write_jobs(senders, options, place)


@dataclass(frozen=True)
class CheckOptions:
    """Options of a check. ``probe`` is for checks that probe relays; the check sets its ``until``.

    ``resolver`` is the name server for ``sender``, such as ``192.0.2.53:53``; by default those of the system. ``hosts``
    are globs of further hosts that count as Microsoft 365.
    """

    probe: ProbeOptions | None = None
    resolver: str = ""
    hosts: tuple[str, ...] = ()


def check(
    kit: str,
    session: Session | None = None,
    realms: Sequence[str] = (),
    *,
    spec: Spec | None = None,
    options: CheckOptions | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
    secrets: Secrets | GivenSecrets | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckRun:
    """Check realms before a switch, and return the problems of each. Writes nothing and sends no mail.

    ``kit`` is ``starttls``, ``m365-oauth`` or ``sender``. Checks the realms of a ``spec``, or live ones; with both,
    ``m365-oauth`` also finds live realms that still log in with a password. The other arguments are those of
    :func:`ztrust_mail.probe`. Raises :class:`UsageError`, also if an extra is missing.
    """
    from ztrust_mail.kits.kit import CheckContext
    from ztrust_mail.probing.options import ProbeOptions

    environ, secrets = config.Environment(environ), GivenSecrets(secrets)  # else an exception would show them
    options = options or CheckOptions()
    chosen = _find_kit(kit, options)
    access = _secret_access(session, config_path, environ, secrets)
    candidates = _candidates(session, realms, spec, access.policy, with_live=chosen.needs_live)
    done = _Counter(progress, len(candidates)).add
    given = CheckContext(options.probe or ProbeOptions(), access.store, access.redactor, done)
    return chosen.run(session.server.url if session else "", candidates, given)


def _find_kit(name: str, options: CheckOptions) -> StarttlsKit | M365Kit | SenderKit:
    """Return a kit by its name; each is imported only when needed."""
    if name == "starttls":
        from ztrust_mail.kits.starttls import StarttlsKit

        return StarttlsKit()
    if name == "m365-oauth":
        from ztrust_mail.kits.m365 import HOSTS, M365Kit

        return M365Kit((*HOSTS, *options.hosts))
    if name == "sender":
        from ztrust_mail.kits.dns_client import parse_resolver
        from ztrust_mail.kits.sender import SenderKit

        server = parse_resolver(options.resolver)
        return SenderKit(server, options.probe.deadline) if options.probe else SenderKit(server)
    hint = did_you_mean(name, KITS) or f"checks: {', '.join(KITS)}"
    raise UsageError(f"unknown check {quoted(name)}", hint)


def _candidates(
    session: Session | None, realms: Sequence[str], spec: Spec | None, policy: Policy, *, with_live: bool
) -> list[Candidate]:
    """Return the realms to check: those of the spec, and with ``with_live`` those of the server too."""
    from ztrust_mail.kits.kit import Candidate

    if spec is None:
        if session is None:
            raise UsageError("there is nothing to check", "give a spec, or a session with a server")
        stored = _stored_jobs(session.gateway, realms)
        return [Candidate(realm, job, is_in_spec=False) for realm, job in stored.items()]
    wanted = _resolve_spec(spec, session, realms, log_in=True)
    refuse_forbidden(policy, wanted, "check")
    names = {one.realm for one in wanted}
    live = _live_jobs(session, realms, sorted(names)) if session and with_live else {}
    found = [Candidate(one.realm, _job_of(one), live.get(one.realm), one.origins, one.entry.location) for one in wanted]
    others = {realm: job for realm, job in live.items() if realm not in names}
    return [*found, *(Candidate(realm, job, job, is_in_spec=False) for realm, job in others.items())]


def _live_jobs(session: Session, realms: Sequence[str], names: Sequence[str]) -> Mapping[str, Job]:
    """Return the settings of all selected realms, or of the spec's realms if the server provides no list."""
    can_list = session.gateway.capabilities.list_realms and bool(session.gateway.realms())
    return _stored_jobs(session.gateway, realms if can_list else names)


class _Counter:
    """Counts realms that are done, for any number of threads."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._total, self._done, self._lock = progress, total, 0, Lock()

    def add(self, realms: int) -> None:
        """Report that so many more realms are done."""
        with self._lock:
            self._done += realms
            if self._progress:
                self._progress(self._done, self._total)


@dataclass(frozen=True, repr=False)
class _SecretAccess:
    """What probes and checks work with: the policy for specs, the secrets, and what keeps them out of texts."""

    policy: Policy
    store: SecretStore
    redactor: Redactor


def _secret_access(
    session: Session | None, path: str | None, environ: config.Environment, secrets: GivenSecrets
) -> _SecretAccess:
    """Return what the session has; without one, only the relay that a spec names receives a secret."""
    if session is not None:
        return _SecretAccess(session.policy, session.secrets, session.opened.redactor)
    found, redactor = config.load(path, environ), Redactor()
    reach = Reach(found.permissions, found.paths, environ.reveal(), given=secrets)
    return _SecretAccess(found.policy, SecretStore(reach, redactor), redactor)


def _jobs_of(
    session: Session | None, realms: Sequence[str], spec: Spec | None, policy: Policy
) -> tuple[str, dict[str, Job]]:
    """Return the server's URL, and what to probe by realm."""
    if spec is not None:
        wanted = _resolve_spec(spec, session, realms, log_in=False)
        refuse_forbidden(policy, wanted, "probe")
        return session.server.url if session else "", {one.realm: _job_of(one) for one in wanted}
    if session is None:
        raise UsageError("there is nothing to probe", "give a relay, a spec, or a session with a server")
    return session.server.url, _stored_jobs(session.gateway, realms)


def _resolve_spec(spec: Spec, session: Session | None, globs: Sequence[str], *, log_in: bool) -> list[Desired]:
    """Return what a spec wants of its realms; without a server, of those with entries of their own or named in full."""
    if session is not None:
        spec = fit_spec(spec, session)
        if log_in or spec.globs:
            session.gateway.login()
        return resolve_wanted(spec, session.gateway.realms() if spec.globs else (), globs)
    require_server(spec)
    exact = [name for name in globs if not is_glob(name)]
    if spec.globs and len(exact) < max(len(globs), 1):
        message = f"the spec has globs, such as {spec.globs[0].name}, and only a server knows which realms they match"
        raise UsageError(message, "choose a server by --server, or name the realms in full")
    return resolve_wanted(spec, exact, globs)


def _job_of(wanted: Desired) -> FieldMap | Finding | None:
    """Return a realm's settings in a spec, the reason if there are none, or None for a realm without e-mail."""
    if wanted.findings:
        return wanted.findings[0]
    return None if wanted.disabled else wanted.fields


def _stored_jobs(gateway: Gateway, realms: Sequence[str]) -> dict[str, Job]:
    """Return the settings on the server, with its defaults for absent attributes."""
    from ztrust_mail.planning.planners.from_spec import suggest_names
    from ztrust_mail.probing.relay import settings_of

    gateway.login()
    names = list(dict.fromkeys(match_realms(gateway, realms)))
    found = suggest_names(gateway, gateway.read(names, everything=False), names).realms
    jobs: dict[str, Job] = {}
    for name in names:
        live = found[name]
        if isinstance(live, LiveRealm):
            jobs[name] = settings_of(gateway.dialect, live.attributes) if live.attributes else None
        else:
            jobs[name] = live
    return jobs
