"""Messages for violations of the schema.

The messages of jsonschema quote the invalid value, which may be a secret, so they are never shown.
"""

import json
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from ztrust_mail.core.data import JsonValue, Schema
from ztrust_mail.core.findings import Finding, error
from ztrust_mail.core.secret import SecretKind
from ztrust_mail.core.text import did_you_mean, pluralise, quoted
from ztrust_mail.model.fields import FIELDS, LOGIN, PASSWORD, SECURITY, TOKEN
from ztrust_mail.model.values import WRITE_DURATION
from ztrust_mail.specfile.placeholders import UNQUOTED_PLACEHOLDER, builtin
from ztrust_mail.specfile.readers.document import Document, Pointer, SourceFloat, SourceInt


@dataclass(frozen=True)
class SchemaProblem:
    """The parts of a jsonschema error that are used: the keyword, its value in the schema, the invalid value."""

    keyword: str
    wanted: JsonValue
    instance: JsonValue
    schema: Schema
    pointer: Pointer
    is_name: bool
    removable: bool

    @property
    def names(self) -> list[str]:
        """The keyword's list of names: required keys, or the values of an enum."""
        return [str(name) for name in self.wanted] if isinstance(self.wanted, list) else []

    @property
    def known(self) -> dict[str, JsonValue]:
        """The keys that the schema defines at this place."""
        properties = self.schema.get("properties")
        return properties if isinstance(properties, dict) else {}

    @property
    def example(self) -> str:
        """A valid value as JSON, or an empty text."""
        examples = self.schema.get("examples")
        return json.dumps(examples[0], ensure_ascii=False) if isinstance(examples, list) else ""

    @property
    def unknown(self) -> list[str]:
        """The keys that the schema does not define at this place."""
        own = "x-" if "patternProperties" in self.schema else "\0"
        keys = self.instance if isinstance(self.instance, dict) else {}
        return [key for key in keys if key not in self.known and not key.startswith(own)]

    @property
    def broken(self) -> list[Pointer]:
        """The invalid places: this one, or keys below it."""
        if self.is_name:
            return [(*self.pointer, str(self.instance))]
        if self.keyword == "additionalProperties":
            return [_widen((*self.pointer, key)) for key in self.unknown]
        return [_widen(self.pointer)]

    @property
    def has(self) -> Container[object]:
        """The keys or characters at this place."""
        return self.instance if isinstance(self.instance, dict | str | list) else ()


_TYPE_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    words = {dict: "a mapping", list: "a list", str: "the text", int: "the number", float: "the number"}
    return next(word for kind, word in words.items() if isinstance(value, kind))


@dataclass(frozen=True)
class ProblemReporter:
    """Converts the problems of one document to findings."""

    document: Document
    attribute_names: Mapping[str, str]

    def translate(self, e: SchemaProblem) -> Iterator[Finding]:
        """Yield the findings for one jsonschema error."""
        if e.is_name:
            yield self._bad_name(e)
        elif e.keyword == "additionalProperties":
            yield from (self._unknown_key(key, e.known, e.pointer) for key in e.unknown)
        else:
            say = _say_null if e.instance is None else _SAY.get(e.keyword, _say_other)
            rule, message, hint = say(e, "" if _is_secret(e.pointer) else _quote_value(e.instance))
            where = self.document.locate(e.pointer)
            yield error(rule, f"{quote_place(e.pointer)} {message}", hint, where)

    def _unknown_key(self, key: str, known: Mapping[str, object], pointer: Pointer) -> Finding:
        where = self.document.locate_key((*pointer, key))
        name = _name_without_value(key, is_login=_is_secret(pointer))
        suggestion = did_you_mean(name, known)
        if name != key and name in known:
            suggestion = f"write `{name}: …`, with a blank after the colon"
        if not suggestion and _is_reference(pointer):
            return error("bad-reference", f"{quote_place(pointer)} is not a secret reference", _SECRET_HINT, where)
        if not suggestion and (field := self.attribute_names.get(name)):
            suggestion = f"the server's {quoted(name)} is {quoted(field)} in a spec"
            if field == SECURITY:
                suggestion += f": write `security: {'tls' if name == 'ssl' else 'starttls'}`"
        if not suggestion and (field := _find_field(name)):
            suggestion = f"did you mean {quoted(field)}?"
        # an unrelated key inside a login may be a misplaced secret
        shown = f" {quoted(key if name == key else f'{name}…')}" if suggestion or not _is_secret(pointer) else ""
        hint = suggestion or f"known here: {', '.join(known)}"
        return error("unknown-key", f"unknown key{shown}{_name_parent(pointer)}", hint, where)

    def _bad_name(self, e: SchemaProblem) -> Finding:
        where = self.document.locate_key((*e.pointer, str(e.instance)))
        wanted = {
            "realms": "a realm's name or glob has 1 to 255 characters, no / and no control characters",
            "servers": "a label's name has 1 to 64 characters and no control characters",
            "vars": "a variable's name has lower-case letters, digits and _, and is not realm",
            "messages": "a locale is written such as en, de or pt-BR",
            "text": "a message's key has 1 to 255 letters, digits, dots, - and _, and does not end with a dot",
        }
        group = "text" if e.pointer[-2:-1] == ("messages",) else str(e.pointer[-1])
        hint = wanted.get(group, "a name has 1 to 255 characters and no control characters")
        return error("bad-name", f"{quoted(e.instance)} cannot be a name{_name_parent(e.pointer)}", hint, where)


def _name_without_value(key: str, *, is_login: bool) -> str:
    """Return the part of a key before a colon or ``=``: in ``{password:hunter2}`` the value is part of the key.

    In a login, and after a word such as ``password``, the name also ends at a blank.
    """
    ends = r"[:=\s]" if is_login or _SECRETIVE.match(key) else "[:=]"
    return re.split(ends, key, maxsplit=1)[0]


_SECRETIVE = re.compile(r"(?i)\S*(pass|secret|token|credential|pwd|api.?key|auth)")


_SECRET_HINT = f"write a reference: {', '.join(f'{{{kind}: {kind.form.hint}}}' for kind in SecretKind)}"

Wording = tuple[str, str, str]


def _say_null(e: SchemaProblem, _: str) -> Wording:
    instead = "write false to remove an inherited value, or " if e.removable else ""
    if e.pointer[:1] == ("realms",) and len(e.pointer) == 2:
        instead = "write {} for an empty entry, or "
    hint = f"{instead}leave the key out"
    return "null", "is empty (null)", hint if e.pointer != ("version",) else "write version: 1"


def _say_type(e: SchemaProblem, shown: str) -> Wording:
    wanted = _TYPE_WORDS[str(e.wanted)]
    if _is_reference(e.pointer) and isinstance(e.instance, str | int | float) and not isinstance(e.instance, bool):
        return "plain-secret", "is written in clear; a spec may contain only references to secrets", _SECRET_HINT
    if name := _unquoted_placeholder(e):
        return UNQUOTED_PLACEHOLDER, "is a mapping, because `{` starts one", f'quote the value: write "{{{name}}}"'
    return "wrong-type", f"must be {wanted}, not {_type_of(e.instance)} {shown}".rstrip(), _type_hint(e, wanted)


def _unquoted_placeholder(e: SchemaProblem) -> str:
    """Return the placeholder that was written without quotes in place of a text, or an empty text."""
    if e.wanted != "string" or not isinstance(e.instance, dict) or list(e.instance.values()) != [None]:
        return ""
    (name,) = e.instance
    is_shown = name in builtin("") or not _is_secret(e.pointer)
    return name if is_shown and re.fullmatch(r"[a-z][a-z0-9_.]*", name) else ""


def _type_hint(e: SchemaProblem, wanted: str) -> str:
    text = str(e.instance) if isinstance(e.instance, str) else ""
    if e.instance is False and field_path(e.pointer) in (PASSWORD, TOKEN):
        return "write auth: false to remove an inherited login"
    if _is_reference(e.pointer):
        return _SECRET_HINT
    if wanted == "a whole number" and text.isdecimal():
        return "write the number without quotes"
    if wanted == "true or false":
        known = text.lower() in ("yes", "no", "on", "off")
        return "YAML 1.2 knows only true and false" if known else "write true or false, without quotes"
    if wanted == "text" and isinstance(e.instance, bool):
        removal = "; false removes an inherited value only where the key allows it"
        return f"put the text in quotes{removal if e.instance is False else ''}"
    if e.known:
        return f"known here: {', '.join(e.known)}"
    return f"write a value such as {e.example}" if e.example else ""


def _say_required(e: SchemaProblem, _: str) -> Wording:
    return "missing-key", f"lacks {', '.join(quoted(key) for key in e.names if key not in e.has)}", "add it"


def _say_enum(e: SchemaProblem, shown: str) -> Wording:
    hint = did_you_mean(str(e.instance), e.names) if shown else ""
    return "bad-value", f"must be one of {', '.join(e.names)}{', not ' if shown else ''}{shown}", hint


def _say_version(e: SchemaProblem, shown: str) -> Wording:
    if str(e.instance) == str(e.wanted):
        return "unknown-version", f"is the text {shown}, not a number", "write the number without quotes"
    is_shown = f"is {shown}, which" if shown else "has a value that"
    return "unknown-version", f"{is_shown} this release does not know", "write version: 1, or upgrade ztrust-mail"


def _say_range(e: SchemaProblem, shown: str) -> Wording:
    low, high = e.schema.get("minimum"), e.schema.get("maximum")
    bounds = f"from {low} to {high}" if high is not None else f"from {low}"
    return "out-of-range", f"is {shown}", f"write a whole number {bounds}"


def _say_length(e: SchemaProblem, _: str) -> Wording:
    length = len(e.instance) if isinstance(e.instance, str | list) else 0
    if not length:
        removal = ", or write false to remove an inherited value" if e.removable else ""
        return "empty", "is empty", f"leave the key out{removal}"
    unit, hint = "character", "shorten it"
    if isinstance(e.instance, list):
        unit, hint = "part", f"write a value such as {e.example}"
    bound = "least" if e.keyword == "minItems" else "most"
    return "bad-length", f"has {pluralise(length, unit)}; {e.wanted} is the {bound}", hint


def _say_pattern(e: SchemaProblem, shown: str) -> Wording:
    pattern = str(e.wanted)
    if "ms|s|m" in pattern:
        return "no-unit", f"is {shown}, not a time with a unit", WRITE_DURATION
    if "A-Z" in pattern:
        return "bad-value", "is not a vault key", "use letters, digits, dot, dash and underscore"
    character = next(c for c in str(e.instance) if not re.fullmatch(pattern, c))
    hint = "remove it: line breaks and control characters can forge mail headers"
    return "control-character", f"contains the control character U+{ord(character):04X}", hint


def _say_properties(e: SchemaProblem, _: str) -> Wording:
    if _is_reference(e.pointer):
        return "bad-reference", "must hold exactly one kind of reference", _SECRET_HINT
    if e.keyword == "minProperties":
        return "empty", "is empty", f"leave the key out, or write a value such as {e.example}"
    return "disabled-with-keys", "is disabled and has other keys", "keep disabled alone, or remove it"


def _say_both_logins(e: SchemaProblem, _: str) -> Wording:
    return "two-logins", "has both a password and a token", "keep the one that the relay requires"


def _say_other(e: SchemaProblem, _: str) -> Wording:
    return "bad-value", f"does not fit the schema ({e.keyword})", "see ztrust-mail schema spec"


_SAY: Mapping[str, Callable[[SchemaProblem, str], Wording]] = {
    "type": _say_type,
    "required": _say_required,
    "enum": _say_enum,
    "const": _say_version,
    "not": _say_both_logins,
    "minimum": _say_range,
    "maximum": _say_range,
    "minLength": _say_length,
    "maxLength": _say_length,
    "minItems": _say_length,
    "maxItems": _say_length,
    "pattern": _say_pattern,
    "minProperties": _say_properties,
    "maxProperties": _say_properties,
}


def _quote_value(value: object) -> str:
    if value is None or isinstance(value, bool | list | dict):
        return ""
    return quoted(value.text if isinstance(value, SourceInt | SourceFloat) else value)


def field_path(pointer: Pointer) -> str:
    """Return the dotted path of a place inside its entry or the defaults."""
    start = 1 if pointer[:1] == ("defaults",) else 2
    return ".".join(str(part) for part in pointer[start:])


def _is_reference(pointer: Pointer) -> bool:
    """Tell whether this is the place of a secret reference."""
    row = FIELDS.get(field_path(pointer))
    return row is not None and row.secret


def _is_secret(pointer: Pointer) -> bool:
    """Tell whether the value at this place may be a secret: everything in a login may."""
    path = field_path(pointer)
    return path == LOGIN or path.startswith(f"{LOGIN}.")


def _widen(pointer: Pointer) -> Pointer:
    """Return the place that is invalid as a whole: a list or a secret reference is useless without one of its parts."""
    for n, part in enumerate(pointer):
        if isinstance(part, int) or _is_reference(pointer[:n]):
            return pointer[:n]
    return pointer


def _find_field(key: str) -> str:
    """Return the first field or group whose last key is this one, or an empty text."""
    paths = (row.path[: n + 1] for row in FIELDS.values() for n in range(len(row.path)))
    return next((".".join(path) for path in paths if path[-1] == key), "")


def quote_place(pointer: Pointer) -> str:
    """Return a place in a document for a message: ``realms.acme.relay.port`` in backquotes."""
    return quoted(".".join(str(part) for part in pointer), limit=_LONGEST_NAME) if pointer else "the spec"


def _name_parent(pointer: Pointer) -> str:
    return f" in {quote_place(pointer)}" if pointer else " at the top of the spec"


_LONGEST_NAME = 400  # a realm's name has up to 255 characters, and the rest of the path must show
