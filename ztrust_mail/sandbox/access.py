"""Who is calling, and what that account may see and do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from ztrust_mail.sandbox.quirks import Quirks
from ztrust_mail.sandbox.state import ADMIN_ROLES, MASTER, OWN_ADMIN_CLIENT, Client, Realm, User

# Tokens of these two carry no roles; the server looks them up at every call.
CONSOLE_CLIENTS = ("admin-cli", "security-admin-console")
_TO_VIEW = frozenset({"view-realm", "manage-realm"})
_ALL: frozenset[str] = frozenset(ADMIN_ROLES)
_NONE: frozenset[str] = frozenset()

Roles = Mapping[str, Set[str]]


def is_admin(user: User, realm: Realm) -> bool:
    """Whether the user of that realm is an administrator of the whole server: of all roles of all realms."""
    return realm.name == MASTER and "admin" in user.realm_roles


def roles_of(user: User, realm: Realm, realms: Iterable[Realm]) -> Roles:
    """Return the user's roles by client as they are now, an administrator's for each realm."""
    roles: dict[str, Set[str]] = {client: frozenset(names) for client, names in user.roles.items()}
    if is_admin(user, realm):
        roles |= {f"{each.name}-realm": _ALL for each in realms}
    return roles


@dataclass(frozen=True)
class Caller:
    """The account behind a request. ``roles`` are those of a full token, where they count; None are those of now."""

    user: User
    realm: Realm
    client: Client
    roles: Roles | None
    lightweight: bool
    openid: bool

    def roles_in(self, realm: Realm) -> Set[str]:
        """Return the caller's admin roles for a realm: those of the realm itself, or of master's client for it."""
        if self.realm.name != MASTER:
            return self._held.get(OWN_ADMIN_CLIENT, _NONE) if realm is self.realm else _NONE
        return _ALL if self._has_all else self._held.get(f"{realm.name}-realm", _NONE)

    def may_address(self, realm: Realm) -> bool:
        """Whether the account may name that realm at all: its own, or any if it is of master."""
        return self.realm.name == MASTER or self.realm is realm

    def may_view(self, realm: Realm) -> bool:
        """Whether the whole realm is shown."""
        return bool(self.roles_in(realm) & _TO_VIEW)

    def may_manage(self, realm: Realm) -> bool:
        """Whether the realm may be changed."""
        return "manage-realm" in self.roles_in(realm)

    def may_see_name(self, realm: Realm, quirks: Quirks) -> bool:
        """Whether at least the realm's truncated form is shown."""
        if self.realm.name == MASTER and quirks.master_sees_names:
            own = (names for client, names in self._held.items() if client.endswith("-realm"))
            return self._has_all or any(own)
        return bool(self.roles_in(realm))

    def may_create_realms(self) -> bool:
        """Whether realms may be created."""
        return self.realm.name == MASTER and bool(self.user.realm_roles & {"admin", "create-realm"})

    def any_role(self) -> bool:
        """Whether the account is an administrator of anything."""
        return self._has_all or any(self._held.values())

    @property
    def _held(self) -> Roles:
        return self.user.roles if self.roles is None else self.roles

    @property
    def _has_all(self) -> bool:
        # Not spelt out for each realm: there may be thousands, and every request asks.
        return self.roles is None and is_admin(self.user, self.realm)
