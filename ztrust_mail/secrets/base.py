"""What every kind of secret reference has in common, and what a spec may reach."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ztrust_mail.config import Permissions
from ztrust_mail.sensitive import SecretRef


@dataclass(frozen=True)
class Reach:
    """What references in a spec can get at.

    ``settings_paths`` are the settings files in force, which no spec may read. ``environ`` is where
    ``env`` looks; names that begin with ``ZTRUST_MAIL_`` are this tool's own and out of reach. Nothing at all is
    within reach if ``isolated``: an untrusted file chose the server and its login, and would get the values.
    """

    permissions: Permissions = field(default_factory=Permissions)
    settings_paths: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    isolated: bool = False


Fetch = Callable[[SecretRef, Reach], str]
"""Gets the text a reference points at; raises :class:`~ztrust_mail.errors.SecretError` in words of its own."""
