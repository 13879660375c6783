"""The base of all formats: reads settings from files, and writes them as text."""

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ztrust_mail.convert.foreign_placeholders import has_placeholder
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.files import FILE_PROBLEMS, STDIN, file_bytes, files_in
from ztrust_mail.core.findings import Finding, Location, error, warning
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import escaped, quoted
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model.fields import ABSENT, LOGIN, FieldMap, FieldValue, Raw, field_of, is_within
from ztrust_mail.specfile.export import variables_for
from ztrust_mail.specfile.load import parse
from ztrust_mail.specfile.readers.document import Broken, Document, SourceText, decode

Node = Mapping[str, JsonValue]
"""A mapping in a file."""

UNNAMED = SecretRef(SecretKind.ENV, ("",))
"""Stands for a secret that has no variable yet."""

CANNOT_HOLD = "cannot-hold"


class StandIn(str):
    """A name that stands for a realm's unknown name; a realm may really have the same one."""


@dataclass(frozen=True)
class UnnamedRealm:
    """The settings of a realm whose name is a placeholder of another tool, and the place of that name.

    ``stand_in`` is the name of the realm in findings.
    """

    stand_in: str
    name: str
    fields: FieldMap
    location: Location


@dataclass(frozen=True)
class ReadResult:
    """The settings found in files, by realm. An empty map is a realm without e-mail; secrets are references.

    For a spec, ``digests`` has the digest of each file, and ``servers`` the server that it is fitted to, or else the
    names of its server guard. Files of other tools have no digests, because they may contain a password in clear, which
    a digest would help to guess.
    """

    realms: Mapping[str, FieldMap]
    findings: tuple[Finding, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    servers: tuple[str, ...] = ()
    unnamed: tuple[UnnamedRealm, ...] = ()


@dataclass(frozen=True)
class WriteResult:
    """Settings as text in a format, and findings about settings that the format cannot hold.

    ``status`` says whether all settings that were found are in the text, and whether it must be completed.
    """

    text: str = field(repr=False)
    findings: tuple[Finding, ...] = ()
    status: ExitStatus = ExitStatus.OK


class Format(ABC):
    """A way to store settings in files."""

    name: str
    title: str

    @abstractmethod
    def read(self, path: str) -> ReadResult:
        """Return the settings in a file, a folder, or ``-`` for standard input.

        What cannot be read is an error among the findings; raises :class:`ZtrustMailError` if nothing can be read.
        """

    @abstractmethod
    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return the settings as text, and a finding for each part that the format cannot express."""


def mapping_of(value: JsonValue) -> Node:
    """Return a value if it is a mapping, else an empty mapping."""
    return value if isinstance(value, dict) else {}


def drop_reported(new: Iterable[Finding], found: Iterable[Finding]) -> list[Finding]:
    """Return the new findings without those on a field that has a finding of the same rule already."""
    reported = {(f.rule, f.realm, f.field) for f in found if f.field}
    return [f for f in new if (f.rule, f.realm, f.field) not in reported]


def as_json(data: object) -> str:
    """Return JSON as the server writes it, with escapes for invisible characters."""
    return escaped(json.dumps(data, indent=2, ensure_ascii=False), pairs=True) + "\n"


def name_secrets(realms: Mapping[str, FieldMap]) -> dict[str, FieldMap]:
    """Return the realms with a variable name for every secret that has none yet."""
    secrets = [(r, n, v) for r, fields in realms.items() for n, v in fields.items() if isinstance(v, SecretRef)]
    taken = {v.argument[0] for _, _, v in secrets if v.kind is SecretKind.ENV}
    names = variables_for([(realm, name) for realm, name, value in secrets if value == UNNAMED], taken)

    def with_variable(realm: str, name: str, value: FieldValue) -> FieldValue:
        return SecretRef(SecretKind.ENV, (names[realm, name],)) if (realm, name) in names else value

    return {realm: {n: with_variable(realm, n, v) for n, v in fields.items()} for realm, fields in realms.items()}


def _in_variable_or_vault(name: str, reference: SecretRef) -> bool:
    return reference.kind in (SecretKind.ENV, SecretKind.KEYCLOAK_VAULT)


def with_variables(
    realms: Mapping[str, FieldMap], title: str, keeps: Callable[[str, SecretRef], bool] = _in_variable_or_vault
) -> tuple[dict[str, FieldMap], list[Finding]]:
    """Return the realms with a variable for each secret that the format cannot hold, and warnings about these.

    ``keeps`` tells which references the format can hold.
    """
    found = []
    result: dict[str, FieldMap] = {}
    for realm, fields in realms.items():
        result[realm] = dict(fields)
        for name, value in fields.items():
            if isinstance(value, SecretRef) and not keeps(name, value):
                result[realm] = {**result[realm], name: UNNAMED}
                message = f"{title} cannot take `{name}` from a {value.kind.value} reference"
                found.append(
                    warning(
                        CANNOT_HOLD, message, "put the value into the variable named there", realm=realm, field=name
                    )
                )
    return name_secrets(result), found


def storable(
    realm: str, fields: FieldMap, title: str, known: Iterable[str], raw: Iterable[str] = ()
) -> tuple[dict[str, FieldValue], list[Finding]]:
    """Return the fields that a format can hold, and a warning for each other field that has an effect.

    A login is left out as a whole if the format cannot hold a part of it. ``raw`` names fields that may hold any text.
    """
    known, raw = set(known), set(raw)
    meant = {n: v for n, v in fields.items() if n in known or KEYCLOAK.effective_value(n, None) != v}
    lost = {n for n, v in meant.items() if n not in known or v is ABSENT or (isinstance(v, Raw) and n not in raw)}
    if any(is_within(name, LOGIN) for name in lost):
        lost |= {name for name in meant if is_within(name, LOGIN)}
    return {n: v for n, v in meant.items() if n not in lost}, [
        _cannot_hold(realm, n, meant[n], title) for n in sorted(lost)
    ]


def _cannot_hold(realm: str, name: str, value: FieldValue, title: str) -> Finding:
    if value is ABSENT:
        message = f"{title} cannot say that `{name}` must be absent"
    elif field_of(name).secret or not isinstance(value, Raw):
        message = f"{title} cannot hold {quoted(name)}"
    else:
        message = f"{title} cannot hold {quoted(value)} as `{name}`"
    return warning(CANNOT_HOLD, message, "left out; set it by other means", realm=realm, field=name)


# Never text: YAML allows these marks at the start of a line only between documents.
_BETWEEN = re.compile(r"^(?:---|\.\.\.)(?=\s|$)", re.MULTILINE)


def _parts(source: SourceText) -> Iterator[SourceText]:
    """Yield the YAML documents of a file, without those that are empty."""
    starts = [0, *(found.start() for found in _BETWEEN.finditer(source.text)), len(source.text)]
    parts = [(begin, source.text[begin:end]) for begin, end in pairwise(starts)]
    said = [(begin, text) for begin, text in parts if not _says_nothing(text)]
    if len(said) < 2 or source.path.lower().endswith(".json"):
        yield source
        return
    line = last = 0
    for begin, text in said:
        line += source.text.count("\n", last, begin)
        last = begin
        yield SourceText(source.path, re.sub(r"^\.\.\.", "   ", text), lines_before=line)


def _says_nothing(text: str) -> bool:
    """Tell whether a text contains only comments, directives and document separators."""
    lines = (line.strip() for line in text.split("\n"))
    return all(not line or line[0] in "#%" or line in ("---", "...") for line in lines)


MAX_FILES = 10_000
_REFUSED = {
    **FILE_PROBLEMS,
    "empty-file": ("the file is empty", "give a file with settings"),
    "empty-folder": ("there is no file of this kind in this folder", "check --from and the path"),
    "too-large": (FILE_PROBLEMS["too-large"][0], "cut out what does not concern e-mail"),
    "too-many": (f"there are more than {MAX_FILES:,} files", "name a folder further down"),
    "unknown-file-type": ("the file's name does not fit the format", "check --from, or rename the file"),
}


@dataclass
class Files:
    """Reads files whose names end in one of ``suffixes``; ``findings`` has the parts that could not be read."""

    suffixes: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)
    _realms: dict[str, FieldMap] = field(default_factory=dict)
    _unnamed: list[UnnamedRealm] = field(default_factory=list)
    _places: dict[str, Location] = field(default_factory=dict)

    def name(self, realm: str, where: Location, *, is_literal: bool = False) -> str:
        """Return the name under which a realm is read, or nothing after adding an error if it was read before.

        A placeholder of another tool is no name: a stand-in is returned for it.
        """
        if is_literal or not has_placeholder(realm):
            return realm if self.is_new(realm, where) else ""
        stand_in = StandIn(f"REALM_{len(self._unnamed) + 1}")
        self._unnamed.append(UnnamedRealm(str(stand_in), realm, {}, where))
        return stand_in

    def add(self, realm: str, fields: FieldMap | None) -> None:
        """Add the settings of a realm under the name that it is read under, unless there are none."""
        if isinstance(realm, StandIn):
            self._unnamed[-1] = replace(self._unnamed[-1], fields=fields or {})
        elif fields is not None:
            self._realms[realm] = fields

    def result(self, notes: Iterable[Finding] = ()) -> ReadResult:
        """Return the result, with a variable for each secret, and notes after the other findings."""
        fields = name_secrets({one.stand_in: one.fields for one in self._unnamed})
        unnamed = tuple(replace(one, fields=fields[one.stand_in]) for one in self._unnamed)
        return ReadResult(name_secrets(self._realms), (*self.findings, *notes), unnamed=unnamed)

    def is_new(self, realm: str, where: Location) -> bool:
        """Return whether the files had no e-mail settings of this realm so far; add an error if they had."""
        place = self._places.setdefault(realm, where)
        if place is not where:
            message = f"{quoted(realm)} has e-mail settings at {place} and again here"
            self.findings.append(error("defined-twice", message, "keep one of the two, or rename it", where, realm))
        return place is where

    def texts(self, path: str) -> Iterator[SourceText]:
        """Yield the text of a file, of all files in a folder (sorted, with subfolders), or of ``-``."""
        if "\0" in path:
            self._refuse(path, "cannot-read")
        elif path != STDIN and os.path.isdir(path):
            files, refused = files_in(path, self.suffixes, MAX_FILES)
            for one, rule in refused or ([] if files else [(path, "empty-folder")]):
                self._refuse(one, rule)
            for one in files:
                yield from self._text(one)
        else:
            yield from self._text(path)

    def documents(self, path: str, prepare: Callable[[str], str] = str, *, several: bool = False) -> Iterator[Document]:
        """Yield the JSON and YAML documents; a file with a problem gives findings instead.

        ``prepare`` may blank out parts of the text before it is read. With ``several``, a YAML file may hold several
        documents, and a problem in one of them leaves the others as they are.
        """
        for whole in self.texts(path):
            whole.text = prepare(whole.text)
            for source in _parts(whole) if several else [whole]:
                with suppress(Broken):
                    value, root = parse(source)
                    if not source.findings:
                        folder = os.path.dirname(os.path.realpath(source.path))
                        yield Document(source.path, folder, value, root, source)
                self.findings.extend(source.findings)

    def _text(self, path: str) -> Iterator[SourceText]:
        rule, data = file_bytes(path, self.suffixes)
        source = SourceText(path, decode(data))
        if rule or not source.text.strip():
            self._refuse(path, rule or "empty-file")
            return
        with suppress(Broken):
            source.check_characters()
            yield source
        self.findings.extend(finding for finding in source.findings if finding not in self.findings)

    def _refuse(self, path: str, rule: str) -> None:
        self.findings.append(error(rule, *_REFUSED[rule], Location(path)))
