"""The sandbox: the API on loopback, the mail sink, and methods for tests."""

import json
import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from ztrust_mail.sandbox.admin_api.request import Call, SandboxServer, Tokens
from ztrust_mail.sandbox.admin_api.routes import answer
from ztrust_mail.sandbox.quirks import Json, quirks_of
from ztrust_mail.sandbox.relay.inbox import Inbox
from ztrust_mail.sandbox.relay.sender import AccessTokens
from ztrust_mail.sandbox.relay.sink import MailSink
from ztrust_mail.sandbox.state import (
    MASTER,
    OWN_ADMIN_CLIENT,
    Client,
    Faults,
    Realm,
    SandboxOptions,
    SandboxState,
    User,
)

HOST = "127.0.0.1"
_STOPPING = 5.0  # seconds for open connections to end
_POLL = 0.01  # seconds between two checks whether to stop; test suites with many sandboxes wait for it each time


@dataclass(frozen=True)
class RecordedRequest:
    """One request: ``path`` is percent-encoded and without the base path, ``body`` is parsed JSON.

    ``body`` is None if there was none, and for all requests to token endpoints. Headers are not recorded.
    """

    method: str
    path: str
    query: str
    body: object
    status: int


class Sandbox:
    """An identity server on loopback that behaves like Keycloak with regard to e-mail settings.

    ``with Sandbox() as sandbox:`` starts and stops it. ``url`` is the URL for clients, ``mail`` the inbox of the relay,
    ``faults`` switches failures on.
    """

    def __init__(self, options: SandboxOptions | None = None, mail: MailSink | None = None) -> None:
        self.options = options or SandboxOptions()
        self.mail = mail or MailSink()
        self.faults = Faults(
            list_breaks_after=self.options.list_breaks_after,
            list_forbidden=self.options.list_forbidden,
            slow_reads=self.options.slow_reads,
        )
        self.port = self.options.port
        self._quirks = quirks_of(self.options.version)
        self._state = SandboxState()
        self._mail_tokens = AccessTokens(self.options.ca_bundle)
        self._tokens = Tokens(self._state, self._quirks, self.options.token_lifetime)
        self._closing = threading.Event()
        self._connections = _Connections()
        self._requests: list[RecordedRequest] = []
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        master = self._state.add_realm(MASTER, {"enabled": True, "displayName": "Keycloak"}, {})
        admin = User(self.options.admin_user, self.options.admin_password, self.options.admin_email)
        master.add_user(admin).realm_roles.add("admin")
        for name in self.options.realms:
            self.create_realm(name)

    def __repr__(self) -> str:
        return f"<Sandbox {self.url} as Keycloak {self.options.version}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's URL with the base path, without a slash at its end."""
        return f"http://{HOST}:{self.port}{self.options.base_path.rstrip('/')}"

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every request answered so far, oldest first."""
        with self._state.lock:
            return tuple(self._requests)

    def start(self) -> None:
        """Start to listen. Raises OSError if the port is in use."""
        self.mail.start()
        handler = type("_Handler", (_QuietHandler,), {"connections": self._connections})
        try:
            self._server = make_server(
                HOST, self.port, Request.application(self._respond), threaded=True, request_handler=handler
            )
        except BaseException:
            self.mail.stop()
            raise
        self.port = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL,), name="sandbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and both ports. May be called twice."""
        self._closing.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._connections.close_all(_STOPPING)
            self._server.server_close()
            self._server = self._thread = None
        self.mail.stop()

    def create_realm(self, name: str, smtp: Mapping[str, str] | None = None, **top_level: object) -> None:
        """Add an enabled realm. Raises ValueError if the name is taken."""
        with self._state.lock:
            if self._state.realm(name) is not None:
                raise ValueError(f"realm {name} exists")
            self._state.add_realm(name, {"enabled": True, **top_level}, dict(smtp or {}))

    def remove_realm(self, name: str) -> None:
        """Remove the realm. Raises KeyError if it does not exist."""
        with self._state.lock:
            self._state.remove_realm(self._realm(name))

    def edit_smtp(self, realm: str, attributes: Mapping[str, str]) -> None:
        """Replace the stored settings without checks, as another client would. Raises KeyError for an unknown realm."""
        with self._state.lock:
            self._realm(realm).smtp = dict(attributes)

    def smtp(self, realm: str) -> dict[str, str]:
        """Return the stored settings with their secrets. Raises KeyError for an unknown realm."""
        with self._state.lock:
            return dict(self._realm(realm).smtp)

    def edit_realm(self, realm: str, **top_level: object) -> None:
        """Change other settings than e-mail, as another client would. Raises KeyError for an unknown realm."""
        with self._state.lock:
            self._realm(realm).settings.update(top_level)

    def realm_settings(self, realm: str) -> Json:
        """Return the other settings than e-mail. Raises KeyError for an unknown realm."""
        with self._state.lock:
            return dict(self._realm(realm).settings)

    def edit_texts(self, realm: str, locale: str, texts: Mapping[str, str]) -> None:
        """Put localised texts into a realm, as another client would. Raises KeyError for an unknown realm."""
        with self._state.lock:
            self._realm(realm).texts.setdefault(locale, {}).update(texts)

    def texts(self, realm: str) -> dict[str, dict[str, str]]:
        """Return a realm's own texts by locale. Raises KeyError for an unknown realm."""
        with self._state.lock:
            return {locale: dict(texts) for locale, texts in self._realm(realm).texts.items()}

    def create_user(
        self, realm: str, username: str, password: str, roles: Iterable[str] = (), email: str | None = None
    ) -> None:
        """Add a user who can log in.

        A role such as ``manage-realm`` is one of the user's own realm; in master, ``admin`` and ``create-realm`` are
        roles of the server, and ``acme-realm:manage-realm`` is a role of another realm. Raises KeyError for an unknown
        realm.
        """
        with self._state.lock:
            home = self._realm(realm)
            _grant(home.add_user(User(username, password, email)), home, roles)

    def create_client(
        self, realm: str, client_id: str, secret: str, roles: Iterable[str] = (), email: str | None = None
    ) -> None:
        """Add a client with a service account, which has these ``roles`` and this ``email``, as for a user."""
        with self._state.lock:
            home = self._realm(realm)
            client = home.add_client(Client(client_id, secret, direct_grants=True))
            _grant(home.add_service_account(client, email), home, roles)

    def expire_tokens(self) -> None:
        """Expire all access tokens issued so far; refresh tokens stay valid."""
        with self._state.lock:
            self._tokens.expire_all()

    def _realm(self, name: str) -> Realm:
        if (realm := self._state.realm(name)) is None:
            raise KeyError(name)
        return realm

    def _respond(self, request: Request) -> Response:
        target = urlsplit(str(request.environ["REQUEST_URI"]))
        body = request.get_data()
        path = target.path.removeprefix(self.options.base_path.rstrip("/"))
        if request.method == "GET" and (page := self._inbox().respond(path, target.query)) is not None:
            return page
        parts = (self._state, self._tokens, self.faults, self._closing, self._mail_tokens)
        call = Call(
            server=SandboxServer(self.url, self.options, self._quirks, *parts),
            method=request.method,
            path=path,
            query=dict(parse_qsl(target.query)),
            authorization=request.headers.get("Authorization", ""),
            content_type=request.headers.get("Content-Type", ""),
            accept=request.headers.get("Accept", ""),
            raw_body=body,
        )
        response = answer(call)
        recorded = None if path.endswith("/token") else _parse_json(body)
        with self._state.lock:
            self._requests.append(RecordedRequest(request.method, path, target.query, recorded, response.status))
        return response.response()

    def _inbox(self) -> Inbox:
        relay = f"{self.mail.host}:{self.mail.port}"
        return Inbox(self.mail.received, self._state.test_mails, self.url, relay, self.options.version)


class _Connections:
    """The open connections, to be closed when the sandbox stops: a client may keep one open for ever."""

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._changed = threading.Condition()

    def add(self, connection: socket.socket) -> None:
        with self._changed:
            self._sockets.add(connection)

    def remove(self, connection: socket.socket) -> None:
        with self._changed:
            self._sockets.discard(connection)
            self._changed.notify_all()

    def close_all(self, timeout: float) -> None:
        with self._changed:
            for connection in self._sockets:
                _end(connection)
            self._changed.wait_for(lambda: not self._sockets, timeout)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # the client may have closed it already
        connection.shutdown(socket.SHUT_RDWR)


class _QuietHandler(WSGIRequestHandler):
    """Logs nothing, and registers its connection."""

    connections: _Connections
    protocol_version = "HTTP/1.1"
    # Headers and body go out as two packets; with Nagle's algorithm the second may wait 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.connections.add(self.connection)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.connections.remove(self.connection)

    def log(self, type: str, message: str, *args: object) -> None:
        return


def _grant(user: User, realm: Realm, roles: Iterable[str]) -> None:
    own = f"{MASTER}-realm" if realm.name == MASTER else OWN_ADMIN_CLIENT
    for role in roles:
        client, colon, name = role.rpartition(":")
        if realm.name == MASTER and not colon and role in ("admin", "create-realm"):
            user.realm_roles.add(role)
        else:
            user.grant(client or own, name)


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
