"""What is asked of the journal, in SQL: the database picks, so that years of history cost a plan nothing."""

from __future__ import annotations

from sqlalchemy import Executable, FromClause, exists, func, select

from ztrust_mail.sync.journal.records import Outcome, Step
from ztrust_mail.sync.journal.tables import runs, writes

_IN_DOUBT = tuple(step.value for step in Step if step.in_doubt)
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


def history_of(server: str, realm: str) -> Executable:
    """Return the query for all writes to one realm, newest first."""
    mine = (writes.c.server == server) & (writes.c.realm == realm)
    return select(writes).where(mine).order_by(writes.c.run.desc())


def last_verified(server: str) -> Executable:
    """Return the query for each realm's last verified write."""
    return _writes_at(_newest(server), "verified")


def in_doubt(server: str) -> Executable:
    """Return the query for each realm's newest write in doubt, where no verified one came later."""
    return _writes_at(_newest(server), "doubt")


def _writes_at(newest: FromClause, column: str) -> Executable:
    at = (writes.c.run == newest.c[column]) & (writes.c.realm == newest.c.realm)
    return select(writes).select_from(newest.join(writes, at))


def _newest(server: str) -> FromClause:
    """Return each realm of a server with the runs of its last verified write and of a later one in doubt."""
    realms = _realms(server)
    mine = (writes.c.server == server) & (writes.c.realm == realms.c.realm)
    is_verified, is_doubtful = writes.c.step == Step.VERIFIED.value, writes.c.step.in_(_IN_DOUBT)
    newest = select(func.max(writes.c.run)).where(mine)
    verified = newest.where(is_verified).correlate(realms).scalar_subquery()
    later = newest.where(is_doubtful, writes.c.run > func.coalesce(verified, 0)).correlate(realms).scalar_subquery()
    named = select(realms.c.realm, verified.label("verified"), later.label("doubt"))
    return named.where(realms.c.realm.is_not(None)).subquery("newest")


def _realms(server: str) -> FromClause:
    """Return the realms of a server, each found by one step through the index, however often it was written."""
    mine = writes.c.server == server
    names = select(func.min(writes.c.realm).label("realm")).where(mine).cte("realms", recursive=True)
    following = select(func.min(writes.c.realm)).where(mine, writes.c.realm > names.c.realm)
    step = select(following.correlate(names).scalar_subquery()).where(names.c.realm.is_not(None))
    return names.union_all(step)
