"""Many servers are checked at once, and none holds up another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import cast

import pytest

from ztrust_mail.core.errors import ConfigError, ExitStatus, ServerRefused, ServerUnreachable
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.diagnose.servers import AT_ONCE, ReachCheck, ReachStatus, ServerList, check_servers
from ztrust_mail.gateways.gateway import Account, Capabilities, Gateway
from ztrust_mail.settings import Server
from ztrust_mail.settings.inventory import ListedServer


class Fake:
    """A gateway whose login does what a test says."""

    capabilities = Capabilities(read=True, write=True, test=True)

    def __init__(self, does: object = None) -> None:
        self.does = does
        self.is_closed = False
        self.stopped = threading.Event()

    def login(self) -> None:
        """Raise the error, or wait until nobody waits any more."""
        if isinstance(self.does, Exception):
            raise self.does
        if self.does == "waits":
            assert self.stopped.wait(30)

    def account(self, *, with_email: bool = True) -> Account:
        """Return an account."""
        assert not with_email
        return Account("admin", "master", None)

    def stop_waiting(self) -> None:
        """End the login."""
        self.stopped.set()

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True


def listed(name: str) -> ListedServer:
    return ListedServer(name, "s.toml", server=Server(f"https://{name}.example", name, timeout=600.0))


@pytest.mark.parametrize(
    ("does", "status", "exit_status"),
    [
        (None, ReachStatus.OK, ExitStatus.OK),
        (ServerUnreachable("down", "hint", "unreachable"), ReachStatus.UNREACHABLE, ExitStatus.UNREACHABLE),
        (ServerRefused("no", "hint", "login-refused"), ReachStatus.REFUSED, ExitStatus.UNREACHABLE),
        (ConfigError("no secret", "hint", "secret-missing"), ReachStatus.BROKEN, ExitStatus.USAGE),
    ],
)
def test_a_check_says_whether_a_server_takes_the_login(
    does: Exception | None, status: ReachStatus, exit_status: ExitStatus
) -> None:
    gateway = Fake(does)
    servers = (listed("main"),)
    checks = check_servers(servers, open_gateway=lambda _: cast("Gateway", gateway))
    found = ServerList(servers, checks=checks)
    assert (checks["main"].status, found.exit_status, gateway.is_closed) == (status, exit_status, True)
    assert found.summary == f"1 server: 1 {status.value}"
    assert [one.message for one in found.findings] == ([f"server `main`: {does}"] if does else [])


def test_a_server_that_does_not_answer_holds_up_no_other_and_is_late() -> None:
    gateways: dict[str, Fake] = {}
    timeouts: list[float] = []

    def open_gateway(server: Server) -> Gateway:
        timeouts.append(server.timeout)
        return cast("Gateway", gateways.setdefault(server.name, Fake("waits" if server.name == "s0" else None)))

    def wait_for(checks: Sequence[Future[ReachCheck]], seconds: float) -> None:
        assert seconds == 40.0  # two rounds
        for check in checks[1:]:
            check.result()

    servers = [listed(f"s{number}") for number in range(AT_ONCE * 2)]
    checks = check_servers(servers, deadline=20.0, open_gateway=open_gateway, wait_for=wait_for)
    assert [name for name, check in checks.items() if check.status is not ReachStatus.OK] == ["s0"]
    assert checks["s0"].detail == "no answer within 20 s"
    assert set(timeouts) == {10.0}


def test_a_product_that_is_not_asked_without_a_realm_is_unknown() -> None:
    gateway = Fake()
    gateway.capabilities = Capabilities(read=False, write=True, test=False, list_realms=False)
    checks = check_servers([listed("main")], open_gateway=lambda _: cast("Gateway", gateway))
    assert checks["main"].status is ReachStatus.UNKNOWN


def test_a_broken_entry_is_not_checked_and_takes_precedence_in_the_exit_status() -> None:
    problem = Finding(Severity.ERROR, "broken-server", "no URL")
    servers = (ListedServer("a", "s.toml", problem=problem), listed("b"))
    checks = check_servers(servers, open_gateway=lambda _: cast("Gateway", Fake()))
    down = {"b": ReachCheck(ReachStatus.UNREACHABLE)}
    assert ([*checks], ServerList(servers, (problem,), down).exit_status) == (["b"], ExitStatus.USAGE)
    assert ServerList(servers, (problem,), checks).summary == "2 servers: 1 broken, 1 ok"
