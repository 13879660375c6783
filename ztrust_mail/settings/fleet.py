"""The table ``[fleet]``: who does what commands ask for, and how long requests to workers are kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.settings.inputs import Keys, Table, check_keys

FLEET_KEYS: Keys = {"run_by": str, "keep_days": int}
HERE, WORKERS = RUN_BY = ("here", "workers")
MAX_KEEP_DAYS = 3650


@dataclass(frozen=True)
class FleetSettings:
    """Whether workers do what commands ask for, and for how many days requests that have ended are kept."""

    run_by_workers: bool = False
    keep_days: int = 90


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
