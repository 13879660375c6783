"""Specs and connections: what every other verb begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ztrust_mail import config
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.findings import Finding
from ztrust_mail.secrets.base import Reach
from ztrust_mail.spec import load as loading
from ztrust_mail.spec.load import Given
from ztrust_mail.spec.model import Spec
from ztrust_mail.sync.connection import Connection

if TYPE_CHECKING:
    from ztrust_mail.sync.saved import SavedPlan


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
    plan: SavedPlan | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> Connection:
    """Return a connection to a server named by a settings entry or a URL; nothing is sent yet.

    The spec's server guard is honoured. Raises :class:`~ztrust_mail.errors.ConfigError`.

    ``plan`` is the saved plan that is to be applied. It chooses no server, since anybody can write a URL into a file:
    raises :class:`~ztrust_mail.errors.Unsafe` where ``server``, the settings or the environment choose another server
    than the plan's, or none. Only a plan whose digest was expected may choose its server, where nothing else does.
    """
    from ztrust_mail.gateways import connect as open_gateway

    environ = config.Environment(environ)  # else an exception would hold the variables as a local of this function
    settings = config.load(config_path, environ)
    guard = spec.servers if spec else ()
    if plan is None:
        chosen = config.choose_server(settings, server, guard, environ)
    else:
        from ztrust_mail.sync.saved.server import choose_server_of  # most runs have no saved plan

        chosen = choose_server_of(plan, settings, server, guard, environ)
    reach = Reach(settings.permissions, settings.paths, environ.reveal(), chosen.isolated)
    journal = config.journal_url(settings, environ)
    findings = (*settings.findings, *chosen.findings)
    return Connection(chosen, open_gateway(chosen), reach, findings, settings.policy, journal)
