"""What a contract test gets: a server, real or not, and a relay that the server reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.keycloak_server import KeycloakServer

from ztrust_mail.sandbox.relay.sink import MailSink
from ztrust_mail.sandbox.sandbox import Sandbox
from ztrust_mail.sandbox.state import SandboxOptions

SANDBOXES = {
    "sandbox-26": SandboxOptions(realms=()),
    "sandbox-16": SandboxOptions(realms=(), version="16.1.1", base_path="/auth"),
}


@dataclass(frozen=True)
class ServerUnderTest:
    """A running server; ``relay`` takes any login and needs none."""

    url: str
    version: str
    admin_user: str
    admin_password: str
    is_real: bool
    relay: MailSink


@contextmanager
def sandbox_server(name: str, ca_file: Path) -> Iterator[ServerUnderTest]:
    """Run the sandbox of that name from SANDBOXES; it trusts ``ca_file`` for mail."""
    given = SANDBOXES[name]
    options = SandboxOptions(
        realms=given.realms, version=given.version, base_path=given.base_path, ca_bundle=str(ca_file)
    )
    with Sandbox(options) as sandbox:
        account = (options.admin_user, options.admin_password)
        yield ServerUnderTest(sandbox.url, options.version, *account, is_real=False, relay=sandbox.mail)


@contextmanager
def real_server(server: KeycloakServer) -> Iterator[ServerUnderTest]:
    """Give a running Keycloak a relay beside it."""
    with MailSink() as relay:
        account = (server.admin_user, server.admin_password)
        yield ServerUnderTest(server.url, server.version, *account, is_real=True, relay=relay)
