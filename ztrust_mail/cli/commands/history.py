"""``history``: what runs did, from the journal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Self

from ztrust_mail import api
from ztrust_mail.api import Session
from ztrust_mail.cli import options
from ztrust_mail.cli.execute import must_be_answerable
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output, ProtectedFiles
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.reports.report import of_findings, of_removal, of_runs
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.findings import finding_lines

NAME = "history"
LARGEST_RUN = 2**31 - 1  # what any database takes for a number


@options.command(NAME)
@options.number_argument("run", "[RUN]", LARGEST_RUN, "The number of a run to be shown whole.")
@options.server
@options.realm
@options.number("--limit", "N", 20, 1, 10_000, "List so many runs.")
@options.text("--forget", metavar="REALM", help="Take a realm out that is gone for good.")
@options.text("--prune", metavar="COUNT|DATE", help="Keep so many runs, or those since a day such as 2026-01-31.")
@options.yes
@options.result_format
@options.report
@options.config
def command(
    run: int | None,
    server: str | None,
    realm: Sequence[str],
    limit: int,
    forget: str | None,
    prune: str | None,
    yes: bool,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """List the runs on a server, or tell what one did to each realm.

    Asks the journal only: nothing is sent. --forget and --prune take out of the journal what is not needed any more.
    """
    with Output(NAME, format, report, ProtectedFiles(settings=config)) as output:
        if forget is not None or prune is not None:
            if run is not None or realm or (forget is not None and prune is not None):
                raise UsageError(
                    "--forget and --prune stand alone", "leave out RUN and --realm, and use one of the two"
                )
            must_be_answerable(NAME, yes=yes)
        old = None if prune is None else _Old.of(prune)
        with api.connect(server, config_path=config) as connection:
            output.connected(connection)
            output.tell(finding_lines(connection.missing_journal_note()))
            if forget is not None:
                _forget(output, connection, forget, yes=yes)
            if old:
                _prune(output, connection, old, yes=yes)
            found = api.history(connection, run, realms=realm, limit=limit)
        output.finish_report(of_runs(found, connection.gateway.url, whole=run is not None))


@dataclass(frozen=True)
class _Old:
    """Which runs are old: all but the newest ``keep``, or those begun before a time."""

    keep: int = 0
    before: datetime | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """Return what ``--prune`` says. Raises :class:`UsageError`."""
        try:
            if text.isdecimal() and 0 < int(text) <= LARGEST_RUN:
                return cls(int(text))
            return cls(before=datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC))
        except ValueError:
            hint = "give the number of runs to keep, 1 or more, or a day in UTC such as 2026-01-31"
            raise UsageError(f"--prune {quoted(text)} is neither a number nor a day", hint) from None


def _prune(output: Output, connection: Session, old: _Old, *, yes: bool) -> NoReturn:
    first, number = api.prunable(connection, keep=old.keep, before=old.before)
    if not number:
        output.finish([line("No run is that old.")], of_removal(0, 0))
    _agree(output, f"Take {pluralise(number, 'run')} before run {first} out of the journal?", yes=yes)
    gone, writes = api.prune(connection, first)
    kept = f"; of {number - gone:,} older the journal keeps what revert and plan need" if number > gone else ""
    output.finish(
        [line(f"Pruned: {pluralise(gone, 'run')} and {pluralise(writes, 'write')} removed{kept}.")],
        of_removal(gone, writes),
    )


def _forget(output: Output, connection: Session, realm: str, *, yes: bool) -> NoReturn:
    question = f"Take all that is noted of {quoted(realm)} out of the journal? It cannot be reverted any more."
    _agree(output, question, yes=yes)
    if not (writes := api.forget(connection, realm)):
        hint = "names are compared to the letter; history lists the runs, history RUN their realms"
        raise UsageError(f"the journal knows nothing of the realm {quoted(realm)} there", hint)
    output.finish([line(f"Forgotten: {realm}, {pluralise(writes, 'write')}.")], of_removal(0, writes))


def _agree(output: Output, question: str, *, yes: bool) -> None:
    """Ask on standard error; end the command where the answer is anything but yes."""
    if yes:
        return
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        output.tell([line("Declined: nothing was removed.")])
        output.finish((), of_findings(NAME, ExitStatus.DIFFERS, ()))
