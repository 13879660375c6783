"""An authorisation server's token endpoint on loopback, over https."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import trustme


class TokenEndpoint:
    """Answers every POST with ``status`` and ``answer``; ``forms`` holds what clients sent."""

    def __init__(self, port: int, answer: object, status: int) -> None:
        self.url = f"https://localhost:{port}/token"
        self.answer, self.status = answer, status
        self.forms: list[Mapping[str, list[str]]] = []


def unsigned_token(claims: Mapping[str, object]) -> str:
    """Return a JSON Web Token with these claims and a signature that nobody checks."""
    parts = [json.dumps(one).encode() for one in ({"alg": "none"}, dict(claims))]
    return ".".join([*(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts), "c2ln"])


@contextmanager
def token_endpoint(authority: trustme.CA, answer: object, status: int = 200) -> Iterator[TokenEndpoint]:
    """Run a token endpoint with a certificate of the authority."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            form = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
            endpoint.forms.append(parse_qs(form))
            body = endpoint.answer if isinstance(endpoint.answer, bytes) else json.dumps(endpoint.answer).encode()
            self.send_response(endpoint.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint = TokenEndpoint(server.server_address[1], answer, status)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
