"""What a person asks for on a run on several servers: names, globs and labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import quoted
from ztrust_mail.settings.urls import is_file_url


@dataclass(frozen=True)
class ServerSelection:
    """Which servers a person asked for: those that fit one of ``names``, and all of ``labels``.

    A name is that of an entry, a glob over names, or a URL. Without names it is every entry that has the labels.
    """

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    every: bool = False

    @property
    def is_several(self) -> bool:
        """Whether the selection may contain several servers, also where it happens to contain one."""
        return len(self.names) > 1 or bool(self.labels) or self.every or any(map(is_glob, self.names))


def is_glob(name: str) -> bool:
    """Tell whether the name of a server is a glob over names; a URL is none."""
    return not is_url(name) and any(one in name for one in "*?")


def is_url(name: str) -> bool:
    """Tell whether what stands for a server is a URL, valid or not."""
    return "://" in name or is_file_url(name)


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return labels given as ``stage=prod``. Raises :class:`UsageError` for other texts, and for two of one name."""
    labels: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise UsageError(f"{quoted(text)} is not a label", "write NAME=VALUE, such as stage=prod")
        if labels.setdefault(name, value) != value:
            raise UsageError(f"the label {quoted(name)} is given with two values", "no server has both; give one")
    return labels
