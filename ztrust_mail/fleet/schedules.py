"""Submits the checks of ``[schedules]`` when they are due: each once, no matter how many workers there are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ztrust_mail import settings as config
from ztrust_mail.core.errors import JournalError, ZtrustMailError
from ztrust_mail.core.text import quoted
from ztrust_mail.fleet.work import CheckDrift
from ztrust_mail.settings.inventory import resolve_selection

if TYPE_CHECKING:
    from ztrust_mail.fleet.content import Content
    from ztrust_mail.fleet.engine import Engine
    from ztrust_mail.specfile.entries import Spec

_LOG: Final = logging.getLogger("ztrust_mail.worker")

LONGEST_MISSED: Final = timedelta(days=7)
"""The maximum delay after which a missed check is still submitted."""


@dataclass(frozen=True)
class _Occasion:
    """A time at which a schedule is due."""

    schedule: config.Schedule
    due: datetime

    @property
    def key(self) -> str:
        """The key of its requests, so that only the first worker submits them."""
        return f"{self.prefix}{self.due:%Y-%m-%dT%H:%MZ}"

    @property
    def prefix(self) -> str:
        """The common prefix of the keys of all requests of the schedule."""
        return f"schedule {self.schedule.name} "


@dataclass(frozen=True)
class _Check(CheckDrift):
    """A check of several servers that reads its spec only once."""

    @cached_property
    def _content(self) -> Content:
        return super().to_content()

    @cached_property
    def _loaded(self) -> Spec:
        return super().load()

    def to_content(self) -> Content:
        return self._content

    def load(self) -> Spec:
        return self._loaded


class ScheduleSweep:
    """Submits the checks that are due. One of the sweeps of a worker: ``ScheduleSweep(engine)()``.

    Only the most recent due time of a schedule counts. It is skipped if it is older than a week or than ``keep_days``,
    as its request may have been pruned. The settings are reloaded each time, so a change needs no restart.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime] | None = None) -> None:
        self._engine = engine
        self._clock = clock or engine.journal.requests.now
        self._submitted: dict[tuple[str, str], datetime] = {}
        """The due time already handled, by schedule and server URL."""
        self._logged: dict[tuple[str, str], str] = {}
        """The last problem logged, with its due time, by schedule and server."""

    def __call__(self) -> None:
        """Submit a request for each schedule that is due, and each of its servers. Raises :class:`JournalError`.

        A schedule that cannot be submitted is logged once per due time, and does not stop the others.
        """
        options = self._engine.options
        try:
            settings = config.load(options.config_path, options.environ).trusted
        except ZtrustMailError as e:
            self._log_once(("", ""), "", f"schedules are paused: cannot read the settings: {e.message}")
            return
        self._logged.pop(("", ""), None)
        if not settings.schedules:
            return
        now = self._clock()
        oldest = now - min(LONGEST_MISSED, timedelta(days=settings.fleet.keep_days))
        for schedule in settings.schedules:
            due = schedule.last_due(now)
            if due is not None and due > oldest:
                self._submit(settings, _Occasion(schedule, due))

    def _submit(self, settings: config.Settings, occasion: _Occasion) -> None:
        check = _Check(occasion.schedule.drift)
        servers = [*self._find_servers(settings, occasion)]
        unfinished = self._engine.journal.requests.list_unfinished() if servers else []
        checked_soon = {one.server for one in unfinished if one.key.startswith(occasion.prefix)}
        for server in servers:
            if server.url in checked_soon:
                self._submitted[occasion.schedule.name, server.url] = occasion.due
                continue
            try:
                check.to_content()
            except ZtrustMailError as e:
                self._log_problem(occasion, "", e)
                return
            self._submit_for(server, check, occasion)

    def _submit_for(self, server: config.Server, check: CheckDrift, occasion: _Occasion) -> None:
        name = occasion.schedule.name
        try:
            self._engine.submit(check, server, key=occasion.key, message=f"schedule {name}")
        except JournalError:
            raise
        except ZtrustMailError as e:  # the spec is for another server, or lacks a variable for this one
            self._log_problem(occasion, server.name, e)
        else:
            self._submitted[name, server.url] = occasion.due

    def _find_servers(self, settings: config.Settings, occasion: _Occasion) -> Iterator[config.Server]:
        """Yield the servers for which no check has been submitted yet."""
        name, environ = occasion.schedule.name, self._engine.options.environ
        try:
            selected = resolve_selection(settings, occasion.schedule.selection, environ)
        except ZtrustMailError as e:
            self._log_problem(occasion, "", e)
            return
        for one in selected:
            if one.url and self._submitted.get((name, one.url)) == occasion.due:
                continue
            try:
                server = config.choose_server(settings, one.name, (), environ)
            except ZtrustMailError as e:
                self._log_problem(occasion, one.name, e)
                continue
            if self._engine.journal.requests.has_key(server.url, occasion.key):
                self._submitted[name, server.url] = occasion.due
            else:
                yield server

    def _log_problem(self, occasion: _Occasion, server: str, e: ZtrustMailError) -> None:
        name = occasion.schedule.name
        where = f" on {quoted(server)}" if server else ""
        self._log_once((name, server), occasion.key, f"schedule {quoted(name)} cannot run{where}: {e.message}")

    def _log_once(self, place: tuple[str, str], when: str, message: str) -> None:
        if self._logged.get(place) != (problem := f"{when} {message}"):
            self._logged[place] = problem
            _LOG.warning("%s", message)
