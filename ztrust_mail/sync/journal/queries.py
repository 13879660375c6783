"""What is asked of the journal, in SQL: the database picks, so that years of history cost a plan nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Executable, exists, func, select, text

from ztrust_mail.sync.journal.recall import REMEMBERED, parameters
from ztrust_mail.sync.journal.records import Outcome
from ztrust_mail.sync.journal.tables import UtcTime, runs, writes

_LEFT = tuple(o.value for o in (Outcome.RUNNING, Outcome.STOPPED, Outcome.INTERRUPTED, Outcome.FAILED))


def newest_runs(server: str | None, limit: int) -> Executable:
    """Return the query for the newest runs, on one server or on all."""
    chosen = select(runs).order_by(runs.c.number.desc()).limit(limit)
    return chosen if server is None else chosen.where(runs.c.server == server)


def run_by_number(number: int) -> Executable:
    """Return the query for one run."""
    return select(runs).where(runs.c.number == number)


def newest_run_if_left(server: str) -> Executable:
    """Return the query for the newest run on a server that had something to write, if it did not do all of it."""
    wrote = exists().where(writes.c.run == runs.c.number)
    newest = select(func.max(runs.c.number)).where(runs.c.server == server, wrote).scalar_subquery()
    return select(runs).where(runs.c.number == newest, runs.c.outcome.in_(_LEFT))


def writes_of(run: int) -> Executable:
    """Return the query for a run's writes, in the plan's order."""
    return select(writes).where(writes.c.run == run).order_by(writes.c.position)


def steps_of(numbers: Sequence[int]) -> Executable:
    """Return the query for how many realms of each of some runs came to each step."""
    counted = select(writes.c.run, writes.c.step, func.count().label("number"))
    return counted.where(writes.c.run.in_(numbers)).group_by(writes.c.run, writes.c.step)


def steps_by_realm(run: int) -> Executable:
    """Return the query for the step that each realm of a run came to."""
    return select(writes.c.realm, writes.c.step).where(writes.c.run == run)


def history_of(server: str, realm: str) -> Executable:
    """Return the query for all writes to one realm, newest first."""
    mine = (writes.c.server == server) & (writes.c.realm == realm)
    return select(writes).where(mine).order_by(writes.c.run.desc())


def remembered(server: str) -> Executable:
    """Return the query for each realm's last write that was done and a later one in doubt."""
    asked = text(REMEMBERED).bindparams(**parameters(server))
    return asked.columns(started=UtcTime, ended=UtcTime)
