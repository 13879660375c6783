"""Secrets: a value that cannot be printed by accident, and the reference to its source."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn


class Secret:
    """A value that cannot be printed, formatted, pickled, copied or logged.

    Only :meth:`reveal` returns it; it is called where the value is sent or written, and nowhere else.
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


class SecretKind(StrEnum):
    """The kinds of secret reference in a spec."""

    ENV = "env"
    FILE = "file"
    COMMAND = "command"
    KEYRING = "keyring"
    KEYCLOAK_VAULT = "keycloak_vault"


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
        """Return the reference as text for people, without a command's arguments."""
        shown = self.argument[:1] if self.kind is SecretKind.COMMAND else self.argument
        return f"{self.kind.value}:{'/'.join(shown)}"

    def __repr__(self) -> str:
        return f"SecretRef({self})"
