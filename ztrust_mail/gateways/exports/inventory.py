"""A folder of realm files, or one file: which realm stands where, and what of it cannot be used."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ztrust_mail.core.errors import RealmUnreadable, ServerUnreachable
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.gateways.exports.document import ParsedExport, RealmText, scan

MAX_BYTES = 64_000_000
"""A larger file is refused; only its head is read, to tell which realm it is."""

MAX_FILES = 10_000
"""A folder with more JSON files is refused."""

_HEAD = 65_536
_SUFFIX = ".json"
_PEOPLE = re.compile(r"-(federated-)?users-\d+$")  # how kc.sh export names files of people
_EXPORT_ANEW = "export it anew, or correct it"


@dataclass(frozen=True)
class ExportedRealm:
    """A realm and the file that it stands in; ``settings`` are those of e-mail as they are written, if any are."""

    path: str
    realm: RealmText
    settings: str = field(repr=False)


@dataclass(frozen=True)
class Inventory:
    """What a look at the files found: realms by name, and the files without any, which are left alone."""

    realms: Mapping[str, ExportedRealm | RealmUnreadable]
    passed_over: tuple[str, ...]


class UnusableFile(Exception):
    """A file cannot be used. ``names`` are the realms in it, as far as they can be told."""

    def __init__(self, message: str, hint: str, rule: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.hint, self.rule, self.names = message, hint, rule, names


def take_stock(target: str) -> Inventory:
    """Return the realms in a file, or in all JSON files of a folder and below it.

    Names that begin with a dot are left out, links out of the folder refused. Raises :class:`ServerUnreachable` where
    there is no such file or folder, or no realm in it.
    """
    stock = _InventoryBuilder()
    if os.path.isdir(target):
        for path in _below(target, stock):
            stock.look_at(path)
    elif os.path.exists(target):
        stock.look_at(target)
    else:
        raise ServerUnreachable(f"there is no file or folder {_shown(target)}", "check the path", "no-such-file")
    if not stock.realms:
        hint = "give a file or folder as kc.sh export writes it; YAML is not read"
        raise ServerUnreachable(f"{_shown(target)} holds no realm export", hint, "no-realms")
    return Inventory(dict(sorted(stock.realms.items())), tuple(stock.passed_over))


class _InventoryBuilder:
    def __init__(self) -> None:
        self.realms: dict[str, ExportedRealm | RealmUnreadable] = {}
        self.passed_over: list[str] = []
        self._seen: set[str] = set()

    def look_at(self, path: str) -> None:
        """Take note of what a file holds; of one that is linked to, once."""
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
            self.refuse(name, UnusableFile(f"{_shown(place.path)}: {place.realm.problem}", hint, "bad-realm-file"))
        elif isinstance(other := self.realms.get(name), ExportedRealm):
            both = "twice" if other.path == place.path else f"and in {_shown(other.path)}"
            hint = "keep one of the two, or name the file that is meant by --server"
            self.refuse(
                name, UnusableFile(f"{quoted(name)} stands in {_shown(place.path)} {both}", hint, "defined-twice")
            )
        elif other is None:
            self.realms[name] = place

    def refuse(self, name: str, why: UnusableFile) -> None:
        """Take note that a realm cannot be used, whatever else is found of it."""
        self.realms[name] = RealmUnreadable(why.message, why.hint, why.rule)


def settings_in(text: str, realm: RealmText) -> str:
    """Return a realm's e-mail settings as they are written, nothing where it has none."""
    return text[realm.mail.start : realm.mail.end] if realm.mail else ""


def read_realms(path: str) -> tuple[str, ParsedExport]:
    """Return a file's text and what it holds, nothing where it is one of people.

    Raises :class:`UnusableFile` for a file that cannot be read, is too large, no UTF-8, or broken.
    """
    shown, people = _shown(path), bool(_PEOPLE.search(_stem(path)))
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
    if people and (scanned.users_only or not names):
        return "", ParsedExport()
    if not is_whole:
        hint = "keep people in files of their own: kc.sh export --users different_files"
        raise UnusableFile(f"{shown} has more than {MAX_BYTES // 10**6} MB", hint, "too-large", names)
    if not is_utf8:
        raise UnusableFile(f"{shown} is not UTF-8 text", "save it as UTF-8", "not-utf-8", names)
    if scanned.broken is not None:
        line, column = text.count("\n", 0, scanned.broken) + 1, scanned.broken - text.rfind("\n", 0, scanned.broken)
        message = f"{shown}:{line}:{column}: the JSON is broken or cut off here"
        raise UnusableFile(message, _EXPORT_ANEW, "json-syntax", names)
    return text, scanned


def _bytes_of(path: str) -> tuple[bytes, bool]:
    """Return a file's bytes and True; the first ones and False where it is too large."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # before opening it, which has an effect on some devices
        raise OSError(errno.EINVAL, "it is no regular file")
    # O_NONBLOCK: it may have become a pipe by now
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(_HEAD if size > MAX_BYTES else size + 1)
    if len(data) > size:
        raise OSError(errno.EAGAIN, "somebody writes it")
    return data, size <= MAX_BYTES


def _below(folder: str, stock: _InventoryBuilder) -> Iterator[str]:
    """Yield the JSON files, sorted; what leads out of the folder or cannot be opened is noted as unreadable."""
    root, count = os.path.realpath(folder), 0

    def closed(e: OSError) -> None:
        message, hint = f"{_shown(str(e.filename))} cannot be opened: {e.strerror}", "check the permissions"
        if e.filename == root:
            raise ServerUnreachable(message, hint, "cannot-read")
        stock.refuse(_named_after(str(e.filename)), UnusableFile(message, hint, "cannot-read"))

    for parent, folders, names in os.walk(root, onerror=closed):  # which follows no link to a folder
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(n for n in (*names, *links) if not n.startswith(".")):
            path = os.path.join(parent, name)
            if os.path.commonpath([root, os.path.realpath(path)]) != root:
                if name in links or name.endswith(_SUFFIX):
                    why = UnusableFile(f"{_shown(path)} leads out of the folder", "copy it to here", "link-outside")
                    stock.refuse(_named_after(path), why)
            elif name.endswith(_SUFFIX):
                count += 1
                if count > MAX_FILES:
                    hint = "name a folder further down"
                    raise ServerUnreachable(f"{_shown(folder)} has more than {MAX_FILES:,} files", hint, "too-many")
                yield path


def _stem(path: str) -> str:
    return os.path.basename(path).removesuffix(_SUFFIX)


def _named_after(path: str) -> str:
    """Return the realm that a file is for, going by its name as ``kc.sh export`` gives it."""
    return _stem(path).removesuffix("-realm")


def _shown(path: str) -> str:
    return printable(path)
