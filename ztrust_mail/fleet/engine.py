"""The engine that takes requests and has them done: four verbs, with workers or without.

``Engine`` stores requests in the journal, and whoever calls :meth:`Engine.drain` does them in this process.
:class:`ztrust_mail.fleet.queue.WorkerEngine` wakes a worker for each request, too.
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
"""How many characters the key of a request may have."""


class Engine:
    """Requests in a journal. A context manager; may be used by several threads."""

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
        """Store a request for a server and return it, or the one that is there already.

        Of two with the same ``key`` for a server only the first is ever done; without a key, a request that is the same
        as one that waits or runs is that one. Raises :class:`ZtrustMailError` where it could not be done.
        """
        if len(key) > MAX_KEY:
            raise UsageError(f"the key has {len(key):,} characters, and may have {MAX_KEY}", "use a shorter one")
        if printable(key) != key:
            raise UsageError(f"the key {quoted(key)} has characters that cannot be seen", "use letters and digits")
        if server.isolated:
            message = f"the server {quoted(server.name)} is only in a settings file that is not trusted"
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
        """Return a request as it is now. Raises :class:`UsageError` if there is none."""
        return self.journal.requests.get(number)

    def cancel(self, number: int) -> StoredRequest:
        """Cancel a request: at once if it waits, else its worker stops between two realms. Returns it."""
        return self.journal.requests.cancel(number)

    def retry(self, number: int) -> StoredRequest:
        """Let a request that failed, was given up or cancelled wait again. Raises :class:`UsageError` for others."""
        with self.journal.requests.retrying(number) as (request, transaction):
            self._wake(transaction, BusyServer(request.server, request.name, request.queue, request.priority))
        return request

    def drain(self, server: str) -> int:
        """Do all requests for a server that are due, in this process; return how many ended.

        ``server`` is the canonical URL. Only one drain at a time works on a server: returns 0 where another does.
        """
        return Drain(self.journal, server, self.options).run()

    def drain_all(self) -> int:
        """Do all requests that are due, server by server; return how many ended."""
        return sum(self.drain(one.server) for one in self.journal.requests.busy_servers())

    def _wake(self, transaction: Transaction, server: BusyServer) -> None:
        """Wake a worker within the transaction that stores a request for a server. Here nobody waits."""
