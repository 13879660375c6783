"""An identity server on loopback with an SMTP sink, for trying things out and for tests.

It needs the extra ``sandbox``; importing this package alone does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztrust_mail.sandbox.options import SandboxOptions
    from ztrust_mail.sandbox.sandbox import Sandbox

__all__ = ["Sandbox", "SandboxOptions"]


def __getattr__(name: str) -> object:
    if name == "Sandbox":
        from ztrust_mail.sandbox.sandbox import Sandbox

        return Sandbox
    if name == "SandboxOptions":
        from ztrust_mail.sandbox.options import SandboxOptions

        return SandboxOptions
    raise AttributeError(name)
