"""``history``: list the runs in the journal."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Self

from ztrust_mail import api
from ztrust_mail.api import Session
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.execute import require_terminal_or_yes
from ztrust_mail.cli.output import Output, confirm
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.reports.report import of_findings, of_removal, of_runs
from ztrust_mail.reports.style import line

NAME = "history"


@parameters.command(NAME)
@parameters.number_argument("run", "[RUN]", "A run to show in detail.")
@options.server
@options.realm
@parameters.number("--limit", "N", 20, 1, 10_000, "How many runs to list.")
@parameters.text("--forget", metavar="REALM", help="Remove a deleted realm from the journal.")
@parameters.text(
    "--prune", metavar="COUNT|DATE", help="Keep this number of runs, or those since a day such as 2026-01-31."
)
@options.yes
@options.shared
def command(
    run: int | None,
    server: str | None,
    realm: tuple[str, ...],
    limit: int,
    forget: str | None,
    prune: str | None,
    yes: bool,
    shared: options.SharedFlags,
) -> None:
    """List the runs on a server, or show one run.

    A single run is shown with its effect on each realm. Reads only the journal; sends nothing to the server. --forget
    and --prune remove entries from the journal.
    """
    with shared.output(NAME) as output:
        if forget is not None or prune is not None:
            if run is not None or realm or (forget is not None and prune is not None):
                raise UsageError(
                    "--forget and --prune cannot be combined with each other, RUN or --realm", "pass one of them alone"
                )
            require_terminal_or_yes(NAME, yes=yes)
        old = None if prune is None else _PruneLimit.parse(prune)
        with api.connect(server, config_path=shared.config) as session:
            output.attach(session)
            output.add_findings(session.missing_journal_note())
            if forget is not None:
                _forget(output, session, forget, yes=yes)
            if old:
                _prune(output, session, old, yes=yes)
            found = api.history(session, run, realms=realm, limit=limit)
        output.finish_report(of_runs(found, session.gateway.url, whole=run is not None))


@dataclass(frozen=True)
class _PruneLimit:
    """Which runs to prune: all but the newest ``keep``, or those started before a time."""

    keep: int = 0
    before: datetime | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the value of ``--prune``. Raises :class:`UsageError`."""
        try:
            if text.isdecimal() and 0 < int(text) <= parameters.LARGEST:
                return cls(int(text))
            return cls(before=datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC))
        except ValueError:
            hint = "give the number of runs to keep, 1 or more, or a day in UTC such as 2026-01-31"
            raise UsageError(f"--prune {quoted(text)} is neither a number of runs nor a day", hint) from None


def _prune(output: Output, session: Session, old: _PruneLimit, *, yes: bool) -> NoReturn:
    first, number = api.prunable(session, keep=old.keep, before=old.before)
    if not number:
        output.finish([line("No run to prune.")], of_removal(0, 0))
    _confirm_or_end(output, f"Remove {pluralise(number, 'run')} before run {first} from the journal?", yes=yes)
    gone, writes = api.prune(session, first)
    kept = f"; {number - gone:,} more keep the writes that revert and plan need" if number > gone else ""
    output.finish(
        [line(f"Pruned: {pluralise(gone, 'run')} and {pluralise(writes, 'write')} removed{kept}.")],
        of_removal(gone, writes),
    )


def _forget(output: Output, session: Session, realm: str, *, yes: bool) -> NoReturn:
    question = f"Remove everything about {quoted(realm)} from the journal? It cannot be reverted after that."
    _confirm_or_end(output, question, yes=yes)
    if not (writes := api.forget(session, realm)):
        hint = "names are case-sensitive; `ztrust-mail history RUN` lists the realms of a run"
        raise UsageError(f"the journal has no writes to the realm {quoted(realm)} on this server", hint)
    output.finish([line(f"Removed from the journal: {realm}, {pluralise(writes, 'write')}.")], of_removal(0, writes))


def _confirm_or_end(output: Output, question: str, *, yes: bool) -> None:
    """Ask unless ``yes`` was given, and end the command if the answer is no."""
    if not yes and not confirm(question):
        output.finish([line("Declined: nothing was removed.")], of_findings(NAME, ExitStatus.DIFFERS, ()))
