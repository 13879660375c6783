"""Realm exports as a target like a server: read, compared and edited where they lie, with nothing else touched."""

from __future__ import annotations

import getpass
import hashlib
import math
import os
import re
import threading
import time
from collections.abc import Collection
from typing import NoReturn

from ztrust_mail.core.errors import RealmError, RealmMissing
from ztrust_mail.core.files import Changed, is_read_only, remove_leftovers, replace_file
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Outgoing, Version
from ztrust_mail.gateways.exports.document import with_settings
from ztrust_mail.gateways.exports.inventory import (
    ExportedRealm,
    Inventory,
    UnusableFile,
    read_realms,
    settings_in,
    take_stock,
)
from ztrust_mail.gateways.gateway import Capabilities, Gateway, LiveRealm, Reading
from ztrust_mail.settings import Server, folder_of
from ztrust_mail.transport.account import Account

_VARIABLE = re.compile(r"\$\{(?!vault\.)")


TITLE = "a folder of realm exports"


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
        names = dict.fromkeys([*wanted, *(inventory.realms if everything else ())])
        return Reading({name: self._live(name, inventory, now) for name in names}, complete=everything)

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
