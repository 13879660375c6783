"""Requests as people look at them: those of a server or of all, and one with how far it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.records import Step
from ztrust_mail.journal.requests import RequestState, StoredRequest

MAX_UNFINISHED: Final = 10_000
"""How many requests that wait or run are listed; the counts are of all."""

PER_ROW: Final = 50
"""How many ended requests are read for each that is to be shown."""

IDLE_AFTER: Final = timedelta(seconds=30)
"""After which time workers would have taken a request: they sweep every 10 s."""


@dataclass(frozen=True)
class RequestStatus:
    """A request as it is now.

    ``ahead`` is how many requests of its server come before it while it waits. ``run`` is the newest run that was made
    for it, 0 for none, and ``steps`` is how many of its realms reached each step.
    """

    request: StoredRequest
    ahead: int = 0
    run: int = 0
    steps: Mapping[Step, int] = field(default_factory=dict)

    @property
    def realms(self) -> int:
        """How many realms the run writes."""
        return sum(self.steps.values())

    @property
    def realms_done(self) -> int:
        """How many of these realms are no longer to be written."""
        return self.realms - self.steps.get(Step.PLANNED, 0) - self.steps.get(Step.WRITING, 0)


@dataclass(frozen=True)
class RequestList:
    """The requests that wait or run, oldest first, the newest ended ones, and how many of all are in each state.

    ``limit`` is how many ended ones to show; there are more of them, since a table shows equal ones in one row.
    ``is_idle`` says that requests which are due have waited for a while, and none runs.
    """

    unfinished: tuple[StoredRequest, ...] = ()
    ended: tuple[StoredRequest, ...] = ()
    counts: Mapping[RequestState, int] = field(default_factory=dict)
    limit: int = 20
    is_idle: bool = False

    @property
    def requests(self) -> tuple[StoredRequest, ...]:
        """All requests of the list, of the ended ones as many as are to be shown."""
        return *self.unfinished, *self.ended[: self.limit]


def list_requests(journal: Journal, server: str = "", limit: int = 20) -> RequestList:
    """Return the requests for a server, or for all without one; ``limit`` is how many ended ones to show."""
    table = journal.requests
    unfinished = tuple(table.list_unfinished(MAX_UNFINISHED, server))
    ended = tuple(table.list_ended(min(limit * PER_ROW, MAX_UNFINISHED), server))
    long_ago = table.now() - IDLE_AFTER
    is_running = any(one.state is RequestState.RUNNING for one in unfinished)
    is_idle = not is_running and any(one.due < long_ago for one in unfinished)
    return RequestList(unfinished, ended, table.count_by_state(server), limit, is_idle)


def status_of(journal: Journal, request: StoredRequest) -> RequestStatus:
    """Return how many requests come before one that waits, and else how far its run came."""
    if request.state is RequestState.WAITING:
        return RequestStatus(request, journal.requests.ahead_of(request))
    run = journal.run_of_request(request.number)
    if run is None:
        return RequestStatus(request)
    return RequestStatus(request, 0, run.number, journal.steps([run.number])[run.number])
