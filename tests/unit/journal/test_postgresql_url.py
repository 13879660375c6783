"""URLs of PostgreSQL databases and the connection parameters they stand for."""

from __future__ import annotations

import pytest

from ztrust_mail.core.errors import JournalError
from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.database import parse_url


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("postgresql://", {}),
        ("postgresql://db.example.com/journal", {"host": "db.example.com", "dbname": "journal"}),
        (
            "postgresql://eve%20x:p%40ss%2Fw%3Ard%25@db:5433/my%20journal",
            {"user": "eve x", "password": "p@ss/w:rd%", "host": "db", "port": "5433", "dbname": "my journal"},
        ),
        ("postgresql://eve:a/b?c#d@db/x", {"user": "eve", "password": "a/b?c#d", "host": "db", "dbname": "x"}),
        ("postgresql+psycopg://eve@[::1]:5433", {"user": "eve", "host": "::1", "port": "5433"}),
        ("postgresql:///x?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "x"}),
        ("postgresql:///x?host=a:1&host=b:2", {"host": "a,b", "port": "1,2", "dbname": "x"}),
        ("postgresql:///x?host=a:1&host=b", {"host": "a,b", "port": "1,", "dbname": "x"}),
        ("postgresql:///x?host=a,b&port=1,2", {"host": "a,b", "port": "1,2", "dbname": "x"}),
        ("postgresql://db/x?dbname=y&sslmode=require", {"host": "db", "dbname": "y", "sslmode": "require"}),
        (
            "postgresql://db/x?options=-csearch_path%3Dmail",
            {"host": "db", "dbname": "x", "options": "-csearch_path=mail"},
        ),
    ],
)
def test_a_url_gives_the_connection_parameters(url: str, arguments: dict[str, str]) -> None:
    assert parse_url(Secret(url)).connection_arguments() == arguments


@pytest.mark.parametrize(
    "url", ["geheim", "postgresql:/geheim", "postgresql://db:geheim/x", "postgresql://[::1]geheim/x"]
)
def test_an_invalid_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(JournalError, match=r"^the journal's URL cannot be read$") as caught:
        parse_url(Secret(url))
    assert "geheim" not in caught.value.hint


def test_the_parts_of_a_url_do_not_show_its_login() -> None:
    url = parse_url(Secret("postgresql://eve:geheim@db/x?password=geheim"))
    assert "geheim" not in repr(url)
    assert url.description == "`x` at db"
