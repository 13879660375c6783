"""Limits of a server: concurrent requests, requests per second, and the windows in which realms may be written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.text import did_you_mean, quoted, to_minute
from ztrust_mail.settings.inputs import Table

if TYPE_CHECKING:
    from cronsim import CronSim

LIMIT_KEYS = ("connections", "requests_per_second", "windows")
WINDOW_KEYS = ("cron", "duration", "timezone")
MAX_CONNECTIONS = 64
SLOWEST, FASTEST = 0.1, 1_000.0
DURATION = r"^([1-9][0-9]{0,3}m|[1-9][0-9]?h|1[0-5][0-9]h|16[0-8]h)$"
"""Up to a week, which is 168 hours."""


@dataclass(frozen=True)
class Window:
    """A time in which realms may be written. It opens by a cron expression and stays open for a duration."""

    cron: str
    duration: timedelta
    timezone: str = "UTC"

    def is_open(self, now: datetime) -> bool:
        """Tell whether a time, which must have a time zone, is in the window."""
        start = next(self._starts(now - self.duration), None)
        return start is not None and start <= now

    def next_opening(self, now: datetime) -> datetime | None:
        """Return the next opening of the window in UTC, None if it never opens."""
        start = next(self._starts(now), None)
        return start.astimezone(UTC) if start else None

    def _starts(self, after: datetime) -> Iterator[datetime]:
        """Yield the openings after a time, in order."""
        return parse_cron(self.cron, after.astimezone(zone_of(self.timezone)))

    def __str__(self) -> str:
        """Return the window in readable form."""
        minutes = int(self.duration.total_seconds()) // 60
        length = f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
        return f"{self.cron} for {length} ({self.timezone})"


@dataclass(frozen=True)
class Limits:
    """The limits of one server. None means no limit; an empty tuple of windows means that nothing may be written.

    ``connections`` is None if it is not set here; the effective value is the server's.
    """

    requests_per_second: float | None = None
    windows: tuple[Window, ...] | None = None
    connections: int | None = None

    def is_open(self, now: datetime) -> bool:
        """Tell whether realms may be written at a time."""
        return self.windows is None or any(window.is_open(now) for window in self.windows)

    def next_opening(self, now: datetime) -> datetime | None:
        """Return when the next window opens after a time, None if none ever does."""
        openings = [at for window in self.windows or () if (at := window.next_opening(now))]
        return min(openings) if openings else None

    def describe_closing(self, now: datetime) -> str:
        """Return a clause that says when realms may be written again."""
        opening = self.next_opening(now)
        return f"the next window opens at {to_minute(opening)}" if opening else "no window ever opens"


def read_limits(server: str, entry: Table) -> Limits:
    """Return the limits in a server's entry. Raises :class:`ConfigError` for a bad one."""
    table = cast("Table", entry.get("limits", {}))
    where = f"servers.{server}.limits"
    _check_names(where, table, LIMIT_KEYS)
    if "connections" in table and "connections" in entry:
        message = f"{quoted(f'servers.{server}.connections')} and {quoted(f'{where}.connections')} are the same limit"
        raise ConfigError(message, "remove one of the two")
    return Limits(_read_rate(where, table), _read_windows(where, table), _read_connections(where, table))


def parse_cron(text: str, start: datetime, *, reverse: bool = False) -> CronSim:
    """Return an iterator over the times of a cron expression after ``start``, or before it with ``reverse``.

    Raises :class:`ValueError` for an invalid cron expression.
    """
    from cronsim import CronSim, CronSimError  # only some settings have windows or schedules

    if len(text.split()) != len(("minute", "hour", "day", "month", "weekday")):
        raise ValueError
    try:
        return CronSim(text, start, reverse)
    except CronSimError:
        raise ValueError from None


def zone_of(name: str) -> tzinfo:
    """Return a time zone. UTC works even without a time zone database."""
    return UTC if name == "UTC" else ZoneInfo(name)


def read_cron(place: str, table: Table) -> str:
    """Return the cron expression in a table, with single spaces. Raises :class:`ConfigError`, which names ``place``."""
    cron = table.get("cron", "")
    try:
        parse_cron(cron if isinstance(cron, str) else "", datetime(2000, 1, 1, tzinfo=UTC))
    except ValueError:
        hint = "write minute, hour, day, month and weekday, such as 0 22 * * SAT"
        raise ConfigError(f"{place} is not a cron expression: {quoted(cron)}", hint) from None
    return " ".join(str(cron).split())


def read_timezone(place: str, table: Table) -> str:
    """Return the time zone in a table, UTC by default. Raises :class:`ConfigError`, which names ``place``."""
    zone = table.get("timezone", "UTC")
    try:
        zone_of(zone if isinstance(zone, str) else "")
    except (ValueError, OSError, KeyError):  # a path, a folder, or no such zone
        hint = "write an IANA time zone, such as Europe/Berlin, or UTC"
        raise ConfigError(f"{place} is unknown: {quoted(zone)}", hint) from None
    return str(zone)


def _read_connections(where: str, table: Table) -> int | None:
    given = table.get("connections")
    if given is None:
        return None
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= MAX_CONNECTIONS:
        return given
    hint = f"write a whole number from 1 to {MAX_CONNECTIONS}"
    raise ConfigError(f"{quoted(f'{where}.connections')} is {quoted(given)}", hint)


def _read_rate(where: str, table: Table) -> float | None:
    rate = table.get("requests_per_second")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not SLOWEST <= rate <= FASTEST:
        hint = f"write a number from {SLOWEST:g} to {FASTEST:,g}"
        raise ConfigError(f"{quoted(f'{where}.requests_per_second')} is {quoted(rate)}", hint)
    return float(rate)


def _read_windows(where: str, table: Table) -> tuple[Window, ...] | None:
    if "windows" not in table:
        return None
    windows, where = table["windows"], f"{where}.windows"
    if not isinstance(windows, list) or not all(isinstance(one, dict) for one in windows):
        hint = 'write [{cron = "0 22 * * SAT", duration = "6h"}]'
        raise ConfigError(f"{quoted(where)} must be a list of tables", hint)
    return tuple(_read_window(where, one) for one in windows)


def _read_window(where: str, table: Table) -> Window:
    _check_names(where, table, WINDOW_KEYS)
    duration = table.get("duration", "")
    if not isinstance(duration, str) or not re.fullmatch(DURATION, duration):
        hint = "write minutes or hours, such as 90m or 6h; 168h at most"
        raise ConfigError(f"{quoted(f'{where}.duration')} is {quoted(duration)}", hint)
    zone = read_timezone(quoted(f"{where}.timezone"), table)
    cron = read_cron(quoted(f"{where}.cron"), table)
    span = timedelta(minutes=int(duration[:-1]) * (60 if duration.endswith("h") else 1))
    return Window(cron, span, zone)


def _check_names(where: str, table: Table, known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            hint = did_you_mean(key, known) or f"known here: {', '.join(known)}"
            raise ConfigError(f"unknown key {quoted(f'{where}.{key}')}", hint)
