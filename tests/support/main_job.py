"""The library at work on a server under test, with credentials from an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from support.server_under_test import ServerUnderTest

import ztrust_mail
from ztrust_mail.api import Session
from ztrust_mail.api.spec_types import SpecDict
from ztrust_mail.applying.outcome import Result
from ztrust_mail.planning.plan import Plan
from ztrust_mail.specfile.entries import Spec

SECRET = "relay-Passw0rd"


def environment(server: ServerUnderTest, **more: str) -> dict[str, str]:
    """Return the variables of the administrator, with the relay's secret in SMTP_PASSWORD."""
    return {
        "ZTRUST_MAIL_USERNAME": server.admin_user,
        "ZTRUST_MAIL_PASSWORD": server.admin_password,
        "ZTRUST_MAIL_TIMEOUT": "30s",
        "SMTP_PASSWORD": SECRET,
        **more,
    }


@contextmanager
def connected(server: ServerUnderTest, spec: Spec | None = None, **more: str) -> Iterator[Session]:
    """Connect as the administrator, or as whoever ``more`` names."""
    given = {name: value for name, value in environment(server, **more).items() if value}
    with ztrust_mail.connect(server.url, spec=spec, environ=given) as connection:
        yield connection


def spec_of(realms: Mapping[str, object], defaults: Mapping[str, object] | None = None) -> Spec:
    """Return a spec from entries and defaults."""
    spec = {"version": 1, "defaults": dict(defaults or {}), "realms": dict(realms)}
    return ztrust_mail.load_spec(cast("SpecDict", spec))


def apply_once(server: ServerUnderTest, spec: Spec) -> Result:
    """Plan and apply as the administrator."""
    with connected(server, spec) as connection:
        return ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection, spec=spec, allow=["all"])


def planned(server: ServerUnderTest, spec: Spec, **more: str) -> Plan:
    """Plan as the administrator, or as whoever ``more`` names."""
    with connected(server, spec, **more) as connection:
        return ztrust_mail.plan(spec, connection)
