"""E-mail settings of identity servers as code.

The verbs of the command line as typed functions; see :mod:`ztrust_mail.api`. Nothing heavy is imported
until it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ztrust_mail._version import __version__

if TYPE_CHECKING:
    from ztrust_mail.api import (
        Session,
        apply,
        connect,
        dangers,
        doctor,
        drift,
        explain,
        find_unfinished,
        forget,
        history,
        leftovers,
        load_plan,
        load_spec,
        plan,
        plan_saved,
        prunable,
        prune,
        pull,
        refuse,
        revert_plan,
        rotate_plan,
        run_to_revert,
        save_plan,
        settle,
        test,
        unfinished,
        validate,
    )
    from ztrust_mail.applying.options import Waves
    from ztrust_mail.core.errors import ZtrustMailError
    from ztrust_mail.planning.compare import SecretMode

__all__ = [
    "SecretMode",
    "Session",
    "Waves",
    "ZtrustMailError",
    "__version__",
    "apply",
    "connect",
    "dangers",
    "doctor",
    "drift",
    "explain",
    "find_unfinished",
    "forget",
    "history",
    "leftovers",
    "load_plan",
    "load_spec",
    "plan",
    "plan_saved",
    "prunable",
    "prune",
    "pull",
    "refuse",
    "revert_plan",
    "rotate_plan",
    "run_to_revert",
    "save_plan",
    "settle",
    "test",
    "unfinished",
    "validate",
]

_ELSEWHERE = {
    "SecretMode": "ztrust_mail.planning.compare",
    "Waves": "ztrust_mail.applying.options",
    "ZtrustMailError": "ztrust_mail.core.errors",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "ztrust_mail.api")), name)
