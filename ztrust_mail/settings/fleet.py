"""Runs on several servers: their selection, and the tables ``[fleet]`` and ``[schedules.NAME]`` about workers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from ztrust_mail.core.errors import ConfigError, UsageError
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.settings.inputs import Keys, Table, check_keys
from ztrust_mail.settings.limits import parse_cron, read_cron, read_timezone, zone_of
from ztrust_mail.settings.server_entry import NAME, VARIABLE_VALUE
from ztrust_mail.settings.urls import is_file_url, quote_server

FLEET_KEYS: Keys = {"run_by": str, "keep_days": int}
HERE, WORKERS = RUN_BY = ("here", "workers")
MAX_KEEP_DAYS = 3650

SCHEDULE_KEYS: Keys = {"drift": list, "servers": list, "labels": list, "cron": str, "timezone": str}
_LISTS = {
    "drift": 'name spec files or folders, as in drift = ["specs/"]',
    "servers": "name servers, or leave it out for all of them",
    "labels": 'write labels, as in ["stage=prod"], or leave it out',
}
_LOOK_BACK = timedelta(days=400)
"""More than a year, to find a yearly schedule."""

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class ServerSelection:
    """The selected servers: those that match one of ``names`` and all of ``labels``.

    A name is an entry's name, a glob over names, or a URL. Without names, it is every entry that has the labels.
    """

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    every: bool = False

    @property
    def is_several(self) -> bool:
        """Whether the selection may contain several servers, even if it happens to contain only one."""
        return len(self.names) > 1 or bool(self.labels) or self.every or any(map(is_glob, self.names))


@dataclass(frozen=True)
class FleetSettings:
    """Whether commands delegate to workers, and for how many days ended requests are stored."""

    run_by_workers: bool = False
    keep_days: int = 90


@dataclass(frozen=True)
class Schedule:
    """A scheduled drift check.

    ``drift`` has the absolute paths of spec files or folders, which are read when the check is due. ``servers`` and
    ``labels`` select servers like ``--server`` and ``--label``; without either, all servers.
    """

    name: str
    drift: tuple[str, ...]
    servers: tuple[str, ...]
    labels: tuple[str, ...]
    cron: str
    timezone: str = "UTC"

    @property
    def selection(self) -> ServerSelection:
        """The servers to check, selected from :attr:`Settings.trusted`."""
        return ServerSelection(self.servers, self.labels, every=not self.servers and not self.labels)

    def last_due(self, now: datetime) -> datetime | None:
        """Return the most recent due time up to ``now``, which must have a time zone.

        Returns UTC, or None if the schedule was not due in the last 400 days. In the hour repeated at the end of
        daylight saving time, cronsim's reverse iteration may miss times, so it only finds the start of a forward one.
        """
        zone, now = zone_of(self.timezone), now.astimezone(UTC)
        following = now.replace(second=0, microsecond=0) + _MINUTE
        earlier = next(parse_cron(self.cron, following.astimezone(zone), reverse=True), None)
        if earlier is None:
            return None
        newest = earlier.astimezone(UTC)
        for one in parse_cron(self.cron, earlier):
            if (due := one.astimezone(UTC)) > now:
                break
            newest = due
        return newest if newest >= now - _LOOK_BACK else None


def is_glob(name: str) -> bool:
    """Tell whether the name of a server is a glob; URLs are not."""
    return not is_url(name) and any(one in name for one in "*?")


def is_url(name: str) -> bool:
    """Tell whether the name of a server is a URL, valid or not."""
    return "://" in name or is_file_url(name)


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return labels from texts like ``stage=prod``. Raises :class:`UsageError` for other texts and conflicts."""
    labels: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise UsageError(f"{quoted(text)} is not a label", "write NAME=VALUE, such as stage=prod")
        if labels.setdefault(name, value) != value:
            raise UsageError(f"the label {quoted(name)} is given with two values", "no server has both; give one")
    return labels


def read_fleet(path: Path, table: Table) -> FleetSettings:
    """Return the table ``[fleet]`` of a settings file. Raises :class:`ConfigError`."""
    check_keys(path, "fleet.", table, FLEET_KEYS)
    word = str(table.get("run_by", HERE))
    if word not in RUN_BY:
        hint = did_you_mean(word, RUN_BY) or f"write {' or '.join(RUN_BY)}"
        raise ConfigError(f"{path}: `fleet.run_by` is {quoted(word)}", hint)
    days = cast("int", table.get("keep_days", FleetSettings.keep_days))
    if not 1 <= days <= MAX_KEEP_DAYS:
        raise ConfigError(f"{path}: `fleet.keep_days` is {days}", f"write a number of days from 1 to {MAX_KEEP_DAYS}")
    return FleetSettings(word == WORKERS, days)


def read_schedules(path: Path, table: Table) -> tuple[Schedule, ...]:
    """Return the schedules of a settings file in their order. Raises :class:`ConfigError`. No spec is read."""
    return tuple(_read_schedule(path, name, value) for name, value in table.items())


def _read_schedule(path: Path, name: str, value: object) -> Schedule:
    place = f"schedules.{name}"
    if not isinstance(value, dict):
        hint = "write the keys of a schedule below its name, such as [schedules.nightly]"
        raise ConfigError(f"{path}: {quoted(place)} is not a table", hint)
    if not re.fullmatch(NAME, name):
        hint = "write up to 63 lower-case letters, digits, . _ and -, such as nightly"
        raise ConfigError(f"{path}: {quoted(name)} is not a name for a schedule", hint)
    drift = value.get("drift")
    table = {**value, "drift": [drift] if drift else []} if isinstance(drift, str) else value
    check_keys(path, f"{place}.", table, SCHEDULE_KEYS)
    for key, hint in (("drift", _LISTS["drift"]), ("cron", 'say when, as in cron = "0 3 * * *"')):
        if key not in table:
            raise ConfigError(f"{path}: {quoted(place)} has no {quoted(key)}", hint)
    drift, servers, labels = (_read_list(f"{path}: {quoted(f'{place}.{key}')}", table, key) for key in _LISTS)
    _check_servers(f"{path}: {quoted(f'{place}.servers')}", servers)
    _check_labels(f"{path}: {quoted(f'{place}.labels')}", labels)
    folder = path.absolute().parent
    return Schedule(
        name,
        tuple(str(folder / spec) for spec in drift),
        servers,
        labels,
        read_cron(f"{path}: {quoted(f'{place}.cron')}", table),
        read_timezone(f"{path}: {quoted(f'{place}.timezone')}", table),
    )


def _read_list(place: str, table: Table, key: str) -> tuple[str, ...]:
    if table.get(key) == []:
        raise ConfigError(f"{place} is empty", _LISTS[key])
    texts = tuple(cast("list[str]", table.get(key, [])))
    for text in texts:
        if not re.fullmatch(VARIABLE_VALUE, text):
            raise ConfigError(f"{place} contains {quoted(text)} with a control character", "remove it")
    return texts


def _check_servers(place: str, servers: Sequence[str]) -> None:
    for server in servers:
        if is_url(server):
            hint = "write the name of a server in the settings, or a glob such as eu-*"
            raise ConfigError(f"{place} contains the URL {quote_server(server)}", hint)


def _check_labels(place: str, labels: Sequence[str]) -> None:
    try:
        parse_labels(labels)
    except UsageError as e:
        raise ConfigError(f"{place}: {e.message}", e.hint) from None
