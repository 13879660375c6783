"""The reply book: the meaning of SMTP replies, and the next step. The rows are in ``data/replies.toml``."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

from ztrust_mail.core.text import glob_matches
from ztrust_mail.providers.presets import provider_of

MAX_TEXT = 2_000
"""How many characters of a reply are compared; the rest of a longer one does not count."""

_ENHANCED = re.compile(r"(?<![\w.])([245]\.\d{1,3}\.\d{1,3})(?![\w.])")


@dataclass(frozen=True)
class KnownReply:
    """A row of the book. Empty ``providers``, ``enhanced`` and ``texts`` are no conditions.

    ``source`` is the page with this information, read on the day ``read``.
    """

    id: str
    codes: tuple[int, ...]
    cause: str
    next_step: str
    source: str
    read: date
    providers: tuple[str, ...] = ()
    enhanced: str = ""
    texts: tuple[str, ...] = ()

    def fits(self, provider: str, enhanced: str, text: str) -> bool:
        """Tell whether a reply with one of the codes matches; ``text`` is case-folded, runs of blanks collapsed."""
        if self.providers and provider not in self.providers:
            return False
        if self.enhanced and enhanced != self.enhanced:
            return False
        return not self.texts or any(glob_matches(f"*{one.casefold()}*", text) for one in self.texts)

    @property
    def weight(self) -> tuple[int, int, int]:
        """How specific the row is: the provider counts most, then the enhanced status, then words of the text."""
        words = max((len(one.replace("*", "")) for one in self.texts), default=0)
        return bool(self.providers), bool(self.enhanced), words


def explain_reply(host: str, code: int, text: str) -> KnownReply | None:
    """Return the row for a server's reply, None for an unknown reply.

    ``text`` is the reply after its code, with its enhanced status if it has one; several lines are one text. Of several
    matching rows, the most specific one is returned.
    """
    rows = _by_code().get(code, ())
    plain = " ".join(text[:MAX_TEXT].casefold().split())
    provider, enhanced = provider_of(host) if rows else "", _find_enhanced(plain)
    fitting = (row for row in rows if row.fits(provider, enhanced, plain))
    return max(fitting, key=lambda row: row.weight, default=None)


def _find_enhanced(text: str) -> str:
    found = _ENHANCED.search(text)
    return found[1] if found else ""


@cache
def known_replies() -> tuple[KnownReply, ...]:
    """Return all rows in the order of the file."""
    text = (resources.files("ztrust_mail") / "data" / "replies.toml").read_text("utf-8")
    return tuple(_reply(name, row) for name, row in tomllib.loads(text).items())


@cache
def _by_code() -> Mapping[int, tuple[KnownReply, ...]]:
    codes = {code for row in known_replies() for code in row.codes}
    return {code: tuple(row for row in known_replies() if code in row.codes) for code in codes}


def _reply(name: str, row: Mapping[str, Any]) -> KnownReply:
    tuples = {key: tuple(row[key]) for key in ("codes", "providers", "texts") if key in row}
    return KnownReply(id=name, **{**row, **tuples})
