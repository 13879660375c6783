"""From a relay's name to a connection: its addresses, tried in order, and the deadline of the whole dialogue."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.probing.options import AddressFamily, ProbeOptions
from ztrust_mail.probing.outcome import AddressOutcome, ProbeStatus, RelayProblem, StageFailed
from ztrust_mail.transport.deadline import Resolver, is_address

MAX_TRIED = 6
"""How many addresses of a name are tried."""

MAX_LISTED = 50
"""How many addresses of a name are reported."""

_RESOLVER = Resolver()

_FAMILIES: Mapping[int, AddressFamily] = {socket.AF_INET: AddressFamily.IPV4, socket.AF_INET6: AddressFamily.IPV6}
_TITLES = {AddressFamily.IPV4: "IPv4", AddressFamily.IPV6: "IPv6", AddressFamily.ANY: "IP"}


class Deadline(AbstractContextManager["Deadline"]):
    """One deadline for a whole dialogue, from its creation on.

    Inside ``with``, a timer shuts the watched sockets down when the time is over. A socket's own timeout restarts with
    every byte, so a relay that sends one byte every few seconds would never reach it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._is_over = False
        self._timer = threading.Timer(seconds, self.expire)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._watched:
                connection.close()

    @property
    def left(self) -> float:
        """The seconds left, never less than a moment, so that they can be a socket's time-out."""
        return max(self._end - time.monotonic(), 0.001)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self._is_over or time.monotonic() >= self._end

    def watch(self, connection: socket.socket) -> None:
        """Shut this socket down when the time is over, and close it at the end of the ``with`` block."""
        with self._lock:
            self._watched.append(connection)
            if self._is_over:
                _shut(connection)

    def expire(self) -> None:
        """End the time now. May be called from any thread."""
        with self._lock:
            self._is_over = True
            for connection in self._watched:
                _shut(connection)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # that of an SSLSocket belongs to its own thread


@dataclass(frozen=True)
class RelayAddress:
    """An address that a name resolves to, and what a socket connects to."""

    family: int
    target: tuple[object, ...]

    def __str__(self) -> str:
        return str(self.target[0])


def resolve(host: str, port: int, options: ProbeOptions, deadline: Deadline) -> list[RelayAddress]:
    """Return the distinct addresses of a name, in the resolver's order. Raises :class:`StageFailed`."""
    try:
        found = _RESOLVER.resolve(host, port, deadline.left)
    except TimeoutError:
        hint = "check the name servers of this machine"
        raise StageFailed(RelayProblem("relay-name", f"{quoted(host)} did not resolve in time", hint)) from None
    except (OSError, UnicodeError):
        hint = "check the host name in the settings, and this machine's DNS"
        raise StageFailed(RelayProblem("relay-name", f"{quoted(host)} does not resolve", hint)) from None
    addresses = list(dict.fromkeys(RelayAddress(family, target) for family, _, _, _, target in found))
    family = options.wanted_family
    wanted = [one for one in addresses if family in (AddressFamily.ANY, _FAMILIES.get(one.family))]
    if not wanted:
        is_ip = is_address(host)
        message = f"{quoted(host)} {'is' if is_ip else 'has'} no {_TITLES[family]} address"
        raise StageFailed(RelayProblem("relay-name", message, "leave out --ipv4, --ipv6 and --source-address"))
    return wanted


class Connector:
    """Connects to the first address that accepts, and again to the same one."""

    def __init__(self, addresses: Sequence[RelayAddress], options: ProbeOptions, deadline: Deadline) -> None:
        self._addresses, self._options, self._deadline = list(addresses), options, deadline
        self.outcomes: list[AddressOutcome] = [
            AddressOutcome(str(one), ProbeStatus.NOT_TESTED) for one in self._addresses[:MAX_LISTED]
        ]
        self._chosen: RelayAddress | None = None

    def connect(self) -> tuple[socket.socket, RelayProblem | None]:
        """Return a connection, with a warning if the address that Java tries failed. Raises :class:`StageFailed`."""
        tried = self._addresses[:MAX_TRIED]
        problem = None
        for place, address in enumerate(tried):
            began = time.monotonic()
            try:
                connection = self._open(address, self._deadline.left / (len(tried) - place))
            except OSError as e:
                reason = _reason(e)
                problem = problem or self._problem(reason, e)
                self.outcomes[place] = _outcome(address, ProbeStatus.FAILED, reason, began)
                continue
            self.outcomes[place] = _outcome(address, ProbeStatus.OK, "", began)
            self._chosen = address
            return connection, self._warning()
        assert problem is not None  # a name has at least one address
        raise StageFailed(problem)

    def again(self) -> socket.socket:
        """Return one more connection to the address that accepted. Raises OSError."""
        assert self._chosen is not None
        return self._open(self._chosen, self._deadline.left)

    def _open(self, address: RelayAddress, timeout: float) -> socket.socket:
        if self._deadline.is_over:
            raise TimeoutError
        connection = socket.socket(address.family, socket.SOCK_STREAM)
        self._deadline.watch(connection)
        try:
            if self._options.source_address:
                connection.bind((self._options.source_address, 0))
            connection.settimeout(timeout)
            connection.connect(address.target)
        except BaseException:
            connection.close()
            raise
        return connection

    def _problem(self, reason: str, e: OSError) -> RelayProblem:
        shown = first_and_more([str(one) for one in self._addresses[:MAX_TRIED]])
        rest = len(self._addresses) - MAX_TRIED
        more = f"; {pluralise(rest, 'more address', 'more addresses')} not tried" if rest > 0 else ""
        if e.errno == errno.EADDRNOTAVAIL and self._options.source_address:
            hint = "give an address of this machine as --source-address"
        elif isinstance(e, ConnectionRefusedError):
            hint = "check the port, and that the relay is up"
        else:
            hint = "check host and port, and the firewalls between this machine and the relay"
        return RelayProblem("relay-unreachable", f"cannot connect to {shown}: {reason}{more}", hint)

    def _warning(self) -> RelayProblem | None:
        places = [place for place, one in enumerate(self._addresses) if one.family == socket.AF_INET] or [0]
        first = self.outcomes[places[0]] if places[0] < MAX_LISTED else None
        if first is None or first.status is not ProbeStatus.FAILED:
            return None
        message = f"the first address {first.address} does not work: {first.detail}"
        hint = "Java tries one address only: correct the name's records, or the route to this address"
        return RelayProblem("relay-address", message, hint, Severity.WARNING)


def _outcome(address: RelayAddress, status: ProbeStatus, detail: str, began: float) -> AddressOutcome:
    return AddressOutcome(str(address), status, detail, time.monotonic() - began)


_REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ENETUNREACH: "network unreachable",
    errno.EHOSTUNREACH: "host unreachable",
    errno.EADDRNOTAVAIL: "this machine does not have the source address",
    errno.ECONNRESET: "connection reset",
    errno.EACCES: "this machine forbids the connection",
    errno.EPERM: "this machine forbids the connection",
}


def _reason(e: OSError) -> str:
    if isinstance(e, TimeoutError):
        return "nothing answered in time"
    return _REASONS.get(e.errno or 0, "the connection failed")
