"""The account that the server takes the caller for."""

from __future__ import annotations

from dataclasses import dataclass, field

TOKEN_OWNER = "the owner of the given token"
"""The name of an account whose token does not say it."""


@dataclass(frozen=True)
class Account:
    """The account that the caller works as.

    ``realm`` is empty if the product's accounts belong to no realm, or if the realm is unknown. ``email`` is None if it
    cannot be found out, empty if the account has none. ``issuer`` is the URL by which the server names the account's
    realm, empty if the token does not contain it; it is left out of comparisons because one server may have several
    names.
    """

    name: str
    realm: str
    email: str | None
    issuer: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.name} (realm {self.realm})" if self.realm else self.name

    @property
    def phrase(self) -> str:
        """The account as part of a sentence."""
        return f"{self.name} of realm {self.realm}" if self.realm else self.name
