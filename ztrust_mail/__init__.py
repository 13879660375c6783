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
        Connection,
        apply,
        connect,
        doctor,
        drift,
        explain,
        load_spec,
        plan,
        pull,
        test,
        validate,
    )
    from ztrust_mail.errors import ZtrustMailError
    from ztrust_mail.sync.compare import SecretMode

__all__ = [
    "Connection",
    "SecretMode",
    "ZtrustMailError",
    "__version__",
    "apply",
    "connect",
    "doctor",
    "drift",
    "explain",
    "load_spec",
    "plan",
    "pull",
    "test",
    "validate",
]

_ELSEWHERE = {"ZtrustMailError": "ztrust_mail.errors", "SecretMode": "ztrust_mail.sync.compare"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "ztrust_mail.api")), name)
