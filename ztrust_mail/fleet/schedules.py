"""Submits the checks of ``[schedules]`` when they are due: each once, however many workers there are."""

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
    from ztrust_mail.fleet.engine import Engine
    from ztrust_mail.fleet.work import Content
    from ztrust_mail.specfile.entries import Spec

_LOG: Final = logging.getLogger("ztrust_mail.worker")

LONGEST_MISSED: Final = timedelta(days=7)
"""How late a missed check is still made."""


@dataclass(frozen=True)
class _Occasion:
    """A time at which a schedule is due."""

    schedule: config.Schedule
    due: datetime

    @property
    def key(self) -> str:
        """The key of its requests, by which only the first worker submits them."""
        return f"{self.prefix}{self.due:%Y-%m-%dT%H:%MZ}"

    @property
    def prefix(self) -> str:
        """How the keys of all requests of the schedule begin."""
        return f"schedule {self.schedule.name} "


@dataclass(frozen=True)
class _Check(CheckDrift):
    """A check of several servers, whose spec is read once."""

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
    """Submits the checks that are due. It is one of the sweeps of a worker: ``ScheduleSweep(engine)()``.

    Of the times of a schedule that have passed, only the newest counts, and not if it is older than a week or than
    requests are kept: the request for it may be pruned. The settings are read each time, so a change needs no restart.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime] | None = None) -> None:
        self._engine = engine
        self._clock = clock or engine.journal.requests.now
        self._submitted: dict[tuple[str, str], datetime] = {}
        """By schedule and the URL of a server, the time for which nothing is left to submit."""
        self._logged: dict[tuple[str, str], str] = {}
        """By schedule and server, the last problem that was logged, with the time that was due."""

    def __call__(self) -> None:
        """Submit a request for each schedule that is due, and each of its servers. Raises :class:`JournalError`.

        A schedule that cannot be submitted is logged once for each time it is due, and does not stop the others.
        """
        options = self._engine.options
        try:
            settings = config.load(options.config_path, options.environ).trusted
        except ZtrustMailError as e:
            self._log_once(("", ""), "", f"schedules wait, as the settings cannot be read: {e.message}")
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
        except ZtrustMailError as e:  # the spec is not for this server, or has no value of a variable for it
            self._log_problem(occasion, server.name, e)
        else:
            self._submitted[name, server.url] = occasion.due

    def _find_servers(self, settings: config.Settings, occasion: _Occasion) -> Iterator[config.Server]:
        """Yield the servers for which nobody has submitted a check yet."""
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
        self._log_once((name, server), occasion.key, f"schedule {quoted(name)} checks nothing{where}: {e.message}")

    def _log_once(self, place: tuple[str, str], when: str, message: str) -> None:
        if self._logged.get(place) != (problem := f"{when} {message}"):
            self._logged[place] = problem
            _LOG.warning("%s", message)
