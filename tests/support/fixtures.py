"""Fixtures of many tests; real servers are each started once for a whole run.

Load them from the root ``conftest.py``: ``pytest_plugins = ["support.fixtures"]``.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from support.admin_api import AdminApi
from support.keycloak_server import KEYCLOAK_16, KEYCLOAK_26, Distribution, KeycloakServer
from support.smtp import Relays

from ztrust_mail.sandbox import Sandbox

ADMIN_EMAIL = "admin@sandbox.example"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The certificate authority of this run."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's certificate as a PEM file."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let the interrupt signal raise KeyboardInterrupt, also where the tests were started without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def relays(authority: trustme.CA) -> Iterator[Relays]:
    """Relays to be started as a test needs them."""
    with Relays(authority) as started:
        yield started


@pytest.fixture(scope="session")
def keycloak_26(ca_file: Path) -> Iterator[KeycloakServer]:
    """A real Keycloak 26 whose administrator has an address and which trusts the authority."""
    yield from _running(KEYCLOAK_26, ca_file)


@pytest.fixture(scope="session")
def keycloak_16(ca_file: Path) -> Iterator[KeycloakServer]:
    """A real Keycloak 16 under /auth, likewise."""
    yield from _running(KEYCLOAK_16, ca_file)


@pytest.fixture
def admin(ztrust_sandbox: Sandbox) -> Iterator[AdminApi]:
    """The administrator of the sandbox."""
    session = AdminApi(ztrust_sandbox.url)
    yield session
    session.close()


def _running(distribution: Distribution, ca_file: Path) -> Iterator[KeycloakServer]:
    with KeycloakServer(distribution, ca_file) as server:
        api = AdminApi(server.url, server.admin_user, server.admin_password)
        api.set_email("master", server.admin_user, ADMIN_EMAIL)
        api.close()
        yield server
