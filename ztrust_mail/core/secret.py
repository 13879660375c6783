"""Secrets: a value that cannot be printed by accident, and the reference to its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import NoReturn


class Secret:
    """A value that cannot be printed, formatted, pickled, copied or logged.

    Only :meth:`reveal` returns it, and is called only to send or write the value.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied")

    __getstate__ = __reduce__  # the inherited one returns the slots

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.__value == other.__value

    __hash__ = None  # type: ignore[assignment]  # no hash of a secret is stored


class Placeholders(Enum):
    """How a placeholder in a reference is filled in, so that a realm's name cannot redirect the reference."""

    NONE = auto()
    ENV_NAME = auto()
    PATH_SEGMENT = auto()


@dataclass(frozen=True)
class SecretForm:
    """The form of the references of one kind.

    ``hint`` shows the argument in messages. ``parts`` is the number of parts, or None for any number: a reference of
    one part is written as a text, others as a list. ``name`` is the pattern that the first part must match, and
    ``name_problem`` says what is wrong and how to fix it. ``prefixes`` says what a policy's prefixes of this kind mean;
    with ``is_path`` they are folders or paths instead of the beginning of a name.
    """

    hint: str
    prefixes: str
    parts: int | None = 1
    placeholders: Placeholders = Placeholders.NONE
    name: str = ""
    name_problem: tuple[str, str] = ("", "")
    is_path: bool = False
    control_characters: bool = False

    @property
    def is_text(self) -> bool:
        """Tell whether references of this kind are written as a text, not as a list."""
        return self.parts == 1


class SecretKind(StrEnum):
    """The kinds of secret reference in a spec. A new kind has its form below and its source in ``secrets.store``."""

    ENV = "env"
    FILE = "file"
    COMMAND = "command"
    KEYRING = "keyring"
    KEYCLOAK_VAULT = "keycloak_vault"

    @property
    def form(self) -> SecretForm:
        """The form of the references of this kind."""
        return _FORMS[self]


_FORMS: Mapping[SecretKind, SecretForm] = {
    SecretKind.ENV: SecretForm(
        "NAME",
        "names that begin with",
        placeholders=Placeholders.ENV_NAME,
        name="[A-Za-z_][A-Za-z0-9_]*",
        name_problem=("does not name a variable", "a variable's name has letters, digits and _"),
    ),
    SecretKind.FILE: SecretForm("PATH", "files at or under", placeholders=Placeholders.PATH_SEGMENT, is_path=True),
    SecretKind.COMMAND: SecretForm("[…]", "programs at or under", parts=None, is_path=True, control_characters=True),
    SecretKind.KEYRING: SecretForm("[…]", "services that begin with", parts=2),
    SecretKind.KEYCLOAK_VAULT: SecretForm("KEY", "keys that begin with"),
}


def has_kind(text: str) -> bool:
    """Tell whether a text begins as references do, with their kind and a colon."""
    kind, colon, _ = text.partition(":")
    return bool(colon) and kind in [*SecretKind]


@dataclass(frozen=True)
class SecretRef:
    """The source of a secret: ``SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))``.

    ``argument`` holds the variable's name, the path, the argument list, the service and user name, or the
    vault's key. ``base`` is the folder that a relative ``file`` path is resolved against.
    """

    kind: SecretKind
    argument: tuple[str, ...]
    base: str = ""

    def __str__(self) -> str:
        """Return the reference in readable form, without a command's arguments."""
        shown = self.argument[: self.kind.form.parts or 1]
        return f"{self.kind.value}:{'/'.join(shown)}"

    def __repr__(self) -> str:
        return f"SecretRef({self})"
