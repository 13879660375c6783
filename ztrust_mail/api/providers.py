"""What is known of mail providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztrust_mail.providers.presets import Preset


def presets(name: str | None = None) -> tuple[Preset, ...]:
    """Return the mail providers that a spec can name as ``relay.preset``, or only the one with a name; offline.

    Raises :class:`UsageError` for an unknown name.
    """
    from ztrust_mail.providers.presets import all_presets, look_up

    return all_presets() if name is None else (look_up(name),)
