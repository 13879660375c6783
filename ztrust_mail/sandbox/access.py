"""Who is calling, and what that account may see and do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ztrust_mail.sandbox.quirks import Quirks
from ztrust_mail.sandbox.state import ADMIN_ROLES, MASTER, OWN_ADMIN_CLIENT, Client, Realm, User

# Tokens of these two carry no roles; the server looks them up at every call.
CONSOLE_CLIENTS = ("admin-cli", "security-admin-console")
_TO_VIEW = frozenset({"view-realm", "manage-realm"})

Roles = dict[str, frozenset[str]]


def roles_of(user: User, realm: Realm, realms: Iterable[Realm]) -> Roles:
    """Return the user's roles by client; the role ``admin`` of master is all roles of all realms."""
    roles = {client: frozenset(names) for client, names in user.roles.items()}
    if realm.name == MASTER and "admin" in user.realm_roles:
        roles |= {f"{each.name}-realm": frozenset(ADMIN_ROLES) for each in realms}
    return roles


@dataclass(frozen=True)
class Caller:
    """The account behind a request, with its roles as they count for this request."""

    user: User
    realm: Realm
    client: Client
    roles: Roles
    lightweight: bool
    openid: bool

    def roles_in(self, realm: Realm) -> frozenset[str]:
        """Return the caller's admin roles for a realm: those of the realm itself, or of master's client for it."""
        if self.realm.name == MASTER:
            return self.roles.get(f"{realm.name}-realm", frozenset())
        return self.roles.get(OWN_ADMIN_CLIENT, frozenset()) if realm is self.realm else frozenset()

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
            return any(names for client, names in self.roles.items() if client.endswith("-realm"))
        return bool(self.roles_in(realm))

    def may_create_realms(self) -> bool:
        """Whether realms may be created."""
        return self.realm.name == MASTER and bool(self.user.realm_roles & {"admin", "create-realm"})

    def any_role(self) -> bool:
        """Whether the account is an administrator of anything."""
        return any(self.roles.values())
