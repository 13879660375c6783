"""Checks a document against ``schemas/spec.schema.json`` and says in our own words what is wrong.

jsonschema's messages quote the offending value, which may be a secret; none of them is passed on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, cast

from ztrust_mail.findings import Finding, Location, error
from ztrust_mail.spec.fields import FIELDS, LOGIN
from ztrust_mail.spec.source import Document, JsonValue, Pointer, SourceFloat, SourceInt
from ztrust_mail.text import did_you_mean, quoted

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Schema = dict[str, JsonValue]


@cache
def schema_text(name: str) -> str:
    """Return one of the package's JSON Schemas as text: ``spec``, ``settings`` or ``report``."""
    return (resources.files("ztrust_mail") / "schemas" / f"{name}.schema.json").read_text("utf-8")


@cache
def load_schema(name: str) -> Schema:
    """Return one of the package's JSON Schemas as data."""
    schema: Schema = json.loads(schema_text(name))
    return schema


def check(document: Document, native_names: Mapping[str, str]) -> tuple[JsonValue, list[Finding]]:
    """Return the document's value as far as it is right, and all problems.

    Numbers in text fields become their source text; what does not fit is left out, so that the rest can
    be judged too. ``native_names`` maps the products' own attribute names to fields, for hints only.
    """
    from jsonschema import Draft202012Validator

    schema = load_schema("spec")
    value = _numbers_as_text(document.value, schema, schema)
    problems = [_problem(_decisive(e)) for e in Draft202012Validator(schema).iter_errors(value)]
    report = _Report(document, native_names)
    findings = [finding for problem in problems for finding in report.translate(problem)]
    broken = {pointer for problem in problems for pointer in problem.broken}
    return _pruned(value, broken) if broken else value, sorted(findings, key=lambda f: f.location or Location(""))


def _pruned(value: JsonValue, broken: set[Pointer], at: Pointer = ()) -> JsonValue:
    if not isinstance(value, dict):
        return value
    return {k: _pruned(v, broken, (*at, k)) for k, v in value.items() if (*at, k) not in broken}


def _numbers_as_text(value: JsonValue, node: JsonValue, schema: Schema) -> JsonValue:
    node = _resolved(node, schema)
    if isinstance(value, SourceInt | SourceFloat) and node.get("type") == "string":
        return value.text
    if isinstance(value, dict):
        named, others = node.get("properties"), node.get("additionalProperties")
        known = named if isinstance(named, dict) else {}
        return {k: _numbers_as_text(v, known.get(k, others), schema) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers_as_text(v, node.get("items"), schema) for v in value]
    return value


def _resolved(node: JsonValue, schema: Schema) -> Schema:
    while isinstance(node, dict):
        if isinstance(ref := node.get("$ref"), str):
            definitions = schema["$defs"]
            assert isinstance(definitions, dict)
            node = definitions[ref.rpartition("/")[2]]
        elif isinstance(choices := node.get("anyOf"), list):
            node = choices[0]
        else:
            return node
    return {}


def _decisive(e: ValidationError) -> ValidationError:
    """Of a choice between a shape and ``false``, return the problem with the shape that was meant."""
    while e.validator == "anyOf" and e.context:
        branches: dict[object, list[ValidationError]] = {}
        for sub in e.context:
            branches.setdefault(sub.schema_path[0], []).append(sub)
        meant = [subs for subs in branches.values() if all(s.path or s.validator != "type" for s in subs)]
        shaped = [subs for subs in meant if subs[0].validator != "const"]
        e = (shaped or list(branches.values()))[0][0]
    return e


@dataclass(frozen=True)
class _Problem:
    """What we use of one of jsonschema's errors: keyword, its value in the schema, and what it met."""

    keyword: str
    wanted: JsonValue
    instance: JsonValue
    schema: Schema
    pointer: Pointer
    is_name: bool

    @property
    def names(self) -> list[str]:
        """The keyword's list of names: required keys, or the values of an enum."""
        return [str(name) for name in self.wanted] if isinstance(self.wanted, list) else []

    @property
    def known(self) -> dict[str, JsonValue]:
        """The keys the schema knows at this place."""
        properties = self.schema["properties"]
        assert isinstance(properties, dict)
        return properties

    @property
    def unknown(self) -> list[str]:
        """The keys that the schema does not know at this place."""
        own = "x-" if "patternProperties" in self.schema else "\0"
        keys = self.instance if isinstance(self.instance, dict) else {}
        return [key for key in keys if key not in self.known and not key.startswith(own)]

    @property
    def broken(self) -> list[Pointer]:
        """The places that do not fit: this one, or the keys under it."""
        if self.is_name:
            return [(*self.pointer, str(self.instance))]
        if self.keyword == "additionalProperties":
            return [(*self.pointer, key) for key in self.unknown]
        return [self.pointer]

    @property
    def has(self) -> Container[object]:
        """The keys or characters that stand at this place."""
        return self.instance if isinstance(self.instance, dict | str | list) else ()


def _problem(e: ValidationError) -> _Problem:
    return _Problem(
        str(e.validator),
        cast(JsonValue, e.validator_value),
        cast(JsonValue, e.instance),
        cast(Schema, e.schema),
        tuple(e.absolute_path),
        "propertyNames" in e.absolute_schema_path,
    )


_TYPE_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def _type_of(value: object) -> str:
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true or false"
    words = {dict: "a mapping", list: "a list", str: "the text", int: "the number", float: "the number"}
    return next(word for kind, word in words.items() if isinstance(value, kind))


@dataclass(frozen=True)
class _Report:
    document: Document
    native_names: Mapping[str, str]

    def translate(self, e: _Problem) -> Iterator[Finding]:
        """Yield our findings for one of jsonschema's errors."""
        if e.is_name:
            yield self._bad_name(e)
        elif e.keyword == "additionalProperties":
            yield from (self._unknown_key(key, e.known, e.pointer) for key in e.unknown)
        elif e.keyword in ("type", "const") and e.instance is None:
            yield self._at(e.pointer, "null", f"{_name(e.pointer)} is empty (null)", _NULL_HINT)
        else:
            say = _SAY.get(e.keyword, _say_other)
            rule, message, hint = say(e, "" if _is_secret(e.pointer) else _shown(e.instance))
            yield self._at(e.pointer, rule, f"{_name(e.pointer)} {message}", hint)

    def _at(self, pointer: Pointer, rule: str, message: str, hint: str) -> Finding:
        return error(rule, message, hint, self.document.locate(pointer))

    def _unknown_key(self, key: str, known: Mapping[str, object], pointer: Pointer) -> Finding:
        where = self.document.locate_key((*pointer, key))
        suggestion = did_you_mean(key, known)
        if _is_secret(pointer) and _field_path(pointer) != LOGIN and not suggestion:
            return error("plain-secret", f"{_name(pointer)} is not a secret reference", _SECRET_HINT, where)
        elsewhere = [name for name in FIELDS if name.split(".")[-1] == key]
        if not suggestion and (field := self.native_names.get(key)):
            suggestion = f"the server's {quoted(key)} is {quoted(field)} in a spec"
        if not suggestion and elsewhere:
            suggestion = f"did you mean {quoted(elsewhere[0])}?"
        hint = suggestion or f"known here: {', '.join(known)}"
        return error("unknown-key", f"unknown key {quoted(key)}{_inside(pointer)}", hint, where)

    def _bad_name(self, e: _Problem) -> Finding:
        where = self.document.locate_key((*e.pointer, str(e.instance)))
        wanted = {
            "realms": "a realm's name or glob has 1 to 255 characters, no / and no control characters",
            "vars": "a variable's name has lower-case letters, digits and _, and is not realm",
        }.get(str(e.pointer[-1]), "a name has 1 to 255 characters and no control characters")
        return error("bad-name", f"{quoted(e.instance)} cannot be a name{_inside(e.pointer)}", wanted, where)


_NULL_HINT = "write false to remove an inherited value, {} for an empty entry, or leave the key out"
_SECRET_HINT = "write a reference: {env: NAME}, {file: PATH}, {command: […]}, {keyring: […]}, {keycloak_vault: KEY}"

Saying = tuple[str, str, str]


def _say_type(e: _Problem, shown: str) -> Saying:
    wanted = _TYPE_WORDS[str(e.wanted)]
    secret = _is_secret(e.pointer) and _field_path(e.pointer) != LOGIN
    if secret and isinstance(e.instance, str) and wanted == "a mapping":
        return "plain-secret", "is written in clear; a spec holds only references to secrets", _SECRET_HINT
    hint = ""
    if wanted == "a whole number" and isinstance(e.instance, str):
        hint = "write the number without quotes"
    elif wanted == "true or false" and str(e.instance).lower() in ("yes", "no", "on", "off"):
        hint = "YAML 1.2 knows only true and false"
    elif wanted == "text" and isinstance(e.instance, bool):
        hint = "put the text in quotes; false removes an inherited value only where the key allows it"
    return "wrong-type", f"must be {wanted}, not {_type_of(e.instance)} {shown}".rstrip(), hint


def _say_required(e: _Problem, _: str) -> Saying:
    return "missing-key", f"lacks {', '.join(quoted(key) for key in e.names if key not in e.has)}", "add it"


def _say_enum(e: _Problem, shown: str) -> Saying:
    hint = did_you_mean(str(e.instance), e.names) if shown else ""
    return "bad-value", f"must be one of {', '.join(e.names)}{', not ' if shown else ''}{shown}", hint


def _say_const(e: _Problem, shown: str) -> Saying:
    if e.pointer == ("version",):
        hint = "write version: 1, or upgrade ztrust-mail"
        return "unknown-version", f"{shown or 'this'} is not known to this release", hint
    return "bad-value", f"cannot be {shown or 'this'}", "leave the key out, or write false to remove it"


def _say_range(e: _Problem, shown: str) -> Saying:
    low, high = e.schema.get("minimum"), e.schema.get("maximum")
    wanted = f"from {low} to {high}" if high is not None else f"{low} or more"
    return "out-of-range", f"is {shown}; a whole number {wanted} is expected", ""


def _say_length(e: _Problem, _: str) -> Saying:
    length = len(e.instance) if isinstance(e.instance, str | list) else 0
    if not length:
        return "empty", "is empty", "leave the key out, or write false to remove an inherited value"
    unit = "characters" if isinstance(e.instance, str) else "parts"
    bound = "least" if e.keyword == "minItems" else "most"
    return "bad-length", f"has {length} {unit}; {e.wanted} is the {bound}", "correct its length"


def _say_pattern(e: _Problem, shown: str) -> Saying:
    pattern = str(e.wanted)
    if "ms|s|m" in pattern:
        return "no-unit", f"is {shown}, not a time with a unit", "write a whole number and its unit, such as 10s"
    if "A-Z" in pattern:
        return "bad-value", "is not a vault key", "use letters, digits, dot, dash and underscore"
    return "control-character", "holds a line break or control character", "remove it: it can forge mail headers"


def _say_properties(e: _Problem, _: str) -> Saying:
    if "disabled" in e.has:
        return "disabled-with-keys", "is disabled and has other keys", "keep disabled alone, or remove it"
    return "plain-secret", "must hold exactly one kind of reference", _SECRET_HINT


def _say_other(e: _Problem, shown: str) -> Saying:
    return "bad-value", f"does not fit the schema ({e.keyword})", "see ztrust-mail schema spec"


_SAY: Mapping[str, Callable[[_Problem, str], Saying]] = {
    "type": _say_type,
    "required": _say_required,
    "enum": _say_enum,
    "const": _say_const,
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


def _shown(value: object) -> str:
    return "" if value is None or isinstance(value, bool | list | dict) else quoted(value)


def _field_path(pointer: Pointer) -> str:
    start = 1 if pointer[:1] == ("defaults",) else 2
    return ".".join(str(part) for part in pointer[start:])


def _is_secret(pointer: Pointer) -> bool:
    """Whether what stands here may be a secret: everything in a login but the user's name."""
    path = _field_path(pointer)
    return path == LOGIN or (path.startswith(f"{LOGIN}.") and not path.endswith(("username", "url", "scope")))


def _name(pointer: Pointer) -> str:
    return quoted(".".join(str(part) for part in pointer)) if pointer else "the spec"


def _inside(pointer: Pointer) -> str:
    return f" in {_name(pointer)}" if pointer else " at the top of the spec"
