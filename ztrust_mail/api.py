"""The front door: everything the command line does, as functions that neither print nor exit.

A typical use::

    import ztrust_mail

    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": {...}}})
    with ztrust_mail.connect("https://id.example.com", spec=spec) as connection:
        plan = ztrust_mail.plan(spec, connection)
        if plan.changed:
            result = ztrust_mail.apply(plan, connection)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ztrust_mail import config
from ztrust_mail.config import Server
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.errors import UsageError
from ztrust_mail.findings import Finding
from ztrust_mail.secrets.base import Reach
from ztrust_mail.spec import load as loading
from ztrust_mail.spec.load import Given
from ztrust_mail.spec.model import Spec
from ztrust_mail.spec.resolve import Desired, desired, glob_matches, match
from ztrust_mail.sync.compare import SecretMode
from ztrust_mail.text import did_you_mean, quoted

if TYPE_CHECKING:
    from ztrust_mail.diagnose.doctor import Examination
    from ztrust_mail.diagnose.server_test import TestRun
    from ztrust_mail.gateways.base import Gateway
    from ztrust_mail.sync.apply import Progress, Result
    from ztrust_mail.sync.plan import Plan
    from ztrust_mail.sync.pull import Pulled


@dataclass(frozen=True)
class Connection:
    """A server to work with, and what a spec's references may reach there. A context manager."""

    server: Server
    gateway: Gateway
    reach: Reach
    findings: tuple[Finding, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.gateway.close()


def load_spec(given: Given) -> Spec:
    """Return the spec in a file, files, a folder or a dict.

    Raises :class:`~ztrust_mail.errors.SpecError` holding every problem of every file.
    """
    return loading.load(given, KEYCLOAK.native_names)


def validate(given: Given) -> tuple[Spec, list[Finding]]:
    """Return the spec as far as it is right, and all findings; offline."""
    return loading.validate(given, KEYCLOAK.native_names)


def connect(
    server: str | None = None,
    *,
    spec: Spec | None = None,
    config_path: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Connection:
    """Return a connection to a server named by a settings entry or a URL; nothing is sent yet.

    The spec's server guard is honoured. Raises :class:`~ztrust_mail.errors.ConfigError`.
    """
    from ztrust_mail.gateways import connect as open_gateway

    settings = config.load(config_path, environ)
    chosen = config.choose_server(settings, server, spec.servers if spec else (), environ)
    reach = Reach(settings.permissions, settings.path, environ)
    return Connection(chosen, open_gateway(chosen), reach, settings.findings)


def plan(
    spec: Spec,
    connection: Connection,
    *,
    realms: Sequence[str] = (),
    secrets: SecretMode = SecretMode.AUTO,
    everything: bool = False,
) -> Plan:
    """Return what an apply would do; ``everything`` looks for realms without an entry too.

    ``realms`` are globs. Raises :class:`~ztrust_mail.errors.ServerError` when nothing can be read;
    a single realm's trouble stands in its part of the plan.
    """
    from ztrust_mail.sync.plan import make_plan

    return make_plan(spec, connection.gateway, realms=realms, secrets=secrets, everything=everything)


def drift(spec: Spec, connection: Connection, *, realms: Sequence[str] = ()) -> Plan:
    """Return how the server differs from the spec, realms without an entry included; needs no secret."""
    return plan(spec, connection, realms=realms, everything=True)


def apply(
    plan: Plan,
    connection: Connection,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Result:
    """Do what a plan says, read it back, and return what became of each realm.

    ``progress`` is called from worker threads as realms are done; setting ``cancel`` lets the writes
    under way finish and leaves the rest.
    """
    from ztrust_mail.sync.apply import apply_plan

    return apply_plan(plan, connection.gateway, connection.reach, progress=progress, cancel=cancel)


def test(connection: Connection, realms: Sequence[str] = (), *, spec: Spec | None = None) -> TestRun:
    """Have the server send a test mail for each realm, from its stored settings or from a spec's.

    ``realms`` are globs; without any, all realms of the spec, or all that the account sees. The mail
    goes to the address of the account we work as.
    """
    from ztrust_mail.diagnose.server_test import test_stored, test_wanted

    gateway = connection.gateway
    gateway.login()
    if spec is None:
        return test_stored(gateway, _named(gateway, realms))
    return test_wanted(gateway, _wanted(spec, gateway, realms), connection.reach)


test.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it wherever it is imported


def _named(gateway: Gateway, globs: Sequence[str]) -> list[str]:
    """Return the exact names as they are, and what the globs match on the server."""
    exact = [glob for glob in globs if "*" not in glob and "?" not in glob]
    if globs and len(exact) == len(globs):
        return exact
    found = [realm for realm in gateway.realms() if not globs or any(glob_matches(g, realm) for g in globs)]
    if not found:
        raise UsageError("no realm matches", "check the names and the account's rights")
    return list(dict.fromkeys([*exact, *found]))


def _wanted(spec: Spec, gateway: Gateway, globs: Sequence[str]) -> list[Desired]:
    matching = match(spec, gateway.realms() if spec.globs else ())
    chosen = {r: e for r, e in matching.entries.items() if not globs or any(glob_matches(g, r) for g in globs)}
    if not chosen:
        raise UsageError("no realm of the spec matches", "check the names given")
    ties = matching.ties
    return [
        Desired(realm, entry, findings=(ties[realm],)) if realm in ties else desired(spec, entry, realm)
        for realm, entry in chosen.items()
    ]


def pull(connection: Connection, realms: Sequence[str] = (), *, factor: bool = False) -> Pulled:
    """Return live settings as spec entries; ``factor`` lifts what all realms share into the defaults.

    ``realms`` are globs. Raises :class:`~ztrust_mail.errors.UsageError` where the account sees none of them.
    """
    from ztrust_mail.sync.pull import pull as pull_entries

    gateway = connection.gateway
    gateway.login()
    exact = bool(realms) and not any("*" in glob or "?" in glob for glob in realms)
    reading = gateway.read(realms if exact else (), everything=not exact)
    names = [r for r in sorted(reading.realms) if not realms or any(glob_matches(g, r) for g in realms)]
    if not names:
        raise UsageError("no realm matches", "check the names and the account's rights")
    return pull_entries(gateway.dialect, {name: reading.realms[name] for name in names}, factor=factor)


def explain(spec: Spec, realm: str) -> Desired:
    """Return the settings of one realm with the place each value comes from; offline.

    Raises :class:`~ztrust_mail.errors.UsageError` where no entry covers the realm.
    """
    matching = match(spec, [realm])
    entry = matching.entries.get(realm)
    if entry is None:
        hint = did_you_mean(realm, [e.name for e in spec.entries]) or "add an entry, or a glob that matches it"
        raise UsageError(f"no entry of the spec covers the realm {quoted(realm)}", hint)
    if tie := matching.ties.get(realm):
        return Desired(realm, entry, findings=(tie,))
    return desired(spec, entry, realm)


def doctor(connection: Connection, realms: Sequence[str] = ()) -> Examination:
    """Return what works and what does not between us and the server, and what to do about each no."""
    from ztrust_mail.diagnose.doctor import examine

    return examine(connection.server, connection.gateway, realms)
