"""The verb ``probe``: the client's own look at relays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ztrust_mail import settings as config
from ztrust_mail.api.read import match_realms, refuse_forbidden, resolve_wanted
from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import fit_spec, require_server
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.text import did_you_mean, is_selected
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.secrets.sources import GivenSecrets, Reach, Secrets
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings.policy import Policy
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, match, resolve_entry

if TYPE_CHECKING:
    from ztrust_mail.gateways.gateway import Gateway
    from ztrust_mail.probing.kubernetes_job import JobPlace
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.relay import Relay
    from ztrust_mail.probing.run import Job, ProbeRun


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
    """Look at relays from this machine, stage by stage, and return what each stage found.

    Probes one ``relay``, the relays of a ``spec``, or those of live realms. ``realms`` are globs, as for
    :func:`ztrust_mail.test`. A spec without globs needs no session; ``config_path``, ``environ`` and ``secrets`` then
    are those of :func:`ztrust_mail.connect`. Realms with the same relay and login are probed once. ``progress`` is
    called from any thread with the numbers of realms that are done and of all realms. Sends no mail unless the
    options say so. Raises :class:`UsageError`, and :class:`Unsafe` where the policy forbids what the spec says.
    """
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.run import probe_given, probe_realms

    environ, secrets = config.Environment(environ), GivenSecrets(secrets)  # else an exception would show them
    options = options or ProbeOptions()
    if session is None:
        access = SecretAccess.from_settings(config_path, environ, secrets)
    else:
        access = SecretAccess(session.policy, session.secrets, session.opened.redactor)
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
    """Return Kubernetes jobs as YAML that make the probes of :func:`probe` next to the server, one for each relay.

    Resolves no secret and looks at no relay: the jobs name a Kubernetes secret, see :class:`JobPlace`.
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


@dataclass(frozen=True, repr=False)
class SecretAccess:
    """What probes and checks work with: the policy for specs, the secrets, and what keeps them out of texts."""

    policy: Policy
    store: SecretStore
    redactor: Redactor

    @classmethod
    def from_settings(cls, path: str | None, environ: config.Environment, secrets: GivenSecrets) -> SecretAccess:
        """Return them without a server: only the relay that a spec names receives a secret."""
        found, redactor = config.load(path, environ), Redactor()
        reach = Reach(found.permissions, found.paths, environ.reveal(), given=secrets)
        return cls(found.policy, SecretStore(reach, redactor), redactor)


def _jobs_of(
    session: Session | None, realms: Sequence[str], spec: Spec | None, policy: Policy
) -> tuple[str, dict[str, Job]]:
    """Return the server's URL, and what to probe by realm."""
    if spec is None:
        if session is None:
            raise UsageError("there is nothing to probe", "give a relay, a spec, or a session with a server")
        return session.server.url, stored_jobs(session.gateway, realms)
    if session is None:
        require_server(spec)
        wanted = resolve_offline(spec, realms)
    else:
        spec = fit_spec(spec, session)
        if spec.globs:
            session.gateway.login()
        wanted = resolve_wanted(spec, session.gateway, realms)
    refuse_forbidden(policy, wanted, "probe")
    return session.server.url if session else "", {one.realm: job_of(one) for one in wanted}


def job_of(wanted: Desired) -> FieldMap | Finding | None:
    """Return the settings that a spec wants of a realm, why there are none, or None for a realm without e-mail."""
    if wanted.findings:
        return wanted.findings[0]
    return None if wanted.disabled else wanted.fields


def resolve_offline(spec: Spec, globs: Sequence[str]) -> list[Desired]:
    """Return the realms of a spec that need no server: those with entries of their own, or named in full."""
    exact = [glob for glob in globs if "*" not in glob and "?" not in glob]
    if spec.globs and len(exact) < max(len(globs), 1):
        message = f"the spec has globs, such as {spec.globs[0].name}, and only a server knows which realms they match"
        raise UsageError(message, "choose a server by --server, or name the realms in full")
    matching = match(spec, exact)
    chosen = {realm: entry for realm, entry in matching.entries.items() if is_selected(realm, globs)}
    if not chosen:
        hint = did_you_mean(globs[0], [one.name for one in spec.entries]) if globs else ""
        raise UsageError("no realm of the spec matches", hint or "check the names given")
    return [_with_tie(resolve_entry(spec, entry, realm), matching.ties.get(realm)) for realm, entry in chosen.items()]


def _with_tie(wanted: Desired, tie: Finding | None) -> Desired:
    return replace(wanted, fields={}, findings=(tie,)) if tie else wanted


def stored_jobs(gateway: Gateway, realms: Sequence[str]) -> dict[str, Job]:
    """Return the settings that the server holds, with its defaults for what is absent."""
    from ztrust_mail.gateways.gateway import LiveRealm
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
