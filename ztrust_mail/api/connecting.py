"""Specs and connections: what every other verb begins with."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ztrust_mail import config
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.findings import Finding
from ztrust_mail.secrets.base import Reach
from ztrust_mail.spec import load as loading
from ztrust_mail.spec.load import Given
from ztrust_mail.spec.model import Spec
from ztrust_mail.sync.connection import Connection


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
    paths = tuple(path for path in dict.fromkeys([settings.path, settings.policy.path]) if path)
    reach = Reach(settings.permissions, paths, environ)
    journal = config.journal_url(settings, environ)
    return Connection(chosen, open_gateway(chosen), reach, settings.findings, settings.policy, journal)
