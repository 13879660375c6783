"""``requests``: list, show, follow, cancel and retry requests to workers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from ztrust_mail import settings
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.streams import interrupt_on_termination
from ztrust_mail.cli.workers.follow import Follower, finish_interrupted
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.text import format_ranges, quoted
from ztrust_mail.journal.journal import Journal, open_journal
from ztrust_mail.journal.request_list import RequestList, list_requests, status_of
from ztrust_mail.reports.report import of_request_list, of_requests

if TYPE_CHECKING:
    from ztrust_mail.journal.requests import StoredRequest

NAME = "requests"

MOST_NUMBERS: Final = 10_000
"""How many requests one command may name."""


@parameters.command(NAME)
@parameters.argument("words", "[N...]", "Requests to show in detail: 12, or 12-20.", nargs=-1)
@parameters.flag("--follow", help="Wait until the requests have ended, and exit with their status.")
@parameters.flag("--cancel", help="Cancel the requests; running ones stop before their next realm.")
@parameters.flag("--retry", help="Queue failed, dead or cancelled requests again.")
@options.server
@parameters.number("--limit", "COUNT", 20, 0, 10_000, "How many ended requests to list.")
@options.shared
def command(
    words: Sequence[str],
    follow: bool,
    cancel: bool,
    retry: bool,
    server: str | None,
    limit: int,
    shared: options.SharedFlags,
) -> None:
    """List the requests to workers, or show some of them.

    Lists waiting and running requests and the most recently ended ones, for all servers. Similar requests for a server
    share a row. With numbers, shows, follows, cancels or retries these requests. Sends nothing to servers.
    """
    with shared.output(NAME) as output:
        numbers = _parse_numbers(words)
        _check_options(numbers, server, {"--follow": follow, "--cancel": cancel, "--retry": retry})
        if cancel or retry:
            _change(output, numbers, shared.config, retry=retry, follow=follow)
        url = settings.choose_server(settings.load(shared.config), server).url if server else ""
        journal = open_journal(settings.journal_url(settings.load(shared.config)), writable=False)
        if journal is None:
            if numbers:
                raise UsageError(
                    f"there is no request {numbers[0]}: the journal does not exist yet", "the first request creates it"
                )
            output.finish_report(of_request_list(RequestList(), url))
        with journal:
            if numbers:
                _show(output, journal, numbers, follow=follow)
            found = list_requests(journal, url, limit)
        newest = max((one.number for one in found.requests), default=0)
        output.finish_report(of_request_list(found, url, f"ztrust-mail requests {newest}" if newest else ""))


def _parse_numbers(words: Sequence[str]) -> list[int]:
    """Return the numbers in words such as ``12`` and ``12-20``, each once. Raises :class:`UsageError`."""
    numbers = dict[int, None]()
    for word in words:
        found = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", word)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= parameters.LARGEST:
            raise UsageError(f"{quoted(word)} is not the number of a request", "give a number, or a range such as 5-7")
        if last - first + len(numbers) >= MOST_NUMBERS:
            raise UsageError(f"more than {MOST_NUMBERS:,} requests were named", "name fewer at a time")
        numbers |= dict.fromkeys(range(first, last + 1))
    return list(numbers)


def _check_options(numbers: Sequence[int], server: str | None, verbs: dict[str, bool]) -> None:
    """Raise :class:`UsageError` if options conflict."""
    given = [name for name, is_given in verbs.items() if is_given]
    if given and not numbers:
        raise UsageError(f"{given[0]} needs request numbers", "list them with: ztrust-mail requests")
    if numbers and server:
        raise UsageError("--server cannot be combined with request numbers", "leave out one of the two")
    if "--cancel" in given and "--retry" in given:
        raise UsageError("--cancel and --retry exclude each other", "pass one of them")


def _change(output: Output, numbers: Sequence[int], config_path: str | None, *, retry: bool, follow: bool) -> NoReturn:
    """Cancel or retry requests, and exit. Changes none if one does not exist or cannot be retried."""
    from ztrust_mail import fleet

    with fleet.open_engine(config_path) as engine:
        for number in numbers:
            request = engine.status(number)
            if retry:
                request.require_retriable()
        change: Callable[[int], StoredRequest] = engine.retry if retry else engine.cancel
        for number in numbers:
            change(number)
        if follow:
            _show(output, engine.journal, numbers, follow=True)
        statuses = [status_of(engine.journal, engine.status(number)) for number in numbers]
    step = f"ztrust-mail requests {format_ranges(numbers)} --follow" if retry else ""
    output.finish_report(of_requests(NAME, statuses, ExitStatus.OK, step))


def _show(output: Output, journal: Journal, numbers: Sequence[int], *, follow: bool) -> NoReturn:
    """Show requests in full, with ``follow`` after they have ended, and exit."""
    status = ExitStatus.OK
    if follow:
        interrupt_on_termination()
        try:
            ended = Follower(output, journal).follow(numbers)
        except KeyboardInterrupt:
            finish_interrupted(output, journal, numbers)
        status = ExitStatus.worst(one.final_status for one in ended)
    found = [status_of(journal, journal.requests.get(number)) for number in numbers]
    output.finish_report(of_requests(NAME, found, status, whole=True))
