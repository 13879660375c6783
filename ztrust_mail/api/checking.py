"""The verb ``check``: kits that say, before a switch, which realms it affects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from ztrust_mail import settings as config
from ztrust_mail.api.probing import SecretAccess, job_of, resolve_offline, stored_jobs
from ztrust_mail.api.read import refuse_forbidden, resolve_wanted
from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import fit_spec, require_server
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.secrets.sources import GivenSecrets, Secrets
from ztrust_mail.settings.policy import Policy
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.kits.kit import Candidate
    from ztrust_mail.kits.m365 import M365Kit
    from ztrust_mail.kits.result import CheckRun
    from ztrust_mail.kits.sender import SenderKit
    from ztrust_mail.kits.starttls import StarttlsKit
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.run import Job

KITS = ("starttls", "m365-oauth", "sender")
"""The names of all checks."""


@dataclass(frozen=True)
class CheckOptions:
    """How to check. ``probe`` is for the checks that probe relays; its ``until`` is that of the check.

    ``resolver`` is the name server for ``sender``, as ``192.0.2.53:53``; empty for those of the system. ``hosts`` are
    globs of further hosts that stand for Microsoft 365.
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
    """Check realms before a switch, and return what is wrong with which of them. Writes nothing, and sends no mail.

    ``kit`` is ``starttls``, ``m365-oauth`` or ``sender``. Checks the realms of a ``spec``, or live ones; with both,
    ``m365-oauth`` also says which live realms still log in with a password. The other arguments are those of
    :func:`ztrust_mail.probe`. Raises :class:`UsageError`, also where an extra is missing.
    """
    from ztrust_mail.kits.kit import CheckContext
    from ztrust_mail.probing.options import ProbeOptions

    environ, secrets = config.Environment(environ), GivenSecrets(secrets)  # else an exception would show them
    options = options or CheckOptions()
    chosen = _find_kit(kit, options)
    if session is None:
        access = SecretAccess.from_settings(config_path, environ, secrets)
    else:
        access = SecretAccess(session.policy, session.secrets, session.opened.redactor)
    candidates = _candidates(session, realms, spec, access.policy, with_live=chosen.needs_live)
    done = _Counter(progress, len(candidates)).add
    given = CheckContext(options.probe or ProbeOptions(), access.store, access.redactor, done)
    return chosen.run(session.server.url if session else "", candidates, given)


def _find_kit(name: str, options: CheckOptions) -> StarttlsKit | M365Kit | SenderKit:
    """Return a kit by its name; each is imported only where it is wanted."""
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
        stored = stored_jobs(session.gateway, realms)
        return [Candidate(realm, job, is_in_spec=False) for realm, job in stored.items()]
    if session is None:
        require_server(spec)
        wanted = resolve_offline(spec, realms)
    else:
        spec = fit_spec(spec, session)
        session.gateway.login()
        wanted = resolve_wanted(spec, session.gateway, realms)
    refuse_forbidden(policy, wanted, "check")
    names = {one.realm for one in wanted}
    live = _live_jobs(session, realms, sorted(names)) if session and with_live else {}
    found = [Candidate(one.realm, job_of(one), live.get(one.realm), one.origins, one.entry.location) for one in wanted]
    others = {realm: job for realm, job in live.items() if realm not in names}
    return [*found, *(Candidate(realm, job, job, is_in_spec=False) for realm, job in others.items())]


def _live_jobs(session: Session, realms: Sequence[str], names: Sequence[str]) -> Mapping[str, Job]:
    """Return the settings of all realms that are meant, or of those in the spec where the server gives no list."""
    can_list = session.gateway.capabilities.list_realms and bool(session.gateway.realms())
    return stored_jobs(session.gateway, realms if can_list else names)


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
