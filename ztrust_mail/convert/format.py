"""What a format is: it reads settings out of files, and writes them as text."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from ztrust_mail.core.files import MAX_BYTES, STDIN, file_bytes, is_inside
from ztrust_mail.core.findings import Finding, Location, Severity, error
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import CONTROL, SURROGATE, escaped, quoted
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model.fields import ABSENT, LOGIN, FieldMap, FieldValue, Raw, field_of, is_within
from ztrust_mail.specfile.export import variables_for
from ztrust_mail.specfile.readers.document import Broken, Document, SourceText

UNNAMED = SecretRef(SecretKind.ENV, ("",))
"""A secret for which a variable is still to be named."""

CANNOT_HOLD = "cannot-hold"


@dataclass(frozen=True)
class ReadResult:
    """The settings found in files, by realm. An empty map is a realm without e-mail; secrets are references."""

    realms: Mapping[str, FieldMap]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class WriteResult:
    """Settings in a format's own text, and what it cannot hold."""

    text: str = field(repr=False)
    findings: tuple[Finding, ...] = ()


class Format(ABC):
    """One way in which settings are kept in files."""

    name: str
    title: str

    @abstractmethod
    def read(self, path: str) -> ReadResult:
        """Return the settings in a file, a folder, or ``-`` for standard input.

        What cannot be read is an error among the findings; raises :class:`ZtrustMailError`
        where nothing can be done at all.
        """

    @abstractmethod
    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return the settings as text; what cannot be said is a finding."""

    def check(self, text: str) -> list[Finding]:
        """Return an error where text that :meth:`write` returned must be completed before it can be used."""
        return []


def as_json(data: object) -> str:
    """Return JSON as the server writes it, with escapes for what cannot be seen."""
    return escaped(json.dumps(data, indent=2, ensure_ascii=False), pairs=True) + "\n"


def warning(rule: str, message: str, hint: str, realm: str = "", name: str = "", at: Location | None = None) -> Finding:
    """Return a warning on a realm's field."""
    return Finding(Severity.WARNING, rule, message, hint, at, realm or None, name or None)


def note(rule: str, message: str, hint: str, realm: str = "", at: Location | None = None) -> Finding:
    """Return something worth knowing."""
    return Finding(Severity.NOTE, rule, message, hint, at, realm or None)


def named_secrets(realms: Mapping[str, FieldMap]) -> dict[str, FieldMap]:
    """Return the realms with a variable for every secret that has none yet."""
    secrets = [(r, n, v) for r, fields in realms.items() for n, v in fields.items() if isinstance(v, SecretRef)]
    taken = {v.argument[0] for _, _, v in secrets if v.kind is SecretKind.ENV}
    names = variables_for([(realm, name) for realm, name, value in secrets if value == UNNAMED], taken)

    def put(realm: str, name: str, value: FieldValue) -> FieldValue:
        return SecretRef(SecretKind.ENV, (names[realm, name],)) if (realm, name) in names else value

    return {realm: {n: put(realm, n, v) for n, v in fields.items()} for realm, fields in realms.items()}


def _in_variable_or_vault(name: str, reference: SecretRef) -> bool:
    return reference.kind in (SecretKind.ENV, SecretKind.KEYCLOAK_VAULT)


def with_variables(
    realms: Mapping[str, FieldMap], title: str, keeps: Callable[[str, SecretRef], bool] = _in_variable_or_vault
) -> tuple[dict[str, FieldMap], list[Finding]]:
    """Return the realms with variables for all secrets but those that a format ``keeps``, and what that changes."""
    found = []
    result: dict[str, FieldMap] = {}
    for realm, fields in realms.items():
        result[realm] = dict(fields)
        for name, value in fields.items():
            if isinstance(value, SecretRef) and not keeps(name, value):
                result[realm] = {**result[realm], name: UNNAMED}
                message = f"{title} cannot take `{name}` from a {value.kind.value} reference"
                found.append(warning(CANNOT_HOLD, message, "put the value into the variable named there", realm, name))
    return named_secrets(result), found


def held(
    realm: str, fields: FieldMap, title: str, known: Iterable[str], raw: Iterable[str] = ()
) -> tuple[dict[str, FieldValue], list[Finding]]:
    """Return the fields that a format can hold, and a finding for each other one that means something.

    A login of which a part cannot be held is left out whole. ``raw`` names fields that may hold any text.
    """
    known, raw = set(known), set(raw)
    meant = {n: v for n, v in fields.items() if n in known or KEYCLOAK.effective_value(n, None) != v}
    lost = {n for n, v in meant.items() if n not in known or v is ABSENT or (isinstance(v, Raw) and n not in raw)}
    if any(is_within(name, LOGIN) for name in lost):
        lost |= {name for name in meant if is_within(name, LOGIN)}
    return {n: v for n, v in meant.items() if n not in lost}, [_lost(realm, n, meant[n], title) for n in sorted(lost)]


def _lost(realm: str, name: str, value: FieldValue, title: str) -> Finding:
    if value is ABSENT:
        message = f"{title} cannot say that `{name}` must not be there"
    elif field_of(name).secret or not isinstance(value, Raw):
        message = f"{title} cannot hold {quoted(name)}"
    else:
        message = f"{title} cannot hold {quoted(value)} as `{name}`"
    return warning(CANNOT_HOLD, message, "left out: set it by other means", realm, name)


MAX_FILES = 10_000
_REFUSED = {
    "cannot-read": ("it cannot be read", "check the path and the permissions"),
    "empty-file": ("the file is empty", "give a file with settings"),
    "empty-folder": ("there is no file of this kind in this folder", "check --from and the path"),
    "link-outside": ("this link leads out of the folder", "copy the file to here"),
    "no-such-file": ("there is no such file or folder", "check the path"),
    "not-a-file": ("this is no regular file", "give a file, a folder, or - for standard input"),
    "too-large": (f"the file has more than {MAX_BYTES // 10**6} MB", "cut out what has nothing to do with e-mail"),
    "too-many": (f"there are more than {MAX_FILES:,} files", "name a folder further down"),
    "unknown-file-type": ("the name does not tell a file of this kind", "check --from, or rename the file"),
}


@dataclass
class Files:
    """Reads files whose names end in one of ``suffixes``; ``findings`` tells what could not be read."""

    suffixes: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)

    def texts(self, path: str) -> Iterator[SourceText]:
        """Yield the text of a file, of all files in a folder (sorted, with what lies below), or of ``-``."""
        if "\0" in path:
            self._refuse(path, "cannot-read")
        elif path != STDIN and os.path.isdir(path):
            names = list(self._below(path))
            if not names and not self.findings:
                self._refuse(path, "empty-folder")
            for name in names:
                yield from self._text(name)
        else:
            yield from self._text(path)

    def documents(self, path: str, prepare: Callable[[str], str] = str) -> Iterator[Document]:
        """Yield the JSON and YAML documents; one that has a problem gives findings instead.

        ``prepare`` may blank out parts of the text before it is read.
        """
        for source in self.texts(path):
            source.text = prepare(source.text)
            if source.path.lower().endswith(".json"):
                from ztrust_mail.specfile.readers.json import parse
            else:
                from ztrust_mail.specfile.readers.yaml import parse
            with suppress(Broken):
                value, root = parse(source)
                if not source.findings:
                    yield Document(source.path, os.path.dirname(os.path.realpath(source.path)), value, root, source)
            self.findings.extend(source.findings)

    def _below(self, folder: str) -> Iterator[str]:
        root, count = os.path.realpath(folder), 0
        for parent, folders, names in os.walk(folder):  # which follows no link to a folder
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(n for n in names if not n.startswith(".") and n.lower().endswith(self.suffixes)):
                path = os.path.join(parent, name)
                count += 1
                if count > MAX_FILES:
                    self._refuse(folder, "too-many")
                    return
                if not is_inside(os.path.realpath(path), root):
                    self._refuse(path, "link-outside")
                else:
                    yield path
            for name in folders:
                if os.path.islink(link := os.path.join(parent, name)):
                    self._refuse(link, "link-outside")

    def _text(self, path: str) -> Iterator[SourceText]:
        try:
            refusal, data = file_bytes(path, self.suffixes)
        except FileNotFoundError:
            refusal, data = "no-such-file", b""
        except OSError:
            refusal, data = "cannot-read", b""
        # bytes that are not UTF-8 become lone surrogates, so that their place can be told
        text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")
        if refusal or not text.strip():
            self._refuse(path, refusal or "empty-file")
            return
        source = SourceText(path, text)
        if found := SURROGATE.search(text):
            source.problem("not-utf-8", found.start(), "the file is not UTF-8 text from here on", "save it as UTF-8")
        elif found := CONTROL.search(text):
            message = f"the invisible character U+{ord(found.group()):04X} is not allowed"
            source.problem("control-character", found.start(), message, "remove it, or write an escape")
        else:
            yield source
        self.findings.extend(finding for finding in source.findings if finding not in self.findings)

    def _refuse(self, path: str, rule: str) -> None:
        self.findings.append(error(rule, *_REFUSED[rule], Location(path)))
