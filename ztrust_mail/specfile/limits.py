"""For which servers an entry is: names, globs, or labels of the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.text import matches_any, quoted


@dataclass(frozen=True)
class Target:
    """The server that a spec is read for: its name in the settings, its labels, and its variables.

    A server that was given by its URL has no name.
    """

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def phrase(self) -> str:
        """The server, for a message."""
        return f"server {quoted(self.name)}" if self.name else "the server, which has no name"


@dataclass(frozen=True)
class Limit:
    """The servers that an entry is for: ``names`` are names or globs; without any, all ``labels`` have to fit."""

    names: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def fits(self, target: Target) -> bool:
        """Tell whether a server is one of them."""
        if self.names:
            return bool(target.name) and matches_any(target.name, self.names)
        labels = target.labels
        return all(key in labels and matches_any(labels[key], globs) for key, globs in self.labels.items())

    @property
    def exact_names(self) -> tuple[str, ...]:
        """The names that are no globs."""
        return tuple(name for name in self.names if not {"*", "?"} & set(name))

    def __str__(self) -> str:
        if self.names:
            return ", ".join(self.names)
        return ", ".join(f"{key}={' or '.join(globs)}" for key, globs in self.labels.items())


def parse_limit(written: JsonValue) -> Limit | None:
    """Return the limit in the value of the key ``servers``, None without one."""
    if isinstance(written, dict):
        return Limit(labels={key: _texts(value) for key, value in written.items()})
    return Limit(_texts(written)) if written else None


def _texts(written: JsonValue) -> tuple[str, ...]:
    parts: Sequence[JsonValue] = written if isinstance(written, list) else [written]
    return tuple(str(part) for part in parts)
