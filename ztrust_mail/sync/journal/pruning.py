"""Takes out of the journal what nobody needs any more, and never what a revert, a resume or a fingerprint needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ztrust_mail.sync.journal import sql
from ztrust_mail.sync.journal.database import Transaction, Value


def forget(transaction: Transaction, server: str, realm: str) -> int:
    """Take out all writes to a realm; return how many."""
    return transaction.do(sql.FORGET, {"server": server, "realm": realm})


def first_kept(transaction: Transaction, server: str, *, keep: int = 0, before: datetime | None = None) -> int:
    """Return the number of the run before which the journal may be pruned, 0 for none.

    ``keep`` is how many runs stay, ``before`` the time before which the others began. The newest run that had something
    to write stays whole: it may have to be taken up.
    """
    newest = _number(transaction, sql.NEWEST_THAT_WROTE, server=server)
    if before is None:
        return min(newest, _number(transaction, sql.NTH_NEWEST_RUN, server=server, newer=keep - 1))
    earlier = _number(transaction, sql.NEWEST_RUN_BEFORE, server=server, time=before)
    return min(newest, earlier + 1) if earlier else 0


def runs_before(transaction: Transaction, server: str, first: int) -> int:
    """Return how many runs there are before that one."""
    return _number(transaction, sql.RUNS_BEFORE, server=server, first=first)


def prune(transaction: Transaction, server: str, first: int) -> tuple[int, int]:
    """Take out what is not needed of the runs before one; return how many runs are gone, and how many writes.

    A run of which nothing is left goes as a whole.
    """
    before: Mapping[str, Value] = {"server": server, "first": first}
    taken = transaction.do(sql.PRUNE_WRITES, before)
    return transaction.do(sql.PRUNE_RUNS, before), taken


def _number(transaction: Transaction, question: str, **values: Value) -> int:
    """Return the number that a question is answered with, 0 where there is none."""
    return next((int(row["number"]) for row in transaction.ask(question, **values) if row["number"] is not None), 0)
