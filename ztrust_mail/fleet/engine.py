"""The engine: submits, shows, cancels and retries requests, with or without workers.

``Engine`` stores requests in the journal; :meth:`Engine.drain` processes them in the calling process.
:class:`ztrust_mail.fleet.queue.WorkerEngine` also wakes a worker for each request.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ztrust_mail.api.session import local_user
from ztrust_mail.applying.options import check_message
from ztrust_mail.core.data import of_json
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.fleet.drain import Drain, DrainOptions
from ztrust_mail.fleet.work import Work, write_content
from ztrust_mail.journal.database import Transaction
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.requests import BusyServer, NewRequest, RequestState, StoredRequest
from ztrust_mail.settings import Server

MAX_KEY = 200
"""The maximum length of a request's key."""


class Engine:
    """Manages the requests in a journal. A context manager; threads may share it."""

    def __init__(self, journal: Journal, options: DrainOptions) -> None:
        self.journal, self.options = journal, options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the journal."""
        self.journal.close()

    def submit(self, work: Work, server: Server, *, key: str = "", message: str = "") -> StoredRequest:
        """Store a request for a server and return it, or return the existing one.

        A request exists already if one with the same ``key`` was submitted for this server, or, without a key, if an
        identical one is waiting or running. Raises :class:`ZtrustMailError` for work that no worker could do.
        """
        if len(key) > MAX_KEY:
            raise UsageError(f"the key has {len(key):,} characters; the limit is {MAX_KEY}", "use a shorter one")
        if printable(key) != key:
            raise UsageError(f"the key {quoted(key)} contains unprintable characters", "use letters and digits")
        if server.isolated:
            message = f"server {quoted(server.name)} is only defined in an untrusted settings file"
            raise UsageError(message, "name the file with --config, or add the server to your own settings")
        check_message(message)
        content = write_content(work)
        work.check(server)
        new = NewRequest(
            server.url,
            server.name,
            server.queue,
            work.kind,
            content,
            of_json([server.url, server.name, work.kind, content]),
            key,
            work.priority,
            local_user(),
            message,
        )
        with self.journal.requests.adding(new) as (request, transaction):
            if request.state is RequestState.WAITING:
                self._wake(transaction, BusyServer(server.url, server.name, server.queue, request.priority))
        return request

    def status(self, number: int) -> StoredRequest:
        """Return the current state of a request. Raises :class:`UsageError` for an unknown number."""
        return self.journal.requests.get(number)

    def cancel(self, number: int) -> StoredRequest:
        """Cancel a waiting request, or stop a running one before its next realm. Returns the request."""
        return self.journal.requests.cancel(number)

    def retry(self, number: int) -> StoredRequest:
        """Queue a failed, dead or cancelled request again. Raises :class:`UsageError` for others."""
        with self.journal.requests.retrying(number) as (request, transaction):
            self._wake(transaction, BusyServer(request.server, request.name, request.queue, request.priority))
        return request

    def drain(self, server: str) -> int:
        """Process all due requests for a server in this process; return how many ended.

        ``server`` is the canonical URL. Returns 0 if another drain is working on the server.
        """
        return Drain(self.journal, server, self.options).run()

    def drain_all(self) -> int:
        """Process all due requests, server by server; return how many ended."""
        return sum(self.drain(one.server) for one in self.journal.requests.busy_servers())

    def _wake(self, transaction: Transaction, server: BusyServer) -> None:
        """Wake a worker, within the transaction that stores a request. This engine has none to wake."""
