"""Takes out of the journal what nobody needs any more, and never what a revert, a resume or a fingerprint needs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Delete, delete, exists, func, or_, select

from ztrust_mail.sync.journal.records import Step
from ztrust_mail.sync.journal.tables import runs, writes

KEPT_WRITES = 2
"""Of each realm so many writes that were done stay, however old: the last, and the one that a revert of it looks at."""

_WITHOUT_EFFECT = (Step.PLANNED.value, Step.SKIPPED.value, Step.FAILED.value)
_DONE = tuple(step.value for step in Step if step.is_done)
_IN_DOUBT = tuple(step.value for step in Step if step.in_doubt)


def forget(connection: Connection, server: str, realm: str) -> int:
    """Take out all writes to a realm; return how many."""
    mine = (writes.c.server == server) & (writes.c.realm == realm)
    return connection.execute(delete(writes).where(mine)).rowcount


def first_kept(connection: Connection, server: str, *, keep: int = 0, before: datetime | None = None) -> int:
    """Return the number of the run before which the journal may be pruned, 0 for none.

    ``keep`` is how many runs stay, ``before`` the time before which the others began. The newest run that had something
    to write stays whole: it may have to be taken up.
    """
    newest = connection.scalar(select(func.max(writes.c.run)).where(writes.c.server == server)) or 0
    if before is None:
        mine = select(runs.c.number).where(runs.c.server == server)
        return min(newest, connection.scalar(mine.order_by(runs.c.number.desc()).offset(keep - 1).limit(1)) or 0)
    earlier = connection.scalar(select(func.max(runs.c.number)).where(runs.c.server == server, runs.c.started < before))
    return min(newest, (earlier or -1) + 1)


def runs_before(connection: Connection, server: str, first: int) -> int:
    """Return how many runs there are before that one."""
    return connection.scalar(select(func.count()).where(runs.c.server == server, runs.c.number < first)) or 0


def prune(connection: Connection, server: str, first: int) -> tuple[int, int]:
    """Take out what is not needed of the runs before one; return how many runs are gone, and how many writes.

    A run of which nothing is left goes as a whole.
    """
    taken = connection.execute(_pruning(server, first)).rowcount
    empty = ~exists().where(writes.c.run == runs.c.number)
    gone = connection.execute(delete(runs).where(runs.c.server == server, runs.c.number < first, empty)).rowcount
    return gone, taken


def _pruning(server: str, first: int) -> Delete:
    later = writes.alias("later")
    done = select(later.c.run).where(
        later.c.server == server,
        later.c.realm == writes.c.realm,
        later.c.step.in_(_DONE),
        later.c.run < first,
    )
    kept_since = done.order_by(later.c.run.desc()).offset(KEPT_WRITES - 1).limit(1).scalar_subquery()
    idle = writes.c.step.in_(_WITHOUT_EFFECT) & writes.c.after.is_(None)
    old = or_(idle, writes.c.run < kept_since)
    mine = (writes.c.server == server) & (writes.c.run < first) & writes.c.step.not_in(_IN_DOUBT)
    return delete(writes).where(mine, old)
