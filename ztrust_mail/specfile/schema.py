"""Checks a document against ``schemas/spec.schema.json``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, cast

from ztrust_mail.core.data import JsonValue, Schema, load_schema
from ztrust_mail.core.findings import MAX_PROBLEMS, Finding, Location
from ztrust_mail.specfile.readers.document import Document, Pointer, SourceFloat, SourceInt
from ztrust_mail.specfile.schema_messages import ProblemReporter, SchemaProblem, field_path

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator


def check(document: Document, native_names: Mapping[str, str]) -> tuple[JsonValue, list[Finding]]:
    """Return the valid parts of the document's value, and its problems, at most one more than are reported.

    Numbers in text fields become their source text. Invalid parts are left out, so that the rest can be checked.
    ``native_names`` maps the products' attribute names to fields, for hints only.
    """
    schema = load_schema("spec")
    value = _numbers_as_text(document.value, schema, schema)
    reporter = ProblemReporter(document, native_names)
    findings: list[Finding] = []
    broken: set[Pointer] = set()
    causes = (cause for e in _validator().iter_errors(value) for cause in _find_causes(e))
    for problem in (_to_problem(cause) for cause in causes if not _is_for_editors(cause)):
        findings += islice(reporter.translate(problem), MAX_PROBLEMS + 1 - len(findings))
        if len(findings) > MAX_PROBLEMS:
            return None, findings
        broken.update(problem.broken)
    return _prune(value, broken) if broken else value, sorted(findings, key=lambda f: f.location or Location(""))


@cache
def _validator() -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    exact: type[Validator] = extend(Draft202012Validator, {"pattern": _pattern_errors})  # type: ignore[no-untyped-call]
    return exact(load_schema("spec"))


def _pattern_errors(_: Validator, pattern: str, text: object, _schema: object) -> Iterator[ValidationError]:
    """Check a pattern as JSON Schema defines it: in Python, ``$`` also matches before a final line break."""
    from jsonschema.exceptions import ValidationError

    exact = pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern
    if isinstance(text, str) and not re.search(exact, text):
        yield ValidationError("")


def _prune(value: JsonValue, broken: set[Pointer], at: Pointer = ()) -> JsonValue:
    if not isinstance(value, dict):
        return value
    kept = {k: _prune(v, broken, (*at, k)) for k, v in value.items() if (*at, k) not in broken}
    if field_path(at) == "vars":  # a variable with a bad value stays known, so that its uses are not reported too
        return {k: kept.get(k, "x") for k in value}
    return kept


def _numbers_as_text(value: JsonValue, node: JsonValue, schema: Schema) -> JsonValue:
    node = _resolve(node, schema)
    if isinstance(value, SourceInt | SourceFloat) and node.get("type") == "string":
        return value.text
    if isinstance(value, dict):
        named, others = node.get("properties"), node.get("additionalProperties")
        known = named if isinstance(named, dict) else {}
        return {k: _numbers_as_text(v, known.get(k, others), schema) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers_as_text(v, node.get("items"), schema) for v in value]
    return value


def _resolve(node: JsonValue, schema: Schema) -> Schema:
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


def _find_causes(e: ValidationError) -> Iterator[ValidationError]:
    """Yield an error, or for a choice between a type and ``false`` the errors of the type that was meant."""
    if e.validator != "anyOf":
        yield e
        return
    branches: dict[object, list[ValidationError]] = {}
    for sub in e.context or ():
        branches.setdefault(sub.schema_path[0], []).append(sub)
    meant = [subs for subs in branches.values() if all(s.path or s.validator != "type" for s in subs)]
    shaped = [subs for subs in meant if subs[0].validator != "const"]
    for sub in (shaped or list(branches.values()))[0]:
        yield from _find_causes(sub)


def _is_for_editors(e: ValidationError) -> bool:
    """Tell whether an error is reported later: a missing version, a URL as a server, ``expect`` without a glob.

    Editors know only the schema of one file. One version is enough for all files of a spec.
    """
    if e.validator == "required":
        return not e.absolute_path
    return e.validator == "not" and len(e.absolute_path) <= 2  # server[0], realms.acme


def _to_problem(e: ValidationError) -> SchemaProblem:
    return SchemaProblem(
        str(e.validator),
        cast(JsonValue, e.validator_value),
        cast(JsonValue, e.instance),
        cast(Schema, e.schema),
        tuple(e.absolute_path),
        "propertyNames" in e.absolute_schema_path,
        not e.relative_path and e.parent is not None and _may_be_false(e.parent.validator_value),
    )


def _may_be_false(choices: object) -> bool:
    return isinstance(choices, list) and any(choice.get("const") is False for choice in choices)
