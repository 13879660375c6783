"""Environment variables, wrapped so that no repr shows them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NoReturn

from ztrust_mail.core.secret import Secret

PREFIX = "ZTRUST_MAIL_"


class Environment:
    """Environment variables, of which only this tool's own are read.

    An exception keeps the local variables of every function it left, and error collectors store their repr. Some of
    them also store the items of every mapping, so this class is not a mapping.
    """

    __slots__ = ("__variables",)

    def __init__(self, variables: Mapping[str, str] | Environment) -> None:
        self.__variables = variables.reveal() if isinstance(variables, Environment) else variables

    def get(self, key: str) -> str:
        """Return the variable of a settings key, such as ``ZTRUST_MAIL_REALM`` for ``realm``; empty if unset."""
        return self.__variables.get(f"{PREFIX}{key.upper()}", "")

    def secret(self, key: str) -> Secret | None:
        """Return the variable of a settings key as a secret without its one trailing line break, None if empty."""
        text = Secret(self.get(key).removesuffix("\n").removesuffix("\r"))
        return None if text == Secret("") else text

    def has_login(self) -> bool:
        """Tell whether the variables hold a part of a login."""
        return any(self.get(key) for key in ("username", "password", "client_secret", "token"))

    def limited_to(self, keys: Iterable[str]) -> Environment:
        """Return an environment that holds the variables of these settings keys only."""
        return Environment({f"{PREFIX}{key.upper()}": self.get(key) for key in keys})

    def reveal(self) -> Mapping[str, str]:
        """Return all variables, this tool's own and others."""
        return self.__variables

    def __repr__(self) -> str:
        return "Environment(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Environment is not pickled or copied")

    __getstate__ = __reduce__  # the inherited one returns the slots


Variables = Mapping[str, str] | Environment
PROCESS: Variables = Environment(os.environ)
"""The variables of this process."""
