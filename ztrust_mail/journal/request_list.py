"""Requests for display: lists for one server or all, and the progress of one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.journal.errors import RULE
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.records import Step
from ztrust_mail.journal.requests import RequestState, StoredRequest

MAX_UNFINISHED: Final = 10_000
"""The maximum number of unfinished requests in a list; the counts include all."""

PER_ROW: Final = 50
"""How many ended requests are read per row to show."""

IDLE_AFTER: Final = timedelta(seconds=30)
"""The time within which workers take a due request: they sweep every 10 s."""


@dataclass(frozen=True)
class RequestStatus:
    """The current state of a request.

    ``ahead`` is the number of requests before it, while it waits. ``run`` is the newest run made for it, 0 for none;
    ``steps`` has the number of its realms at each step.
    """

    request: StoredRequest
    ahead: int = 0
    run: int = 0
    steps: Mapping[Step, int] = field(default_factory=dict)

    @property
    def realms(self) -> int:
        """The number of realms in the run."""
        return sum(self.steps.values())

    @property
    def realms_done(self) -> int:
        """The number of realms in the run that are finished."""
        return self.realms - self.steps.get(Step.PLANNED, 0) - self.steps.get(Step.WRITING, 0)


@dataclass(frozen=True)
class RequestList:
    """The unfinished requests, oldest first, the newest ended ones, and the number in each state.

    ``limit`` is the number of ended rows to show; ``ended`` has more, because similar requests share a row.
    ``idle_queues`` have due requests that have been waiting for a while, and none running. ``damaged`` maps the numbers
    of unfinished requests to the column of their row that cannot be read.
    """

    unfinished: tuple[StoredRequest, ...] = ()
    ended: tuple[StoredRequest, ...] = ()
    counts: Mapping[RequestState, int] = field(default_factory=dict)
    limit: int = 20
    idle_queues: tuple[str, ...] = ()
    damaged: Mapping[int, str] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning for each request that is left out, as its row is damaged."""
        return tuple(
            Finding(
                Severity.WARNING,
                RULE,
                f"request {number} is damaged in the journal: `{column}` cannot be read",
                f"a worker ends it as failed; then: ztrust-mail requests {number} --retry",
            )
            for number, column in self.damaged.items()
        )

    @property
    def requests(self) -> tuple[StoredRequest, ...]:
        """The unfinished requests, and the ended ones up to the limit."""
        return *self.unfinished, *self.ended[: self.limit]


def list_requests(journal: Journal, server: str = "", limit: int = 20) -> RequestList:
    """Return the requests for a server, or for all servers. ``limit`` is the number of ended ones to show."""
    table = journal.requests
    unfinished = tuple(table.list_unfinished(MAX_UNFINISHED, server))
    ended = tuple(table.list_ended(min(limit * PER_ROW, MAX_UNFINISHED), server))
    long_ago = table.now() - IDLE_AFTER
    running = {one.queue for one in unfinished if one.state is RequestState.RUNNING}
    idle = dict.fromkeys(one.queue for one in unfinished if one.due < long_ago and one.queue not in running)
    idle_queues = tuple(idle) if journal.is_shared else ()  # who uses a journal in a file does the requests in it
    damaged = table.find_damaged(MAX_UNFINISHED, server)
    return RequestList(unfinished, ended, table.count_by_state(server), limit, idle_queues, damaged)


def status_of(journal: Journal, request: StoredRequest) -> RequestStatus:
    """Return a request with its place in the queue, or with the progress of its run."""
    if request.state is RequestState.WAITING:
        return RequestStatus(request, journal.requests.ahead_of(request))
    run = journal.run_of_request(request.number)
    if run is None:
        return RequestStatus(request)
    return RequestStatus(request, 0, run.number, journal.steps([run.number])[run.number])
