"""An identity server on loopback with an SMTP sink, for trying things out and for tests.

It needs the extra ``sandbox``; importing this package alone does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztrust_mail.sandbox.sandbox import Sandbox
    from ztrust_mail.sandbox.state import SandboxOptions

__all__ = ["Sandbox", "SandboxOptions"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module("ztrust_mail.sandbox.sandbox"), name)
