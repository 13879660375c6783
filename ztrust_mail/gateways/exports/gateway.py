"""Realm exports as a target like a server: read, compared and edited in place, without touching anything else."""

import errno
import getpass
import hashlib
import math
import os
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from ztrust_mail.core.errors import RealmError, RealmMissing, RealmUnreadable, ServerUnreachable
from ztrust_mail.core.files import Changed, is_inside, is_read_only, read_regular_file, remove_leftovers, replace_file
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Outgoing, Version
from ztrust_mail.gateways.exports.document import ParsedExport, RealmText, scan, with_settings
from ztrust_mail.gateways.gateway import Account, Capabilities, Gateway, LiveRealm, Reading
from ztrust_mail.settings import Server, folder_of

TITLE = "a folder of realm exports"
_VARIABLE = re.compile(r"\$\{(?!vault\.)")

MAX_BYTES = 64_000_000
"""A larger file is refused; only its beginning is read, to name its realm."""

MAX_FILES = 10_000
"""A folder with more JSON files is refused."""

_HEAD = 65_536
_SUFFIX = ".json"
_USERS_FILE = re.compile(r"-(federated-)?users-\d+$")  # as kc.sh export names them
_EXPORT_ANEW = "export it again, or correct it"


@dataclass(frozen=True)
class ExportedRealm:
    """A realm and its file; ``settings`` is the JSON text of its e-mail settings, empty if there are none."""

    path: str
    realm: RealmText
    settings: str = field(repr=False)


@dataclass(frozen=True)
class Inventory:
    """The realms found, by name, and the files without realms, which are ignored."""

    realms: Mapping[str, ExportedRealm | RealmUnreadable]
    passed_over: tuple[str, ...]


class UnusableFile(Exception):
    """A file cannot be used. ``names`` holds the names of its realms as far as they are known."""

    def __init__(self, message: str, hint: str, rule: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.hint, self.rule, self.names = message, hint, rule, names


def take_stock(target: str) -> Inventory:
    """Return the realms in a file, or in all JSON files of a folder and below it.

    Names that begin with a dot are ignored, and links out of the folder refused. Raises :class:`ServerUnreachable` if
    there is no such file or folder, or no realm in it.
    """
    stock = _InventoryBuilder()
    if os.path.isdir(target):
        for path in _below(target, stock):
            stock.add_file(path)
    elif os.path.exists(target):
        stock.add_file(target)
    else:
        raise ServerUnreachable(f"there is no file or folder {printable(target)}", "check the path", "no-such-file")
    if not stock.realms:
        hint = "give a JSON file or a folder written by kc.sh export; YAML is not supported"
        raise ServerUnreachable(f"{printable(target)} contains no realm export", hint, "no-realms")
    return Inventory(dict(sorted(stock.realms.items())), tuple(stock.passed_over))


class _InventoryBuilder:
    def __init__(self) -> None:
        self.realms: dict[str, ExportedRealm | RealmUnreadable] = {}
        self.passed_over: list[str] = []
        self._seen: set[str] = set()

    def add_file(self, path: str) -> None:
        """Add the realms of a file, once if several links lead to it."""
        real = os.path.realpath(path)
        if real in self._seen:
            return
        self._seen.add(real)
        try:
            text, scanned = read_realms(real)
        except UnusableFile as e:
            for name in e.names or (_named_after(path),):
                self.refuse(name, e)
            return
        if not scanned.realms:
            self.passed_over.append(path)
        for realm in scanned.realms:
            self._add(ExportedRealm(real, realm, settings_in(text, realm)))

    def _add(self, place: ExportedRealm) -> None:
        name = place.realm.realm
        if place.realm.problem:
            hint = "keep one of the two" if "twice" in place.realm.problem else _EXPORT_ANEW
            self.refuse(name, UnusableFile(f"{printable(place.path)}: {place.realm.problem}", hint, "bad-realm-file"))
        elif isinstance(other := self.realms.get(name), ExportedRealm):
            both = "twice" if other.path == place.path else f"and in {printable(other.path)}"
            hint = "keep one of the two, or give the right file by --server"
            self.refuse(
                name,
                UnusableFile(f"{quoted(name)} is defined in {printable(place.path)} {both}", hint, "defined-twice"),
            )
        elif other is None:
            self.realms[name] = place

    def refuse(self, name: str, why: UnusableFile) -> None:
        """Mark a realm as unusable, also if another file contains it."""
        self.realms[name] = RealmUnreadable(why.message, why.hint, why.rule)


def settings_in(text: str, realm: RealmText) -> str:
    """Return the JSON text of a realm's e-mail settings, empty if it has none."""
    return text[realm.mail.start : realm.mail.end] if realm.mail else ""


def read_realms(path: str) -> tuple[str, ParsedExport]:
    """Return a file's text and its realms; both are empty for a file of users.

    Raises :class:`UnusableFile` for a file that is unreadable, too large, not UTF-8, or not valid JSON.
    """
    shown, is_users_file = printable(path), bool(_USERS_FILE.search(_stem(path)))
    try:
        data, is_whole = _bytes_of(path)
    except OSError as e:
        raise UnusableFile(f"{shown} cannot be read: {e.strerror}", "check the permissions", "cannot-read") from None
    try:
        text, is_utf8 = data.decode(), True
    except UnicodeDecodeError:
        text, is_utf8 = data.decode(errors="replace"), False
    scanned = scan(text)
    names = tuple(name for name in (*(r.realm for r in scanned.realms), *scanned.torn) if "\ufffd" not in name)
    if is_users_file and (scanned.users_only or not names):
        return "", ParsedExport()
    if not is_whole:
        hint = "write users to separate files: kc.sh export --users different_files"
        raise UnusableFile(f"{shown} is larger than {MAX_BYTES // 10**6} MB, the limit", hint, "too-large", names)
    if not is_utf8:
        raise UnusableFile(f"{shown} is not UTF-8 text", "save it as UTF-8", "not-utf-8", names)
    if scanned.broken is not None:
        line, column = text.count("\n", 0, scanned.broken) + 1, scanned.broken - text.rfind("\n", 0, scanned.broken)
        message = f"{shown}:{line}:{column}: the JSON is invalid or ends here"
        raise UnusableFile(message, _EXPORT_ANEW, "json-syntax", names)
    return text, scanned


def _bytes_of(path: str) -> tuple[bytes, bool]:
    """Return a file's bytes and True, or its first bytes and False if it is too large."""
    size = os.stat(path).st_size
    is_whole = size <= MAX_BYTES
    data = read_regular_file(path, size + 1 if is_whole else _HEAD, follow_links=False)
    if len(data) > size:
        raise OSError(errno.EAGAIN, "another process is writing it")
    return data, is_whole


def _below(folder: str, stock: _InventoryBuilder) -> Iterator[str]:
    """Yield the JSON files, sorted; mark links out of the folder and folders that cannot be opened as unusable."""
    root, count = os.path.realpath(folder), 0

    def report(e: OSError) -> None:
        message, hint = f"{printable(str(e.filename))} cannot be opened: {e.strerror}", "check the permissions"
        if e.filename == root:
            raise ServerUnreachable(message, hint, "cannot-read")
        stock.refuse(_named_after(str(e.filename)), UnusableFile(message, hint, "cannot-read"))

    for parent, folders, names in os.walk(root, onerror=report):  # which follows no link to a folder
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(n for n in (*names, *links) if not n.startswith(".")):
            path = os.path.join(parent, name)
            if not is_inside(path, root):
                if name in links or name.endswith(_SUFFIX):
                    why = UnusableFile(f"{printable(path)} leads out of the folder", "copy it to here", "link-outside")
                    stock.refuse(_named_after(path), why)
            elif name.endswith(_SUFFIX):
                count += 1
                if count > MAX_FILES:
                    hint = "name a subfolder"
                    raise ServerUnreachable(f"{printable(folder)} has more than {MAX_FILES:,} files", hint, "too-many")
                yield path


def _stem(path: str) -> str:
    return os.path.basename(path).removesuffix(_SUFFIX)


def _named_after(path: str) -> str:
    """Return the realm in the name of a file that ``kc.sh export`` wrote."""
    return _stem(path).removesuffix("-realm")


class RealmFilesGateway(Gateway):
    """Reads and writes a folder of realm exports, or one file.

    Secrets are stored in clear: they are masked when they are read, and a write stores the new secret in clear.
    """

    capabilities = Capabilities(read=True, write=True, test=False)
    connections = 1

    def __init__(self, server: Server, dialect: Dialect) -> None:
        self.url = server.url
        self.dialect = dialect
        self.target = folder_of(server.url)
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[str, bytes]] = {}
        self._has_written = False
        self._seconds = math.inf  # that the last read took

    @property
    def title(self) -> str:
        return TITLE

    def login(self) -> None:
        """Check that there are realms, so that a wrong path is reported first."""
        self.read_files()

    def account(self, *, with_email: bool = True) -> Account:
        """Return the user of this machine, since files have no accounts."""
        try:
            return Account(getpass.getuser(), "", None)
        except (OSError, KeyError, ImportError):  # no such user on this machine, as in some containers
            return Account("unknown", "", None)

    def version(self) -> Version:
        """Return nothing: the server that the files belong to is unknown."""
        return ()

    def read_files(self) -> Inventory:
        """Return the realms in the files, and remember their settings for the next write."""
        inventory = take_stock(self.target)
        with self._lock:
            for realm, place in inventory.realms.items():
                if isinstance(place, ExportedRealm):
                    self._seen[realm] = (place.path, _digest(place.settings))
        return inventory

    def realms(self) -> list[str]:
        return sorted(self.read_files().realms)

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        now, inventory = time.monotonic(), self.read_files()
        self._seconds = time.monotonic() - now
        names = dict.fromkeys([*wanted, *(inventory.realms if everything else ())])
        return Reading({name: self._live(name, inventory, now) for name in names}, complete=everything)

    def prefers_list(self, count: int, within: float = math.inf) -> bool:
        return self._seconds <= within  # every read parses all files

    def read_one(self, realm: str) -> LiveRealm:
        live = self.read([realm], everything=False).realms[realm]
        if isinstance(live, RealmError):
            raise live
        return live

    def _live(self, name: str, inventory: Inventory, now: float) -> LiveRealm | RealmError:
        place = inventory.realms.get(name)
        if place is None:
            hint = "check the spelling, or export the realm first"
            return RealmMissing(f"there is no realm {quoted(name)} in {printable(self.target)}", hint, "no-realm")
        if isinstance(place, RealmError):
            return place
        attributes = self.dialect.mask_secrets(place.realm.attributes)
        return LiveRealm(name, attributes, now, place.realm.needs_mail)

    def write(self, realm: str, attributes: Outgoing, *, before: float = math.inf) -> None:
        """Write the attributes to the realm's file, unless its settings changed since they were last read."""
        for name, value in attributes.items():
            if isinstance(value, Secret) and _VARIABLE.search(value.reveal()):
                message = f"{quoted(name)} contains `${{`, which an import reads as the start of a variable"
                raise RealmError(message, "set it on the server itself, or choose another secret", "variable")
        if realm not in self._seen:
            self.read_one(realm)
        with self._lock:
            if not self._has_written:
                self._remove_leftovers()
            path, digest = self._seen.pop(realm)  # the next write reads the file again
            shown = printable(path)
            try:
                self._replace(path, realm, digest, attributes)
            except Changed:
                hint = "make a new plan, review it, then apply it"
                raise RealmError(f"{shown} changed since it was read", hint, "changed-meanwhile") from None
            except UnusableFile as e:
                raise RealmError(e.message, e.hint, e.rule) from None
            except OSError as e:
                hint = "the file is unchanged; check the owner and permissions of it and its folder, and the free space"
                raise RealmError(f"{shown} cannot be replaced: {e.strerror}", hint, "cannot-write") from None

    def _remove_leftovers(self) -> None:
        """Remove the temporary files of a killed run, which contain passwords."""
        for folder in {os.path.dirname(path) for path, _ in self._seen.values()}:
            remove_leftovers(folder)
        self._has_written = True

    def _replace(self, path: str, realm: str, digest: bytes, attributes: Outgoing) -> None:
        text, scanned = read_realms(path)
        found = [one for one in scanned.realms if one.realm == realm and not one.problem]
        if len(found) != 1 or _digest(settings_in(text, found[0])) != digest:
            raise Changed
        new = with_settings(text, found[0], attributes, self.dialect.mask)
        replace_file(path, text.encode(), new.encode())

    def may_write(self, realm: str) -> bool:
        path, _ = self._seen.get(realm, ("", b""))
        return bool(path) and not is_read_only(path)

    def test(self, realm: str, attributes: Outgoing) -> NoReturn:
        message = "realm files cannot send a test mail; only a server can"
        raise RealmError(message, "import them, then run test against that server", "cannot-test")

    def close(self) -> None:
        """Do nothing, since no file is open."""


def _digest(settings: str) -> bytes:
    """Return a digest of settings, which contains no secret."""
    return hashlib.sha256(settings.encode()).digest()
