"""Builds the typed spec of the documents; presets become their values. Finds comments that ignore rules, too."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import FileFindings, Finding, Location, error
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.model import fields
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.specfile.entries import (
    NO_DEFAULTS,
    Entry,
    InlineIgnore,
    Limit,
    Setting,
    Spec,
    Variable,
    defined_twice,
)
from ztrust_mail.specfile.readers.document import Document, Pointer
from ztrust_mail.specfile.schema_messages import quote_place

MAX_GLOBS = 500  # in all files of a spec
NO_VERSION = "no-version"


def build(checked: Iterable[tuple[Document, JsonValue]], reserved: Mapping[str, str]) -> tuple[Spec, FileFindings]:
    """Return the spec in the documents, and its problems.

    ``reserved`` maps a dialect's attribute names to their fields; these names are refused under ``extra``.
    """
    findings = FileFindings()
    written: list[Entry] = []
    guards: dict[str, Location] = {}
    servers: tuple[str, ...] = ()
    paths: list[str] = []
    versioned = False
    first: Document | None = None
    for document, value in checked:
        assert isinstance(value, dict)  # the schema says so
        first = first or document
        paths.append(document.path)
        versioned = versioned or (isinstance(document.value, dict) and "version" in document.value)
        reader = _EntryReader(
            document, reserved, findings, parse_limit(value.get("servers")), value.get("overlay") is True
        )
        if reader.limit:
            findings.extend(_check_servers("servers", reader.limit.names, document.locate(("servers",))))
        if server := value.get("server"):
            findings.extend(_check_once("server", document.locate_key(("server",)), guards))
            servers = tuple(str(s) for s in (server if isinstance(server, list) else [server]))
            findings.extend(_check_servers("server", servers, document.locate(("server",))))
        written += reader.entries(value)
    if first and not versioned:
        findings.add(error(NO_VERSION, "the spec has no version", "add version: 1", first.locate(())))
    everywhere = {e.name: e for e in reversed(written) if not (e.limit or e.is_overlay)}
    defaults_of_all = everywhere.pop("", NO_DEFAULTS)
    entries = tuple(e for e in written if everywhere.get(e.name) is e)
    spec = Spec(entries, defaults_of_all, servers, tuple(paths), written=tuple(written))
    findings.extend(_check_globs(spec.globs))
    return spec, findings


def _check_once(key: str, where: Location, once: dict[str, Location]) -> Iterator[Finding]:
    if key in once:
        yield defined_twice(f"`{key}`", where, once[key])
    once.setdefault(key, where)


def _check_servers(key: str, servers: Iterable[str], where: Location) -> Iterator[Finding]:
    if any("://" in server for server in servers):
        yield error("bad-value", f"{quoted(key)} holds a URL", "write a name from the settings file", where)


def _check_name(entry: Entry) -> Iterator[Finding]:
    if entry.name in (".", ".."):
        hint = "in a URL it would mean another path"
        yield error("bad-name", f"`{entry.name}` cannot be a realm's name", hint, entry.location)


def _check_globs(globs: Sequence[Entry]) -> Iterator[Finding]:
    """Refuse too many globs: each is compared with each realm of the server, which could take minutes."""
    if len(globs) > MAX_GLOBS:
        message = f"the spec has {len(globs):,} globs, over the limit of {MAX_GLOBS}, which this one exceeds"
        hint = "use fewer globs, or give the realms entries of their own"
        yield error("too-many-globs", message, hint, globs[MAX_GLOBS].location)


def parse_limit(written: JsonValue) -> Limit | None:
    """Return the limit in the value of the key ``servers``, None without one."""
    if isinstance(written, dict):
        return Limit(labels={key: _texts(value) for key, value in written.items()})
    return Limit(_texts(written)) if written else None


def _texts(written: JsonValue) -> tuple[str, ...]:
    parts: Sequence[JsonValue] = written if isinstance(written, list) else [written]
    return tuple(str(part) for part in parts)


@dataclass
class _EntryReader:
    document: Document
    reserved: Mapping[str, str]
    findings: FileFindings
    limit: Limit | None
    is_overlay: bool

    def entries(self, value: Mapping[str, JsonValue]) -> Iterator[Entry]:
        """Yield the defaults and the entries of a file."""
        if isinstance(defaults := value.get("defaults"), dict):
            yield self.entry("", defaults, ("defaults",))
        realms = value.get("realms")
        for name, settings in realms.items() if isinstance(realms, dict) else ():
            entry = self.entry(name, settings, ("realms", name))
            self.findings.extend(_check_name(entry))
            yield entry

    def entry(self, name: str, written: JsonValue, pointer: Pointer) -> Entry:
        assert isinstance(written, dict)  # the schema says so
        expect = written.get("expect")
        minimum = expect.get("min") if isinstance(expect, dict) else None
        entry = Entry(
            name,
            self.document.locate_key(pointer),
            self._add_preset(dict(self._settings(written, pointer)), written.get("relay"), pointer),
            dict(self._variables(written.get("vars"), (*pointer, "vars"))),
            disabled=written.get("disabled") is True,
            expect_min=int(minimum) if isinstance(minimum, int | float) else 0,
            limit=parse_limit(written.get("servers")) or self.limit,
            is_overlay=overlay if isinstance(overlay := written.get("overlay"), bool) else self.is_overlay,
            switches=frozenset(key for key in ("disabled", "expect") if key in written),
        )
        if limit := parse_limit(written.get("servers")):
            at = (*pointer, "servers")
            self.findings.extend(_check_servers(quote_place(at).strip("`"), limit.names, self.document.locate(at)))
        if expect is not None and not entry.is_glob:
            at = (*pointer, "expect")
            message = f"{quote_place(at)} counts what a glob matches; this name has no * or ?"
            self.findings.add(error("expect-without-glob", message, "remove it", self.document.locate_key(at)))
        return entry

    def _variables(self, written: JsonValue, pointer: Pointer) -> Iterator[tuple[str, Variable]]:
        for key, text in written.items() if isinstance(written, dict) else ():
            yield key, Variable(str(text), self.document.locate((*pointer, key)))

    def _settings(self, written: JsonValue, pointer: Pointer) -> Iterator[tuple[str, Setting]]:
        for name, value, at in _walk_leaves(written, pointer, ""):
            where = self.document.locate(at)
            if name.startswith(f"{fields.EXTRA}.") and (known := self.reserved.get(str(at[-1]))):
                message = f"{quote_place(at)} is not an extra attribute: it has a field of its own"
                self.findings.add(error("reserved-extra", message, f"set `{known}`", self.document.locate_key(at)))
            elif value is False and fields.field_of(name).kind is not fields.Kind.BOOLEAN:
                yield name, Setting(fields.ABSENT, where)
            elif name == fields.EXPIRES:
                yield from self._expiry(str(value), at)
            else:
                yield from self._setting(name, value, at)

    def _add_preset(self, own: dict[str, Setting], relay: JsonValue, pointer: Pointer) -> dict[str, Setting]:
        """Return the settings of a level on top of those of its preset, if it has one."""
        if not isinstance(relay, dict) or (name := relay.get("preset")) is None:
            return own
        from ztrust_mail.providers.presets import explain_unknown, find_preset  # not needed for most specs

        at = (*pointer, "relay", "preset")
        where = self.document.locate(at)
        if not (preset := find_preset(str(name))):
            problem, hint = explain_unknown(str(name))
            self.findings.add(error("unknown-preset", f"{quote_place(at)} {problem}", hint, where))
            return own
        security, port = preset.security, own[fields.PORT].value if fields.PORT in own else None
        if fields.SECURITY in own:
            security = fields.Security(str(own[fields.SECURITY].value))
        elif isinstance(port, int):
            security = preset.security_of(port)
        values: dict[str, fields.FieldValue] = {fields.HOST: preset.host, fields.SECURITY: security}
        if usual := preset.port_for(security):
            values[fields.PORT] = usual
        if preset.login.username:  # dropped again if no level provides the secret
            values[fields.USERNAME] = preset.login.username
        return {name: Setting(value, where, preset.name) for name, value in values.items()} | own

    def _setting(self, name: str, value: JsonValue, at: Pointer) -> Iterator[tuple[str, Setting]]:
        row, where = fields.field_of(name), self.document.locate(at)
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        try:
            if row.kind is fields.Kind.SECRET:
                reference = self._reference(value)
                expands = _has_braces(*reference.argument)
                yield name, Setting(reference if expands else parse(row.kind, reference), where)
            elif row.placeholders and isinstance(value, str) and _has_braces(value):
                yield name, Setting(value, where)
            else:  # checked again per realm, where utf8 is known
                yield name, Setting(parse(row.kind, value, utf8=True), where)
        except BadValue as bad:
            self.findings.add(error(bad.rule, f"{quote_place(at)} {bad.problem}", bad.hint, where))

    def _expiry(self, text: str, at: Pointer) -> Iterator[tuple[str, Setting]]:
        where = self.document.locate(at)
        try:
            yield fields.EXPIRES, Setting(date.fromisoformat(text).isoformat(), where)
        except ValueError:
            self.findings.add(error("bad-value", f"{quote_place(at)} is no date", "write YEAR-MONTH-DAY", where))

    def _reference(self, value: JsonValue) -> SecretRef:
        assert isinstance(value, dict)  # the schema says so
        ((kind, argument),) = value.items()
        parts = argument if isinstance(argument, list) else [argument]
        base = self.document.folder if kind == SecretKind.FILE else ""
        return SecretRef(SecretKind(kind), tuple(str(part) for part in parts), base)


def _has_braces(*texts: str) -> bool:
    return any("{" in text or "}" in text for text in texts)


_NO_FIELDS = ("vars", "disabled", "expect", "servers", "overlay")


def _walk_leaves(node: JsonValue, pointer: Pointer, prefix: str) -> Iterator[tuple[str, JsonValue, Pointer]]:
    """Yield every field that an entry sets and every group that it removes, with its place."""
    assert isinstance(node, dict)  # the schema says so
    for key, value in node.items():
        name, at = f"{prefix}{key}", (*pointer, key)
        if (not prefix and key in _NO_FIELDS) or name == fields.PRESET:
            continue
        if prefix == f"{fields.EXTRA}.":
            yield fields.extra_field(key), value, at
        elif name in fields.FIELDS or fields.message_of(name) or value is False or name == fields.EXPIRES:
            yield name, value, at
        else:
            yield from _walk_leaves(value, at, f"{name}.")


_MARK = "ztrust-mail: ignore["
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#[ \t]*ztrust-mail: ignore\[([a-z0-9, \t-]*)\](?=([^\n]*)$)", re.MULTILINE)
MAX_IGNORES = 1_000
"""How many ignored rules of one file are read."""


def find_ignores(documents: Iterable[Document]) -> Iterator[InlineIgnore]:
    """Yield the rules that comments in YAML files ignore. JSON has no comments."""
    for document in documents:
        if document.source and _MARK in document.source.text and not document.path.lower().endswith(".json"):
            yield from _ignores_in(document)


def _ignores_in(document: Document) -> Iterator[InlineIgnore]:
    assert document.source  # find_ignores says so
    count, text = 0, document.source.text
    quoted_texts: Sequence[tuple[int, int]] | None = None  # for the rare line in which a quote may end a text
    for found in _COMMENT.finditer(text):
        if "'" in found[2] or '"' in found[2]:
            quoted_texts = _find_quoted(text) if quoted_texts is None else quoted_texts
            if any(start < found.start() < end for start, end in quoted_texts):
                continue
        where = document.source.location(found.start())
        for rule in filter(None, map(str.strip, found[1].split(","))):
            count += 1
            if count <= MAX_IGNORES:
                yield InlineIgnore(rule, where)


def _find_quoted(text: str) -> Sequence[tuple[int, int]]:
    """Return where quoted texts of a YAML file begin and end."""
    import yaml

    tokens = yaml.scan(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    scalars = (one for one in tokens if isinstance(one, yaml.ScalarToken) and one.style in ("'", '"'))
    return [(one.start_mark.index, one.end_mark.index) for one in scalars]
