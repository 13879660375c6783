"""Runs a command on several servers, each in its own thread, and reports on all of them."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from ztrust_mail import settings as config
from ztrust_mail.cli.invocation import SUGGESTED_CANARY, next_command
from ztrust_mail.cli.many_servers.server_output import ServerOutput
from ztrust_mail.cli.many_servers.turns import Permission, Stage, Turns
from ztrust_mail.cli.output import Output, confirm
from ztrust_mail.cli.streams import handle_interruptions, interrupt_on_termination
from ztrust_mail.core.errors import ExitStatus, UsageError, ZtrustMailError
from ztrust_mail.core.text import first_and_more, format_ranges, pluralise, quoted
from ztrust_mail.planning.safety import Reason
from ztrust_mail.reports import text
from ztrust_mail.reports.report import ServerResult, of_servers_run
from ztrust_mail.reports.server_result import count_realms, list_requests, refused_reasons
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.lines import finding_lines
from ztrust_mail.reports.text.many_servers import group_lines, table_lines
from ztrust_mail.settings.fleet import ServerSelection
from ztrust_mail.settings.inventory import SelectedServer, report_left_out, resolve_selection
from ztrust_mail.settings.urls import is_file_url

Work = Callable[[Output, str | None], None]
"""A function that runs a command on one server, given its output and the value of ``--server``, and exits."""

_WRITING = ("apply", "rotate")
_LISTED = 10
_LOG = logging.getLogger(__name__)


def select_servers(output: Output, selection: ServerSelection, settings_path: str | None) -> Sequence[SelectedServer]:
    """Return the servers that were asked for. Raises :class:`UsageError` if they cannot be selected."""
    settings = config.load(settings_path)
    selected = resolve_selection(settings, selection)
    output.add_findings(report_left_out(settings, selection))
    for one in selected:
        if is_file_url(one.url):
            output.check_outside_exports(config.folder_of(one.url))
    return selected


class ManyServersRun:
    """A run on several servers. The main thread asks and waits; each server has its own thread."""

    def __init__(
        self, output: Output, selected: Sequence[SelectedServer], parallel: int, order: Sequence[Stage]
    ) -> None:
        self._output, self._order = output, order
        self._turns = Turns([one.name for one in selected], parallel)
        self._stages = _split_into_stages(selected, order)
        self._outputs = {one.name: ServerOutput.of(output, one, self._turns) for one in selected}
        self._is_declined = False
        self._interruptions = 0
        self._is_asking = False

    def run(self, work: Work, *, yes: bool) -> NoReturn:
        """Run the command on all servers, and exit with the status that takes precedence."""
        interrupt_on_termination()
        if yes and self._output.command in _WRITING:
            self._announce()
        self._output.show_activity(f"{self._output.command} on {pluralise(len(self._outputs), 'server')}")
        self._count()
        with handle_interruptions(self._on_signal):
            for one in self._outputs.values():
                threading.Thread(target=self._work_on, args=(one, work), daemon=True).start()
            if yes:
                self._agree([*self._outputs])
            else:
                self._wait(self._turns.are_all_asked)
                if asking := self._turns.asking():
                    self._ask_about(asking)
            self._wait(partial(self._turns.are_done, [*self._outputs]))
        results = [one.result for one in self._outputs.values()]
        status = ExitStatus.INTERRUPTED if self._turns.cancel.is_set() else ExitStatus.OK
        self._output.finish_report(of_servers_run(self._output.command, results, status, self._next_command(results)))

    def _announce(self) -> None:
        """Print the selected servers. Raises :class:`OutputError` if standard output cannot be written."""
        names = first_and_more([*self._outputs], _LISTED)
        said = line(f"Working on {pluralise(len(self._outputs), 'server')}: {names}.")
        self._output.show_preview(text.TextReport([], [said, line()]), asks=False)

    def _work_on(self, output: ServerOutput, work: Work) -> None:
        with suppress(SystemExit, Exception), output.scope(), output:
            try:
                with self._turns.slot():
                    work(output, output.server.name)
            except Exception as e:
                if not isinstance(e, ZtrustMailError):
                    output.report_internal_error(e)
                raise  # output makes it the server's report
        output.end_without_report()
        self._count()

    def _count(self) -> None:
        self._output.count_servers(self._turns.number_done, len(self._outputs))

    def _wait(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            if self._turns.wait_for_news():
                self._interrupt()

    def _on_signal(self) -> None:
        if self._is_asking:
            raise KeyboardInterrupt
        self._turns.note_signal()

    def _interrupt(self) -> None:
        """Let writes in progress finish; at a second Ctrl-C, stop waiting for servers that are only being read."""
        self._interruptions += 1
        self._turns.interrupt()
        for one in self._outputs.values():
            one.stop_waiting()
            if self._interruptions > 1 and self._turns.may_be_abandoned(one.server.name):
                one.abandon()
        if self._interruptions == 1:
            message = "finishing the writes in progress; no others are started"
            message = "workers continue without this command" if self._turns.is_following else message
            _LOG.info(message, extra={"rule": "interrupted"})

    def _ask_about(self, asking: Sequence[str]) -> None:
        """Show the plans of all servers, ask for confirmation, and let the servers continue."""
        try:
            self._is_asking = True
            is_agreed = self._show_and_ask(asking)
            self._is_asking = False
        except KeyboardInterrupt:
            self._is_asking = False
            self._interrupt()
            return
        except BaseException:  # such as standard output that cannot be written
            self._is_asking = False
            self._refuse(asking, "declined")
            self._wait(partial(self._turns.are_done, [*self._outputs]))
            raise
        if not is_agreed:
            self._is_declined = True
            self._refuse(asking, "declined")
            return
        self._output.show_new_activity(f"{self._output.command} on {pluralise(len(asking), 'server')}")
        self._agree(asking)

    def _show_and_ask(self, asking: Sequence[str]) -> bool:
        previews = [one.preview_result for one in self._outputs.values()]
        render = text.TextFormat(details=self._output.display.details).render
        changing = [one for one in previews if one.name in asking]
        realms = sum(counts.changed or 0 for one in changing if (counts := count_realms(one.report)))
        notes = finding_lines(self._output.take_new_findings())
        body = [*notes, *group_lines(changing, render, details=self._output.display.details)]
        self._output.show_preview(text.TextReport(body, [*table_lines(previews), line()]), asks=True)
        where = f"{pluralise(len(asking), 'server')} ({first_and_more(asking)})"
        return confirm(f"Write to {pluralise(realms, 'realm')} on {where}?")

    def _refuse(self, names: Sequence[str], remark: str) -> None:
        for name in names:
            output = self._outputs[name]
            output.refusal = remark
            output.declined = f"{remark[0].upper()}{remark[1:]}; nothing was written."
            self._turns.answer(name, Permission.NO)

    def _agree(self, names: Sequence[str]) -> None:
        """Permit writes to servers, including those that have not asked yet; with an order, stage by stage."""
        if not self._order:
            for name in names:
                self._turns.answer(name, Permission.YES)
            return
        failed = ""
        for stage, members in self._stages.items():
            if failed:
                self._refuse(members, f"not started: {failed} failed")
                continue
            for name in members:
                self._turns.answer(name, Permission.YES)
            self._wait(partial(self._turns.are_done, members))
            if any(self._outputs[name].result.report.exit_status is not ExitStatus.OK for name in members):
                failed = "=".join(stage)

    def _next_command(self, results: Sequence[ServerResult]) -> str:
        """Return the next command: an apply if anything differs, or the same command for the remaining servers."""
        name = self._output.command
        if numbers := list_requests(one.report for one in results):
            return f"ztrust-mail requests {format_ranges(numbers)} --follow"
        if name in ("plan", "drift"):
            differs = any(one.report.exit_status in (ExitStatus.DIFFERS, ExitStatus.UNSAFE) for one in results)
            return next_command("apply", **self._confirmation(results)) if differs else ""
        rest = [one.name for one in results if one.report.exit_status is not ExitStatus.OK]
        if name not in _WRITING or not rest or self._is_declined:
            return ""
        chosen = {"server": rest, "label": None, "all_servers": None} if len(rest) < len(results) else {}
        return next_command(name, **chosen, **self._confirmation(results))

    def _confirmation(self, results: Sequence[ServerResult]) -> dict[str, object]:
        """Return the options that allow the dangers of all servers, with a canary for a mass change if possible."""
        reasons = list(dict.fromkeys(one for result in results for one in refused_reasons(result.report)))
        changes: dict[str, object] = {"allow": ",".join(reasons)} if reasons else {}
        refused = [self._outputs[one.name] for one in results if refused_reasons(one.report)]
        if Reason.MASS_CHANGE in reasons and "--canary" not in sys.argv and all(one.can_test for one in refused):
            changes["canary"] = SUGGESTED_CANARY
        return changes


def _split_into_stages(selected: Sequence[SelectedServer], order: Sequence[Stage]) -> dict[Stage, list[str]]:
    """Return the servers of each stage. Raises :class:`UsageError` for a server in none."""
    stages: dict[Stage, list[str]] = {stage: [] for stage in order}
    for one in selected:
        stage = next((known for known in order if one.labels.get(known[0]) == known[1]), None)
        if order and stage is None:
            has = ", ".join(f"{name}={value}" for name, value in one.labels.items()) or "no labels"
            hint = "add its stage to --order, or leave the server out with --label or --server"
            raise UsageError(f"server {quoted(one.name)} is in no stage of --order: it has {has}", hint)
        if stage is not None:
            stages[stage].append(one.name)
    return stages
