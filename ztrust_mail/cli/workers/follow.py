"""Follows requests until they have ended, and shows their progress."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

from ztrust_mail.cli.invocation import next_command
from ztrust_mail.cli.streams import interrupt_on_termination
from ztrust_mail.core.errors import ExitStatus, JournalError
from ztrust_mail.core.text import format_ranges, quoted
from ztrust_mail.journal.request_list import IDLE_AFTER, RequestStatus, status_of
from ztrust_mail.journal.requests import RequestState
from ztrust_mail.planning.plan import Status
from ztrust_mail.reports.report import of_request_result, of_requests
from ztrust_mail.reports.stored import stored_counts
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.requests import sentence, worker_command

if TYPE_CHECKING:
    from ztrust_mail.cli.output import Output
    from ztrust_mail.journal.journal import Journal
    from ztrust_mail.journal.requests import StoredRequest

INTERVAL: Final = 0.5
"""The polling interval, in seconds."""

PATIENCE: Final = 120.0
"""How many seconds the journal may be unreachable, for example while its database restarts."""


class Follower:
    """Polls requests in a journal, and shows their progress."""

    def __init__(self, output: Output, journal: Journal, idle_after: float = IDLE_AFTER.total_seconds()) -> None:
        self._output, self._journal, self._idle_after = output, journal, idle_after
        self._began = time.monotonic()
        self._said: dict[int, str] = {}

    def follow(self, numbers: Sequence[int]) -> list[StoredRequest]:
        """Wait until requests have ended, and return them in the same order.

        Raises :class:`KeyboardInterrupt`, :class:`UsageError`, and :class:`JournalError` if the journal is unreachable.
        """
        while True:
            statuses = self._look(numbers)
            if all(one.request.state.is_final for one in statuses):
                return [self._journal.requests.get(number) for number in numbers]
            self._show(statuses)
            self._suggest_worker(statuses)
            if self._output.cancel.wait(INTERVAL):
                raise KeyboardInterrupt

    def _look(self, numbers: Sequence[int]) -> list[RequestStatus]:
        """Return the progress of requests; retry for a while if the journal is unreachable."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return [status_of(self._journal, self._journal.requests.get_brief(one)) for one in numbers]
            except JournalError:
                if time.monotonic() > deadline:
                    raise
            if self._output.cancel.wait(INTERVAL):
                raise KeyboardInterrupt

    def _show(self, statuses: Sequence[RequestStatus]) -> None:
        left = [one for one in statuses if not one.request.state.is_final]
        if len(statuses) == 1:
            one = left[0]
            self._output.show_request(sentence(replace(one, steps={})), one.realms_done, one.realms, "realm")
        else:
            self._output.show_request("Following", len(statuses) - len(left), len(statuses), "request")
        for one in statuses:
            self._say(one)

    def _say(self, one: RequestStatus) -> None:
        """Print a line if the state of a request has changed."""
        state = one.request.state.value
        if self._said.setdefault(one.request.number, "") != state:
            self._said[one.request.number] = state
            self._output.note_request(line(f"{sentence(one)}."))

    def _suggest_worker(self, statuses: Sequence[RequestStatus]) -> None:
        """Say how to start a worker where none has ever taken a request that is the next of its server."""
        if not self._journal.is_shared or time.monotonic() - self._began < self._idle_after:
            return
        for one in statuses:
            request = one.request
            if request.state is RequestState.WAITING and not one.ahead and not request.summary:
                who = f"all workers of the queue {quoted(request.queue)} are busy, or there is none"
                self._output.log_once(f"{who}; to start one: {worker_command(request.queue)}")


def follow_to_end(output: Output, journal: Journal, request: StoredRequest) -> NoReturn:
    """Follow a request that a command has submitted, and exit with its report and status."""
    interrupt_on_termination()
    try:
        with output.waiting():
            [ended] = Follower(output, journal).follow([request.number])
    except KeyboardInterrupt:
        finish_interrupted(output, journal, [request.number])
    step = next_command("apply") if output.command == "drift" and _has_changes(ended) else ""
    output.finish_report(replace(of_request_result(output.command, ended), next_step=step))


def _has_changes(ended: StoredRequest) -> bool:
    """Tell whether an apply would change a realm: drift may be only realms that the spec has no entry for."""
    counts = stored_counts(ended)
    return ended.final_status is ExitStatus.DIFFERS if counts is None else Status.CHANGED.value in counts


def finish_interrupted(output: Output, journal: Journal, numbers: Iterable[int]) -> NoReturn:
    """Exit while requests continue; report their state, and how to cancel them.

    Raises :class:`KeyboardInterrupt` if the journal is unreachable.
    """
    try:
        statuses = [status_of(journal, journal.requests.get_brief(one)) for one in numbers]
    except JournalError:
        raise KeyboardInterrupt from None
    left = format_ranges(one.request.number for one in statuses if not one.request.state.is_final)
    step = f"ztrust-mail requests {left} --follow" if left else ""
    output.finish_report(of_requests(output.command, statuses, ExitStatus.INTERRUPTED, step))
