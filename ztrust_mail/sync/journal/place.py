"""Where a journal lies: an SQLite file, or a PostgreSQL database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from ztrust_mail.errors import JournalError
from ztrust_mail.sensitive import Secret
from ztrust_mail.sync.journal.records import RULE
from ztrust_mail.text import printable, quoted

if TYPE_CHECKING:
    from sqlalchemy import URL

FILE_NAME: Final = "journal.sqlite3"
BUSY_TIMEOUT: Final = 10.0
"""Seconds to wait for another program that is writing to the same journal."""

POSTGRESQL: Final = "postgresql+psycopg"


@dataclass(frozen=True)
class Place:
    """Where a journal lies: a file, or else a URL, which may hold a password.

    ``usual`` says that nobody named the place: its folder is made where it is not there.
    """

    file: Path | None = None
    url: Secret | None = None
    usual: bool = False

    @property
    def is_there(self) -> bool:
        """Whether its file is there; of a database nobody knows before it is asked. Raises :class:`JournalError`."""
        try:
            return self.file is None or bool(self.file.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as e:
            raise self.closed(e) from None

    def closed(self, e: OSError) -> JournalError:
        """Return what to raise where its file cannot be opened or made."""
        hint = "check the rights of its folder, or name another journal"
        return JournalError(f"{self.where} cannot be opened: {e.strerror}", hint, RULE)

    @property
    def where(self) -> str:
        """The journal as messages name it, without login."""
        if self.file:
            return f"the journal {quoted(self.file, 200)}"
        url = parsed(self.url)
        host = url.host or url.query.get("host") or "localhost"
        at = host if isinstance(host, str) else ", ".join(host)
        port = f":{url.port}" if url.port else ""
        return f"the journal in the PostgreSQL database {quoted(url.database or '')} at {printable(at)}{port}"


def place_of(url: Secret | None) -> Place:
    """Return the place a URL names, in the user's state folder without one. Raises :class:`JournalError`."""
    if url is None:
        import platformdirs

        return Place(Path(platformdirs.user_state_dir("ztrust-mail", appauthor=False)) / FILE_NAME, usual=True)
    if url.reveal().startswith("sqlite:"):
        return Place(_file_of(url))
    if url.reveal().count("@") > 1:  # what follows the first may be the end of a password: it is no host to ask or show
        hint = "write %40 for an @ in a user name or password"
        raise JournalError("the journal's URL holds an @ too many", hint, RULE)
    driver = parsed(url).drivername
    if driver in ("postgresql", POSTGRESQL):
        return Place(url=url)
    message = f"a journal cannot be kept in {quoted(driver)}"
    raise JournalError(message, "its URL begins with sqlite:/// or postgresql://", RULE)


def _file_of(url: Secret) -> Path:
    before, _, path = url.reveal().partition("sqlite:///")
    if before or path in ("", ":memory:") or "?" in path:
        raise JournalError("the journal's URL names no file", "write sqlite:////folder/journal.sqlite3", RULE)
    return Path(unquote(path))


def parsed(url: Secret | None) -> URL:
    """Return a database's URL in its parts. Raises :class:`JournalError`."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url.reveal() if url else "")
    except (ArgumentError, ValueError):
        hint = "write sqlite:////folder/journal.sqlite3 or postgresql://user:password@host/database"
        raise JournalError("the journal's URL cannot be read", hint, RULE) from None


def file_url(file: Path, *, writable: bool, immutable: bool = False) -> str:
    """Return the URL by which SQLite opens a file, whatever its name; ``immutable`` reads it as it lies there."""
    mode = "rw" if writable else "ro"
    return f"file:{quote(str(file.absolute()))}?mode={mode}{'&immutable=1' if immutable else ''}"
