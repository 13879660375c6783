"""Saved plans: written to a file for review, and later applied exactly as reviewed, or refused."""

from ztrust_mail.planning.saved.checks import (
    STALE,
    cannot_see,
    check_before_move,
    check_live,
    check_run,
    check_server,
    check_specs,
    find_other_variables,
    move,
)
from ztrust_mail.planning.saved.read import from_text, load
from ztrust_mail.planning.saved.write import (
    APPLY,
    ROTATE,
    LeftOut,
    PlannedRealm,
    SavedPlan,
    digest_of,
    fit_to_file,
    to_text,
)

__all__ = [
    "APPLY",
    "ROTATE",
    "STALE",
    "LeftOut",
    "PlannedRealm",
    "SavedPlan",
    "cannot_see",
    "check_before_move",
    "check_live",
    "check_run",
    "check_server",
    "check_specs",
    "digest_of",
    "find_other_variables",
    "fit_to_file",
    "from_text",
    "load",
    "move",
    "to_text",
]
