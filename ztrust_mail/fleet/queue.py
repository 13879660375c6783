"""The engine that wakes workers, with Procrastinate jobs in the journal's PostgreSQL database.

A job contains only the URL of a server; the worker that gets it drains that server's requests. Each server has at most
one waiting and one running job. A job is stored in the same transaction as its request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.schema import SchemaManager, migrations_path

from ztrust_mail.fleet.engine import Engine
from ztrust_mail.journal.errors import journal_error
from ztrust_mail.journal.postgresql import PostgresqlTransaction

if TYPE_CHECKING:
    from ztrust_mail.fleet.drain import DrainOptions
    from ztrust_mail.journal.database import Transaction
    from ztrust_mail.journal.journal import Journal
    from ztrust_mail.journal.requests import BusyServer

DRAIN: Final = "ztrust-mail drain"
"""The name of the task that a job runs."""
_WAITING_JOB: Final = """
SELECT id, priority, queue_name FROM procrastinate_jobs WHERE queueing_lock = :lock AND status = 'todo'
"""
_MOVE_JOB: Final = """
UPDATE procrastinate_jobs SET priority = :priority, queue_name = :queue WHERE id = :id AND status = 'todo'
"""

_JOB_OF_SERVER: Final = """
SELECT 1 FROM procrastinate_jobs AS j
WHERE j.queueing_lock = s.server AND j.status = 'todo' AND j.queue_name = s.queue
UNION ALL SELECT 1 FROM procrastinate_jobs AS j WHERE j.lock = s.server AND j.status = 'doing'
"""


class WorkerEngine(Engine):
    """Manages requests in a PostgreSQL journal, which workers process."""

    def __init__(self, journal: Journal, options: DrainOptions) -> None:
        super().__init__(journal, options)
        self._app = App(connector=SyncPsycopgConnector())  # never opened: jobs are stored on the journal's connections
        journal.prepare_queue(newest_schema(), apply_schema)

    def _wake(self, transaction: Transaction, server: BusyServer) -> None:
        """Store a job for a server, unless one is waiting; move a waiting job to the server's current queue.

        The caller has locked the row of the server. The worker that gets the waiting job also locks that row before it
        queries requests, so it sees this request.
        """
        assert isinstance(transaction, PostgresqlTransaction)
        for row in transaction.query(_WAITING_JOB, lock=server.server):
            if row["priority"] < server.priority or row["queue_name"] != server.queue:
                priority = max(row["priority"], server.priority)
                transaction.execute(_MOVE_JOB, {"id": row["id"], "priority": priority, "queue": server.queue})
            return
        defer = self._app.configure_task(
            DRAIN,
            queue=server.queue,
            lock=server.server,
            queueing_lock=server.server,
            priority=server.priority,
            connection=transaction.connection,
        ).defer
        try:
            with transaction.connection.transaction():  # a savepoint: a conflict must not undo the request
                defer(server=server.server)
        except AlreadyEnqueued:
            pass
        except ConnectorException as e:
            raise journal_error(self.journal.where, e.__cause__) from None

    def wake_all(self) -> int:
        """Store a job for each server that has due requests but no job in its queue; return how many.

        Such requests were returned to the queue, or their worker was killed.
        """
        found = self.journal.requests.busy_servers(without=_JOB_OF_SERVER)
        for server in found:
            with self.journal.requests.waking(server) as transaction:
                self._wake(transaction, server)
        return len(found)


def newest_schema() -> str:
    """Return the name of the newest migration of Procrastinate's tables."""
    return max(path.stem for path in migrations_path.glob("*.sql"))


def apply_schema(transaction: Transaction, known: str | None) -> None:
    """Create Procrastinate's tables, or migrate them from the version recorded in the journal."""
    if known is None:
        transaction.execute(SchemaManager.get_schema())
        return
    for path in sorted(migrations_path.glob("*.sql")):
        if path.stem > known:
            transaction.execute(path.read_text(encoding="utf-8"))
