"""Secrets: a value that cannot be shown by accident, and the reference that says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn


class Secret:
    """A value that cannot be printed, formatted, pickled, copied or logged.

    Only :meth:`reveal` gives it out; it is called where bytes go on the wire and nowhere else.
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

    __getstate__ = __reduce__  # else it gives the slots to whoever asks

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.__value == other.__value

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret is not kept anywhere


class SecretKind(StrEnum):
    """The kinds of secret reference a spec may hold."""

    ENV = "env"
    FILE = "file"
    COMMAND = "command"
    KEYRING = "keyring"
    KEYCLOAK_VAULT = "keycloak_vault"


@dataclass(frozen=True)
class SecretRef:
    """Where a secret comes from: ``SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))``.

    ``argument`` holds the variable's name, the path, the argument list, the service and name, or the
    vault's key. ``base`` is the folder a relative ``file`` path starts from.
    """

    kind: SecretKind
    argument: tuple[str, ...]
    base: str = ""

    def __str__(self) -> str:
        """Return the reference in words for people; a command's arguments are not shown."""
        shown = self.argument[:1] if self.kind is SecretKind.COMMAND else self.argument
        return f"{self.kind.value}:{'/'.join(shown)}"

    def __repr__(self) -> str:
        return f"SecretRef({self})"
