"""The account that a server takes the caller for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Account:
    """Who the server takes us for. ``email`` is None where that cannot be found out, empty where unset.

    ``realm`` is empty where the product's accounts live in none, or where that cannot be known.

    ``issuer`` is the URL by which the server names the account's realm, empty where its token does not say; two
    accounts are the same whatever the server calls itself.
    """

    name: str
    realm: str
    email: str | None
    issuer: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.name} (realm {self.realm})" if self.realm else self.name

    @property
    def described(self) -> str:
        """The account within a sentence."""
        return f"{self.name} of realm {self.realm}" if self.realm else self.name
