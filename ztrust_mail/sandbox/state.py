"""The data of the sandbox: realms with their users and clients."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from ztrust_mail.sandbox.answers import Json

MASTER = "master"
# The name of a realm's own client for administration; master has another one per realm, `acme-realm`.
OWN_ADMIN_CLIENT = "realm-management"
ADMIN_ROLES = (
    "create-client",
    "impersonation",
    "manage-authorization",
    "manage-clients",
    "manage-events",
    "manage-identity-providers",
    "manage-realm",
    "manage-users",
    "query-clients",
    "query-groups",
    "query-realms",
    "query-users",
    "view-authorization",
    "view-clients",
    "view-events",
    "view-identity-providers",
    "view-realm",
    "view-users",
)
_COMPOSITES = {
    "realm-admin": ADMIN_ROLES,
    "view-users": ("query-users", "query-groups"),
    "view-clients": ("query-clients",),
}


def new_id() -> str:
    """Return an id as Keycloak makes them."""
    return str(uuid.uuid4())


@dataclass
class User:
    """A user. ``roles`` are admin roles by the client that defines them, ``realm_roles`` those of the realm."""

    username: str
    password: str | None = field(default=None, repr=False)
    email: str | None = None
    first_name: str = ""
    last_name: str = ""
    enabled: bool = True
    roles: dict[str, set[str]] = field(default_factory=dict)
    realm_roles: set[str] = field(default_factory=set)
    id: str = field(default_factory=new_id)

    def grant(self, client: str, role: str) -> None:
        """Add a role of a client, with the roles that it is composed of."""
        self.roles.setdefault(client, set()).update({role, *_COMPOSITES.get(role, ())})


@dataclass
class Client:
    """A client. ``service_account`` is the id of the user as which it can log in by itself."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    enabled: bool = True
    direct_grants: bool = True
    lightweight: bool = False
    service_account: str | None = None
    id: str = field(default_factory=new_id)

    @property
    def public(self) -> bool:
        """Whether the client needs no secret."""
        return self.secret is None


@dataclass
class Realm:
    """A realm: its top-level settings, its e-mail settings, its own texts by locale, its users and clients."""

    name: str
    settings: Json = field(default_factory=dict)
    smtp: dict[str, str] = field(default_factory=dict, repr=False)
    texts: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    users: dict[str, User] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    admin_events: list[Json] = field(default_factory=list, repr=False)
    id: str = field(default_factory=new_id)

    @property
    def enabled(self) -> bool:
        """Whether users may log in."""
        return self.settings.get("enabled") is True

    def user_named(self, username: str) -> User | None:
        """Return the user of that name, which is not case-sensitive."""
        return next((u for u in self.users.values() if u.username == username.lower()), None)

    def client_named(self, client_id: str) -> Client | None:
        """Return the client with that client_id."""
        return next((c for c in self.clients.values() if c.client_id == client_id), None)

    def add_user(self, user: User) -> User:
        """Add the user and return it."""
        user.username = user.username.lower()
        self.users[user.id] = user
        return user

    def add_client(self, client: Client) -> Client:
        """Add the client and return it."""
        self.clients[client.id] = client
        return client

    def add_service_account(self, client: Client, email: str | None = None) -> User:
        """Add a user for the client and return it."""
        user = self.add_user(User(f"service-account-{client.client_id}", email=email))
        client.service_account = user.id
        return user


class SandboxState:
    """All realms. Hold ``lock`` for every read and every change; it is reentrant."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._realms: dict[str, Realm] = {}

    def __iter__(self) -> Iterator[Realm]:
        return iter(list(self._realms.values()))

    def realm(self, name: str) -> Realm | None:
        """Return the realm of that name."""
        return self._realms.get(name)

    def add_realm(self, name: str, settings: Json, smtp: dict[str, str]) -> Realm:
        """Add a realm with the clients that every realm has, and return it."""
        realm = Realm(name, {"enabled": False, **settings}, smtp)
        for client_id, direct in (("admin-cli", True), ("security-admin-console", False), ("account", False)):
            realm.add_client(Client(client_id, direct_grants=direct))
        if name != MASTER:
            realm.add_client(Client(OWN_ADMIN_CLIENT, direct_grants=False))
        self._realms[name] = realm
        self._realms[MASTER].add_client(Client(f"{name}-realm", direct_grants=False))
        return realm

    def rename_realm(self, realm: Realm, name: str) -> None:
        """Rename the realm, and its client in master with it."""
        self._realms = {name if r is realm else key: r for key, r in self._realms.items()}
        master = self._realms[MASTER]
        for client in master.clients.values():
            if client.client_id == f"{realm.name}-realm":
                client.client_id = f"{name}-realm"
        for user in master.users.values():
            if (roles := user.roles.pop(f"{realm.name}-realm", None)) is not None:
                user.roles[f"{name}-realm"] = roles
        realm.name = name

    def remove_realm(self, realm: Realm) -> None:
        """Remove the realm and all roles on it."""
        del self._realms[realm.name]
        for user in self._realms[MASTER].users.values():
            user.roles.pop(f"{realm.name}-realm", None)
        clients = self._realms[MASTER].clients
        for client in [c for c in clients.values() if c.client_id == f"{realm.name}-realm"]:
            del clients[client.id]
