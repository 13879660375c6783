"""Delegates a command to workers: submits a request for each server, and follows it unless detached."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ztrust_mail import settings as config
from ztrust_mail.cli import parameters
from ztrust_mail.cli.invocation import next_command
from ztrust_mail.cli.options import ServerFlags, SpecFlags
from ztrust_mail.cli.output import Output, confirm
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.files import STDIN, read_regular_file
from ztrust_mail.core.text import quoted
from ztrust_mail.journal.request_list import status_of
from ztrust_mail.reports.report import of_findings, of_requests
from ztrust_mail.reports.style import line
from ztrust_mail.settings.urls import is_file_url
from ztrust_mail.specfile.load import SpecFiles, read_data

if TYPE_CHECKING:
    from ztrust_mail.cli.many_servers.turns import Stage
    from ztrust_mail.fleet import Engine, Work
    from ztrust_mail.planning.saved.write import SavedPlan
    from ztrust_mail.specfile.entries import Spec

MAX_PLAN = 100_000_000
"""The maximum size of a saved plan, in bytes. The size of a request is checked separately, on submit."""

detaching = parameters.flag("--detach", help="Submit a request to workers and return; see: ztrust-mail requests.")


@dataclass(frozen=True)
class Submission:
    """The request to submit for each server of a command. ``guard`` has the servers named in the spec's guard.

    ``plan`` is a saved plan to apply. With ``detach`` the command ends immediately, otherwise when the request ends.
    """

    work: Work
    guard: Sequence[str] = ()
    plan: SavedPlan | None = None
    message: str = ""
    detach: bool = True
    order: Sequence[Stage] = ()


def is_for_workers(config_path: str | None, *, detach: bool) -> bool:
    """Tell whether a command is delegated to workers, by ``--detach`` or by the settings."""
    return detach or config.load(config_path).fleet.run_by_workers


def refuse_options(given: Mapping[str, object], reasons: Mapping[str, str], *, detach: bool) -> None:
    """Raise :class:`UsageError` for a given option that requests do not support, with the reason."""
    for name, reason in reasons.items():
        if given[name]:
            cause = "--detach" if detach else '`run_by = "workers"` in the settings'
            raise UsageError(f"{name} cannot be combined with {cause}: {reason}", f"leave out {name}")


def confirm_or_end(output: Output, *, yes: bool, detach: bool) -> None:
    """Ask on a terminal whether workers may write, unless ``yes`` is set; a no ends the command.

    Raises :class:`UsageError` with ``detach`` or without a terminal, since a worker cannot ask.
    """
    if yes:
        return
    command = output.command
    if detach or not sys.stdin.isatty():
        review = next_command("plan") if command == "apply" else next_command(command, dry_run=True, detach=None)
        raise UsageError("a worker cannot ask for confirmation", f"review `{review}`, then pass --yes")
    if not confirm("A worker will plan and write without showing the plan first. Submit the request?"):
        output.finish([line("Declined: nothing was submitted.")], of_findings(command, ExitStatus.DIFFERS, ()))


def load_for_workers(files: SpecFlags, config_path: str | None) -> tuple[Spec, SpecFiles]:
    """Return a spec, and the data of its files for a request.

    Raises :class:`UsageError` for a spec that can be read only once, and like :func:`ztrust_mail.load_spec`.
    """
    for one in files.specs:
        if one == STDIN:
            raise UsageError("requests cannot read the spec from standard input", "save it to a file, and name that")
        if os.path.exists(one) and not os.path.isfile(one) and not os.path.isdir(one):
            raise UsageError(f"{quoted(one)} can be read only once", "save it to a file, and name that")
    return files.load(config_path), SpecFiles(read_data(files.specs))


def read_plan(saved: SavedPlan) -> str:
    """Return the text of a saved plan. Raises :class:`UsageError` if the file was replaced meanwhile."""
    from ztrust_mail.planning.saved.read import from_text

    text = read_regular_file(saved.path, MAX_PLAN).decode("utf-8-sig")
    if from_text(text).digest != saved.digest:
        raise UsageError(f"the plan {quoted(saved.path, 255)} was replaced while being read", "run the command again")
    return text


def submit_on_servers(output: Output, servers: ServerFlags, config_path: str | None, submission: Submission) -> None:
    """Submit a request for each selected server, and exit: immediately, or when all have ended."""
    from ztrust_mail import fleet

    if submission.order and submission.detach:
        hint = "leave out --detach, or submit stage by stage with --label"
        raise UsageError("--order cannot be combined with --detach: requests do not wait for other servers", hint)
    fleet.require_workers(config.journal_url(config.load(config_path)))
    with fleet.open_engine(config_path) as engine:
        work = partial(_submit, engine, config_path, submission)
        servers.run(output, config_path, work, order=submission.order)


def _submit(
    engine: Engine, config_path: str | None, submission: Submission, output: Output, server: str | None
) -> None:
    from ztrust_mail.cli.workers.follow import follow_to_end

    chosen = _choose_server(submission, config.load(config_path), server)
    if is_file_url(chosen.url):
        hint = "run the command here, without --detach, or name a server"
        raise UsageError(f"{quoted(chosen.url)} has realm exports on this machine, which workers cannot access", hint)
    if not output.wait_for_turn():
        output.finish([line(output.declined)], of_findings(output.command, ExitStatus.DIFFERS, ()))
    request = engine.submit(submission.work, chosen, message=submission.message)
    if submission.detach:
        status = status_of(engine.journal, request)
        step = f"ztrust-mail requests {request.number} --follow"
        output.finish_report(of_requests(output.command, [status], ExitStatus.OK, step))
    follow_to_end(output, engine.journal, request)


def _choose_server(submission: Submission, settings: config.Settings, server: str | None) -> config.Server:
    if submission.plan is None:
        return config.choose_server(settings, server, submission.guard)
    from ztrust_mail.planning.saved.checks import choose_server_of

    return choose_server_of(submission.plan, settings, server, (), config.PROCESS)
