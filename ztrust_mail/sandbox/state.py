"""The options of a sandbox, the faults that can be switched on while it runs, and its realms with their accounts."""

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ztrust_mail.sandbox.quirks import Json

MASTER = "master"
# The name of a realm's own client for administration; master has another one per realm, `acme-realm`.
OWN_ADMIN_CLIENT = "realm-management"
_NOUNS = ("authorization", "clients", "events", "identity-providers", "realm", "users")
ADMIN_ROLES = (
    *("create-client", "impersonation", "query-clients", "query-groups", "query-realms", "query-users"),
    *(f"{verb}-{noun}" for verb in ("manage", "view") for noun in _NOUNS),
)
_COMPOSITES = {
    "realm-admin": ADMIN_ROLES,
    "view-users": ("query-users", "query-groups"),
    "view-clients": ("query-clients",),
}


def new_id() -> str:
    """Return an id as Keycloak makes them."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class SandboxOptions:
    """How the sandbox behaves; everything has a default.

    ``version`` is the version of Keycloak to imitate. ``base_path`` is ``/auth`` for old versions. ``token_lifetime``
    is in seconds. ``ca_bundle`` is a PEM file whose certificates the test call trusts in addition to the system's.
    ``list_breaks_after``, ``list_forbidden`` and ``slow_reads`` switch that fault on at the start, see :class:`Faults`.
    """

    port: int = 0
    base_path: str = ""
    version: str = "26.7.4"
    realms: tuple[str, ...] = ("acme", "globex")
    admin_user: str = "admin"
    admin_password: str = field(default="admin", repr=False)
    admin_email: str | None = "admin@sandbox.example"
    token_lifetime: float = 60.0
    ca_bundle: str | None = None
    list_breaks_after: int | None = None
    list_forbidden: bool = False
    slow_reads: float = 0.0


@dataclass
class Busy:
    """The response of a busy server to the next requests, instead of the API's: ``times`` counts down to 0.

    ``method`` and ``path``, a part of the path, select the requests; empty ones select all. ``retry_after`` is the
    value of the header of that name, seconds or a date; without a value the header is left out.
    """

    status: int = 503
    times: int = 1
    method: str = ""
    path: str = ""
    retry_after: str = ""

    def fits(self, method: str, path: str) -> bool:
        """Return whether a request is refused."""
        return self.times > 0 and self.method in ("", method) and self.path in path


@dataclass
class Faults:
    """Switches for failures of real servers; set them at any time while the sandbox runs.

    ``list_breaks_after``: the list of realms answers 200 and is cut off after that many realms.
    ``list_forbidden``: the list answers 403 to every account. ``slow_reads``: seconds that every GET of realms takes.
    ``failing_realms``: reading or writing these answers 500. ``unavailable``: every request answers 503.
    ``busy``: the next requests that match one of these are refused for now, see :class:`Busy`.
    ``before_write``: called with the realm's name just before a PUT takes effect, for an edit by another client.
    """

    list_breaks_after: int | None = None
    list_forbidden: bool = False
    slow_reads: float = 0.0
    failing_realms: set[str] = field(default_factory=set)
    unavailable: bool = False
    busy: list[Busy] = field(default_factory=list)
    before_write: Callable[[str], None] | None = None


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
    """A realm: its settings, its e-mail settings, its own texts by locale, its users, clients and workflows."""

    name: str
    settings: Json = field(default_factory=dict)
    smtp: dict[str, str] = field(default_factory=dict, repr=False)
    texts: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    users: dict[str, User] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    admin_events: list[Json] = field(default_factory=list, repr=False)
    workflows: list[Json] = field(default_factory=list, repr=False)
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
        self.test_mails: dict[str, str] = {}  # the realm of each test mail by its Message-ID
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
