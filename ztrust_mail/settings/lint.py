"""The table ``[lint]``: which lint rules count, and how early those with a date report."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.settings.inputs import Keys, Table, check_keys

LINT_KEYS: Keys = {"select": list, "ignore": list, "expiry_days": int, "deprecation_days": int, "secret_days": int}
MAX_DAYS = 3650


@dataclass(frozen=True)
class DayLimits:
    """How many days before an expiry or a deprecation, and after a rotation, a rule reports it."""

    expiry: int = 30
    deprecation: int = 180
    secret: int = 365


@dataclass(frozen=True)
class LintSettings:
    """The lint rules and groups to select and to ignore, as the settings name them, and the limits of rules."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    limits: DayLimits = field(default_factory=DayLimits)


def read_lint(path: Path, table: Table) -> LintSettings:
    """Return the table ``[lint]`` of a settings file. Raises :class:`ConfigError`."""
    check_keys(path, "lint.", table, LINT_KEYS)
    usual = DayLimits()
    limits = DayLimits(
        _days(path, table, "expiry_days", usual.expiry),
        _days(path, table, "deprecation_days", usual.deprecation),
        _days(path, table, "secret_days", usual.secret),
    )
    return LintSettings(_words(table, "select"), _words(table, "ignore"), limits)


def _words(table: Table, key: str) -> tuple[str, ...]:
    return tuple(cast("list[str]", table.get(key, [])))


def _days(path: Path, table: Table, key: str, usual: int) -> int:
    days = cast("int", table.get(key, usual))
    if not 0 <= days <= MAX_DAYS:
        raise ConfigError(f"{path}: `lint.{key}` is {days}", f"write a number of days from 0 to {MAX_DAYS}")
    return days
