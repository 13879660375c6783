"""Parses the URL of a PostgreSQL database without the driver, which need not be installed to name a journal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.journal.errors import RULE

SCHEMES: Final = ("postgresql", "postgresql+psycopg")

_URL: Final = re.compile(
    r"""
    (?P<scheme> [\w+]+ ) ://
    (?: (?P<user> [^:/]* ) (?: : (?P<password> [^@]* ) )? @ )?
    (?: \[ (?P<ipv6> [^/?]+ ) \] | (?P<name> [^/:?]+ ) )?
    (?: : (?P<port> [0-9]* ) )?
    (?: / (?P<database> [^?]* ) )?
    (?: \? (?P<query> .* ) )?
    """,
    re.VERBOSE,
)
_HOST_AND_PORT: Final = re.compile(r"([\w.-]+):(\d+)")


@dataclass(frozen=True)
class PostgresqlUrl:
    """The parts of a URL. ``hosts`` are the ``host`` parameters as written, each possibly with a port."""

    scheme: str
    host: str
    port: str
    database: str
    hosts: Sequence[str]
    login: Mapping[str, str] = field(repr=False)
    options: Mapping[str, str] = field(repr=False)

    @property
    def description(self) -> str:
        """The database as messages name it, without login."""
        host = self.host or ", ".join(self.hosts) or "localhost"
        port = f":{self.port}" if self.port else ""
        return f"{quoted(self.database)} at {printable(host)}{port}"

    def connection_arguments(self) -> dict[str, str]:
        """Return the connection parameters of libpq. A parameter of the query wins over the same part of the URL."""
        parts = {"host": self.host, "port": self.port, "dbname": self.database}
        arguments = {**self.login, **{name: value for name, value in parts.items() if value}, **self.options}
        if self.hosts:
            pairs = [_split_port(host) for host in self.hosts]
            arguments["host"] = ",".join(host for host, _ in pairs)
            if any(port for _, port in pairs):
                arguments["port"] = ",".join(port for _, port in pairs)
        return arguments


def parse_url(url: Secret) -> PostgresqlUrl:
    """Return a database URL in its parts. Raises :class:`JournalError` without quoting the URL."""
    match = _URL.fullmatch(url.reveal())
    if match is None:
        hint = "write sqlite:////folder/journal.sqlite3 or postgresql://user:password@host/database"
        raise JournalError("the journal's URL cannot be read", hint, RULE)
    query = parse_qsl(match["query"] or "")
    login = {name: unquote(match[name]) for name in ("user", "password") if match[name]}
    return PostgresqlUrl(
        scheme=match["scheme"],
        host=match["ipv6"] or match["name"] or "",
        port=match["port"] or "",
        database=unquote(match["database"] or ""),
        hosts=[value for name, value in query if name == "host"],
        login=login,
        options={name: value for name, value in query if name != "host"},
    )


def _split_port(host: str) -> tuple[str, str]:
    match = _HOST_AND_PORT.fullmatch(host)
    return (match[1], match[2]) if match else (host, "")
