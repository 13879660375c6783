"""Checks that servers are reachable and accept their logins, many at once."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ztrust_mail.core.errors import ExitStatus, ServerError, ServerRefused, ZtrustMailError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.results import ResultMethods
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.settings import Server
from ztrust_mail.settings.inventory import ListedServer

AT_ONCE = 16
"""How many servers are checked at the same time."""

DEADLINE = 20.0
"""Seconds that the check of one server may take."""


class ReachStatus(StrEnum):
    """The result of a server's check."""

    OK = "ok"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"


_EXIT_STATUSES = {
    ReachStatus.REFUSED: ExitStatus.UNREACHABLE,
    ReachStatus.UNREACHABLE: ExitStatus.UNREACHABLE,
    ReachStatus.BROKEN: ExitStatus.USAGE,
}


@dataclass(frozen=True)
class ReachCheck:
    """The outcome of one server's check: details of the account, and how long it took."""

    status: ReachStatus
    detail: str = ""
    seconds: float = 0.0
    finding: Finding | None = None


@dataclass(frozen=True, repr=False)
class ServerList(ResultMethods):
    """The servers in the settings, and their checks by name; no checks without ``--check``."""

    servers: tuple[ListedServer, ...]
    own_findings: tuple[Finding, ...] = ()
    checks: Mapping[str, ReachCheck] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings: of the settings, then of the checks."""
        return (*self.own_findings, *(one.finding for one in self.checks.values() if one.finding))

    @property
    def exit_status(self) -> ExitStatus:
        """USAGE if an entry is broken, or else UNREACHABLE if a server did not accept the login."""
        broken = [ExitStatus.USAGE for one in self.servers if one.problem]
        return ExitStatus.worst([*broken, *(_EXIT_STATUSES.get(c.status, ExitStatus.OK) for c in self.checks.values())])

    @property
    def summary(self) -> str:
        """How many servers there are, and how many of them are in which state."""
        states: dict[str, int] = {}
        for one in self.servers:
            check = self.checks.get(one.name)
            if word := ReachStatus.BROKEN.value if one.problem else check.status.value if check else "":
                states[word] = states.get(word, 0) + 1
        counts = ", ".join(f"{number:,} {word}" for word, number in states.items())
        return f"{pluralise(len(self.servers), 'server')}{': ' if counts else ''}{counts}"


def check_servers(
    listed: Sequence[ListedServer],
    *,
    deadline: float = DEADLINE,
    open_gateway: Callable[[Server], Gateway] = connect,
    wait_for: Callable[[Sequence[Future[ReachCheck]], float], object] = wait,
) -> dict[str, ReachCheck]:
    """Log in to all servers that are not broken, and return the outcome of each by its name.

    A server that takes longer than ``deadline`` seconds counts as unreachable, and holds up no other. ``wait_for``
    waits that many seconds for checks.
    """
    usable = [(one, open_gateway(_limit_time(one.server, deadline))) for one in listed if one.server]
    rounds = math.ceil(len(usable) / AT_ONCE)
    pool = ThreadPoolExecutor(AT_ONCE)
    futures = {one.name: pool.submit(_check, one, gateway) for one, gateway in usable}
    try:
        wait_for(list(futures.values()), deadline * rounds)
    finally:
        for _, gateway in usable:
            gateway.stop_waiting()
        pool.shutdown(wait=False, cancel_futures=True)
    late = f"no answer within {deadline:g} s", "check the URL, or try again later"
    done = {name: future.result() for name, future in futures.items() if future.done() and not future.cancelled()}
    return {one.name: done.get(one.name) or _make_failure(one, *late) for one, _ in usable}


def _limit_time(server: Server, deadline: float) -> Server:
    """Return a server whose login has succeeded or failed within the deadline."""
    return replace(server, timeout=min(server.timeout, deadline / 2))


def _check(one: ListedServer, gateway: Gateway) -> ReachCheck:
    began = time.monotonic()
    try:
        gateway.login()
        account = gateway.account(with_email=False)
    except ServerRefused as e:
        return _make_failure(one, e.message, e.hint, ReachStatus.REFUSED, e.rule)
    except ServerError as e:
        return _make_failure(one, e.message, e.hint, rule=e.rule)
    except ZtrustMailError as e:
        return _make_failure(one, e.message, e.hint, ReachStatus.BROKEN, e.rule)
    finally:
        gateway.close()
    seconds = time.monotonic() - began
    if not gateway.capabilities.list_realms:
        return ReachCheck(ReachStatus.UNKNOWN, "only a request for a realm shows whether the token works", seconds)
    return ReachCheck(ReachStatus.OK, account.phrase, seconds)


def _make_failure(
    one: ListedServer, message: str, hint: str, status: ReachStatus = ReachStatus.UNREACHABLE, rule: str = ""
) -> ReachCheck:
    found = Finding(Severity.ERROR, rule or "servers", f"server {quoted(one.title)}: {message}", hint)
    return ReachCheck(status, message, finding=found)
