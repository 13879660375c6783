"""The typed spec: the settings of each entry, with the place of every value, and the servers that it is for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ztrust_mail.core.findings import Finding, Location, error
from ztrust_mail.core.text import is_glob, matches_any, quoted
from ztrust_mail.model.fields import ABSENT, FieldValue


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
    """The servers that an entry is for: ``names`` are names or globs; without them, all ``labels`` must match."""

    names: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def fits(self, target: Target) -> bool:
        """Tell whether a server is within the limit."""
        if self.names:
            return bool(target.name) and matches_any(target.name, self.names)
        labels = target.labels
        return all(key in labels and matches_any(labels[key], globs) for key, globs in self.labels.items())

    @property
    def exact_names(self) -> tuple[str, ...]:
        """The names that are no globs."""
        return tuple(name for name in self.names if not is_glob(name))

    def __str__(self) -> str:
        if self.names:
            return ", ".join(self.names)
        return ", ".join(f"{key}={' or '.join(globs)}" for key, globs in self.labels.items())


@dataclass(frozen=True)
class Setting:
    """The value that one level of the spec gives a field: text with placeholders, a typed value, or ``ABSENT``.

    A removal may apply to a whole group, such as ``reply_to``. ``preset`` names the preset that the value is from,
    ``overlay`` says that it is from an overlay.
    """

    value: FieldValue
    location: Location
    preset: str = ""
    overlay: bool = False

    @property
    def removed(self) -> bool:
        """Whether the user wrote ``false`` to remove the field."""
        return self.value is ABSENT


@dataclass(frozen=True)
class Variable:
    """The value of a placeholder. ``source`` names its origin if no file defines it: a server, or an option."""

    text: str
    location: Location
    source: str = ""


@dataclass(frozen=True)
class Entry:
    """The settings for one realm, for a glob, or (with an empty ``name``) the defaults.

    ``limit`` names the servers that it is for. An overlay changes another entry of the same name; ``overlays`` are
    those that changed this one. ``switches`` are the keys ``disabled`` and ``expect``, as far as they were written.
    """

    name: str
    location: Location
    settings: Mapping[str, Setting] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    disabled: bool = False
    expect_min: int = 0
    limit: Limit | None = None
    is_overlay: bool = False
    overlays: tuple["Entry", ...] = ()
    switches: frozenset[str] = frozenset()

    @property
    def phrase(self) -> str:
        """The entry, for a message."""
        return f"the entry {quoted(self.name)}" if self.name else "`defaults`"

    @property
    def is_glob(self) -> bool:
        """Whether the name is a pattern for realms without their own entry."""
        return is_glob(self.name)


@dataclass(frozen=True)
class InlineIgnore:
    """A rule that a comment in a YAML file names, with the place of the comment."""

    rule: str
    location: Location


@dataclass(frozen=True)
class Spec:
    """All files of a spec as one: defaults, entries in the order written, and the server guard.

    ``ignores`` are the lint rules that comments ignore in their line. ``digests`` holds the digest of the bytes read
    from each path, ``folders`` the given paths that are folders.

    ``entries`` apply to every server; :func:`ztrust_mail.specfile.stages.fit_to_server` replaces them by those for one
    server, the ``target``. ``written`` are all entries with the defaults and overlays. ``given`` are the variables of
    ``--var``. ``late`` are the placeholders for which only a server has a value, ``filled`` those that were filled in.
    """

    entries: tuple[Entry, ...]
    defaults: Entry
    servers: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    warnings: tuple[Finding, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    ignores: tuple[InlineIgnore, ...] = ()
    written: tuple[Entry, ...] = ()
    given: Mapping[str, Variable] = field(default_factory=dict)
    late: frozenset[str] = frozenset()
    target: Target | None = None
    filled: Mapping[str, str] = field(default_factory=dict)

    @cached_property  # asked for at each entry
    def is_limited(self) -> bool:
        """Whether a part of the spec is for certain servers only."""
        return any(entry.limit for entry in self.written)

    @property
    def globs(self) -> tuple[Entry, ...]:
        """The entries whose name is a pattern."""
        return tuple(entry for entry in self.entries if entry.is_glob)


NO_DEFAULTS = Entry("", Location(""))


def defined_twice(what: str, where: Location, earlier: Location, hint: str = "keep one of them") -> Finding:
    """Return the error that something is defined at two places."""
    return error("defined-twice", f"{what} is already defined at {earlier}", hint, where)
