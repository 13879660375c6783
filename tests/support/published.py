"""A local https server that keeps to a vendor's published contract, for products that cannot be had."""

from __future__ import annotations

import json
import re
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import trustme
from support.cli import Cli

TOKEN = "eyJhbGciOiJub25lIn0.eyJwcmVmZXJyZWRfdXNlcm5hbWUiOiAib3BzIn0.c2lnbmF0dXJl"
"""A token of the user ``ops``."""

SSMS_DOMAIN = "ssms.test"
DIGITANIUM_KEYS = {
    *("replyToDisplayName", "starttls", "port", "host", "replyTo", "from"),
    *("fromDisplayName", "envelopeFrom", "ssl", "user", "password"),
}
UIPATH_KEYS = [
    f"Email.Smtp.{key}"
    for key in (
        *("UseDefaultCredentials", "EnableSsl", "Host", "Port", "UserName", "Password"),
        *("FromEmail", "FromDisplayName", "Domain", "ConnectionTimeout"),
    )
]


UNDOCUMENTED_ANSWERS: Mapping[str, dict[str, Any]] = {
    "500": {"status": 500, "json": {"message": "boom"}},
    "html": {"status": 200, "body": "<html>", "content_type": "text/html"},
    "page-404": {"status": 404, "body": "<html>", "content_type": "text/html"},
    "400-without-a-word": {"status": 400, "body": ""},
}
"""Answers that no vendor documents, as arguments for ``responses``."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived; ``host`` is without its port."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass(frozen=True)
class Answer:
    """What the server says; ``cut`` breaks off in the middle, ``silent`` says nothing until the server is closed."""

    status: int
    body: object = None
    kind: str = "application/json"
    cut: bool = False
    silent: bool = False


PAGE = Answer(502, "<html>bad gateway</html>", "text/html")
CUT = Answer(200, {"message": "Successfully updated SMTP Details", "status": "OK", "subSystem": 8}, cut=True)
SILENT = Answer(200, silent=True)


@dataclass
class Product(ABC):
    """A product by its contract. ``faults`` are answers to give instead, by the number of the request from 0.

    A fault comes after the work is done, as when only the answer is lost. ``breaches`` are requests that no client
    that keeps to the contract sends.
    """

    requests: list[Request] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    faults: dict[int, Answer] = field(default_factory=dict)
    url: str = ""
    bundle: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def answered(self, request: Request) -> Answer:
        """Take note of a request and answer it."""
        number = len(self.requests)
        self.requests.append(request)
        if request.headers.get("Content-Type") != "application/json":
            self.breaches.append(f"Content-Type of {request.path}")
        answer = self.answer(request) if request.headers.get("Authorization") == f"Bearer {TOKEN}" else self.refusal
        return self.faults.get(number, answer)

    refusal = Answer(401, {"error": "HTTP 401 Unauthorized"})

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Do what a request with the right token asks for."""


@dataclass
class Digitanium(Product):
    """SSMS and SHIFT, by developer.kobil.com; ``stored`` and ``mailed`` are by tenant."""

    stored: dict[str, dict[str, str]] = field(default_factory=dict)
    mailed: list[str] = field(default_factory=list)
    users: bool = True

    def answer(self, request: Request) -> Answer:
        tenant, what = _digitanium_call(request)
        if request.method != "POST" or not tenant:
            self.breaches.append(f"{request.method} {request.host}{request.path}")
            return Answer(404, "<html>not found</html>", "text/html")
        if what == "test":
            if request.json != {"mailType": "TEST"}:
                self.breaches.append(f"body of {request.path}")
            if not self.users:
                return Answer(404, {"message": "User does not exist", "status": "USER_NOT_FOUND", "subSystem": 8})
            self.mailed.append(tenant)
            return Answer(200, {"message": "Mail Sent Successfully to the user", "status": "OK", "subSystem": 8})
        given = request.json
        if given.keys() != DIGITANIUM_KEYS or not all(isinstance(value, str) for value in given.values()):
            self.breaches.append(f"body of {request.path}")
        if not given.get("host") or not given.get("from"):
            said = "Host and From is mandatory to update Email Configuration."
            return Answer(400, {"message": said, "status": "BAD_REQUEST", "subSystem": 8})
        self.stored[tenant] = {name: text for name, text in given.items() if text}
        return Answer(200, {"message": "Successfully updated SMTP Details", "status": "OK", "subSystem": 8})


def _digitanium_call(request: Request) -> tuple[str, str]:
    if found := re.fullmatch(r"/digitanium/v4/mail/(config|test)", request.path):
        tenant, _, rest = request.host.partition(".")
        return (tenant, found[1]) if rest == SSMS_DOMAIN else ("", "")
    found = re.fullmatch(r"/auth/realms/([^/]+)/mail/(setup|test)", request.path)
    return (unquote(found[1]), found[2]) if found and request.host == "localhost" else ("", "")


@dataclass
class UiPath(Product):
    """The Identity Server's settings, by docs.uipath.com; ``stored`` is by organisation."""

    stored: dict[str, dict[str, str]] = field(default_factory=lambda: {"org-1": {}})
    path: str = "/identity/api/Setting"

    def answer(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        if parts.path != self.path or request.method not in ("GET", "PUT"):
            self.breaches.append(f"{request.method} {request.path}")
            return Answer(404, "<html>not found</html>", "text/html")
        if request.method == "GET":
            return self._get(parse_qsl(parts.query))
        given = request.json
        if given.keys() != {"settings", "partitionGlobalId"} or any(
            row.keys() != {"key", "value"} or row["key"] not in UIPATH_KEYS or not isinstance(row["value"], str)
            for row in given["settings"]
        ):
            self.breaches.append(f"body of {request.path}")
        changed = {row["key"]: row["value"] for row in given["settings"]}
        if not all(changed.get(f"Email.Smtp.{key}") for key in ("Host", "Port", "FromEmail")):
            return Answer(400, {"message": "Host, port and sender belong together"})
        self.stored[given["partitionGlobalId"]] |= changed
        return Answer(200, None)

    def _get(self, query: list[tuple[str, str]]) -> Answer:
        organisations = [value for name, value in query if name == "partitionGlobalId"]
        keys = [value for name, value in query if name == "key"]
        if len(organisations) != 1 or sorted(keys) != sorted(UIPATH_KEYS) or len(query) != 1 + len(keys):
            self.breaches.append(f"query {query}")
        held = self.stored.get(organisations[0])
        if held is None:
            return Answer(404, {"message": "no such organization"})
        rows = [_row(n, key, held.get(key), organisations[0]) for n, key in enumerate(keys)]
        return Answer(200, rows)


def _row(number: int, key: str, value: str | None, organisation: str) -> dict[str, object]:
    shown = "******" if value and key.endswith(".Password") else value
    return {"id": number, "key": key, "value": shown, "partitionGlobalId": organisation, "userId": None}


@contextmanager
def served(product: Product, folder: Path) -> Iterator[Product]:
    """Serve a product on this machine by https; ``url`` and ``bundle`` then say where it is and whom to trust."""
    authority = trustme.CA()
    bundle = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", f"*.{SSMS_DOMAIN}").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(product))
    server.daemon_threads = False  # closing waits for the answers under way
    server.socket = context.wrap_socket(server.socket, server_side=True)
    product.url, product.bundle = f"https://localhost:{server.server_port}", str(bundle)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield product
    finally:
        product.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def settle_on(cli: Cli, product: Product, name: str, url: str) -> None:
    """Write settings that name a product, at one of its URLs, as the only server."""
    entry = f'url = "{url}"\ngateway = "{type(product).__name__.lower()}"\nca_bundle = "{product.bundle}"\n'
    cli.set(CONFIG=cli.write("ztrust-mail.toml", f"[servers.{name}]\n{entry}"))


def _handler(product: Product) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            host = self.headers["Host"].partition(":")[0]
            answer = product.answered(Request(self.command, host, self.path, dict(self.headers), body))
            if answer.silent:
                product.closing.wait()
                return
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            content = text.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if answer.cut else content)

        do_GET = do_PUT = do_POST = do_DELETE = _any  # noqa: N815  # what the base class calls

        def log_message(self, format: str, *arguments: object) -> None:
            return

    return Handler
