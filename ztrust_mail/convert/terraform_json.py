"""Terraform's JSON: state files, the output of ``terraform show -json``, and configurations in JSON.

A state and a plan have every value resolved: variables, locals, modules, ``count`` and ``for_each``.
"""

from collections.abc import Iterator
from typing import Final

from ztrust_mail.convert.foreign_placeholders import UNKNOWN
from ztrust_mail.convert.format import Node, mapping_of
from ztrust_mail.convert.hcl import Block, Resource, Value
from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import error, warning
from ztrust_mail.core.text import quoted
from ztrust_mail.specfile.readers import json
from ztrust_mail.specfile.readers.document import Document, Pointer, SourceText

RESOURCE: Final = "keycloak_realm"
BLOCK: Final = "smtp_server"
_STATE_VERSION = 4
_RULE: Final = "unknown-format"
_SHOW = "run: terraform show -json > state.json; then convert state.json"
_NO_REALM = "the resource has no realm"


def is_json(text: str) -> bool:
    """Tell whether a text is JSON and not Terraform's own language, which never starts with a brace."""
    return text.lstrip()[:1] == "{"


def realms_in(source: SourceText) -> Iterator[Resource]:
    """Yield the realm resources of a JSON file, and add its problems to ``source``.

    Raises :class:`~ztrust_mail.specfile.readers.document.Broken` if the text is not JSON.
    """
    value, root = json.parse(source)
    if source.findings or not isinstance(value, dict):
        return
    document = Document(source.path, "", value, root, source)
    if "format_version" in value and ("values" in value or "planned_values" in value):
        yield from _read_show_output(document, value, source)
    elif "version" in value and "resources" in value and isinstance(value.get("version"), int):
        yield from _read_state(document, value, source)
    elif "resource" in value:
        yield from _read_configuration(document, value)
    elif value.get("version") is not None and "modules" in value:
        _refuse_version(source, value)
    elif not {"variable", "locals", "provider", "module", "output", "data", "terraform"} & value.keys():
        message = "this JSON is neither a state, nor output of terraform show -json, nor a configuration"
        source.findings.append(error(_RULE, message, "check the file and --from", document.locate(())))


# States


def _read_state(document: Document, state: Node, source: SourceText) -> Iterator[Resource]:
    if state.get("version") != _STATE_VERSION:
        _refuse_version(source, state)
        return
    for n, resource in enumerate(_list(state.get("resources"))):
        if not _is_realm(resource):
            continue
        for k, instance in enumerate(_list(mapping_of(resource).get("instances"))):
            found = mapping_of(instance)
            if "deposed" in found:  # replaced, and soon destroyed
                continue
            at = ("resources", n, "instances", k)
            _check_schema(document, found, at, source)
            sensitive = frozenset(_sensitive_paths(found.get("sensitive_attributes")))
            yield _resource(document, mapping_of(found.get("attributes")), (*at, "attributes"), sensitive)


def _refuse_version(source: SourceText, state: Node) -> None:
    message = f"the state has format version {state.get('version')}; version {_STATE_VERSION} can be read"
    source.problem(_RULE, 0, message, _SHOW)


def _sensitive_paths(paths: JsonValue) -> Iterator[str]:
    """Yield the arguments of the block that a state marks as sensitive; empty text is the whole block."""
    for path in _list(paths):
        names = [
            str(step["value"]) for step in _list(path) if isinstance(step, dict) and step.get("type") == "get_attr"
        ]
        if names[:1] == [BLOCK]:
            yield ".".join(names[1:])


# Output of terraform show


def _read_show_output(document: Document, shown: Node, source: SourceText) -> Iterator[Resource]:
    version = str(shown.get("format_version"))
    if version.partition(".")[0] not in ("0", "1"):
        message = f"terraform show wrote format version {version}; versions 0 and 1 can be read"
        source.problem(_RULE, 0, message, "use a release of ztrust-mail that knows this version")
        return
    key = "planned_values" if "planned_values" in shown else "values"
    unknown = {
        str(change.get("address")): mapping_of(mapping_of(change.get("change")).get("after_unknown"))
        for change in map(mapping_of, _list(shown.get("resource_changes")))
    }
    root = mapping_of(mapping_of(shown.get(key)).get("root_module"))
    for at, resource in _resources(root, (key, "root_module")):
        _check_schema(document, resource, at, source)
        values = dict(mapping_of(resource.get("values")))
        missing = unknown.get(str(resource.get("address")), {})
        if missing.get("realm") is True:
            values["realm"] = UNKNOWN
        if missing.get(BLOCK) is True:
            values[BLOCK] = UNKNOWN
        elif later := _first(missing.get(BLOCK)):
            values[BLOCK] = [_with_unknown(_first(values.get(BLOCK)), later)]
        sensitive = frozenset(_sensitive_arguments(mapping_of(resource.get("sensitive_values")).get(BLOCK), ""))
        yield _resource(document, values, (*at, "values"), sensitive)


def _resources(module: Node, at: Pointer) -> Iterator[tuple[Pointer, Node]]:
    """Yield the realm resources of a module and of the modules in it; a document is nested at most 50 deep."""
    for n, resource in enumerate(_list(module.get("resources"))):
        if _is_realm(resource):
            yield (*at, "resources", n), mapping_of(resource)
    for n, child in enumerate(_list(module.get("child_modules"))):
        yield from _resources(mapping_of(child), (*at, "child_modules", n))


def _with_unknown(block: Node, later: Node) -> dict[str, JsonValue]:
    """Return a block of a plan with each argument that is unknown until it is applied."""
    known = dict(block)
    for name, mark in later.items():
        if mark is True:
            known[name] = UNKNOWN
        elif inner := _first(mark):
            known[name] = [_with_unknown(_first(known.get(name)), inner)]
    return known


def _sensitive_arguments(marks: JsonValue, path: str) -> Iterator[str]:
    """Yield the arguments that are marked as sensitive; empty text is the whole block."""
    if marks is True:
        yield path
    for name, inner in _first(marks).items():
        yield from _sensitive_arguments(inner, f"{path}.{name}" if path else name)


# Configurations


def _read_configuration(document: Document, configuration: Node) -> Iterator[Resource]:
    labels = mapping_of(mapping_of(configuration.get("resource")).get(RESOURCE))
    for label, body in labels.items():
        yield _resource(document, _first(body), ("resource", RESOURCE, label), frozenset())


# All of them


def _resource(document: Document, values: Node, at: Pointer, sensitive: frozenset[str]) -> Resource:
    realm, where = values.get("realm"), document.locate(at)
    if not isinstance(realm, str) or not realm:
        return Resource("", where, problem=_NO_REALM)
    if values.get(BLOCK) == UNKNOWN:
        return Resource(realm, where, problem="the smtp_server block is unknown until the plan is applied")
    return Resource(realm, where, _block(_first(values.get(BLOCK))), sensitive=sensitive)


def _block(given: Node) -> Block:
    """Return a block with the one block that a list holds in place of the list."""
    block: dict[str, Value | Block] = {}
    for name, value in given.items():
        if isinstance(value, list | dict):
            if inner := _first(value):
                block[name] = _block(inner)
        else:
            block[name] = value
    return block


def _check_schema(document: Document, resource: Node, at: Pointer, source: SourceText) -> None:
    if (version := resource.get("schema_version")) not in (None, 0):
        message = f"the provider's schema has version {quoted(version)}; version 0 is known"
        found = warning(_RULE, message, "compare the result with the realm", document.locate(at))
        source.findings.append(found)


def _is_realm(resource: JsonValue) -> bool:
    found = mapping_of(resource)
    return found.get("type") == RESOURCE and found.get("mode", "managed") == "managed"


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _first(value: JsonValue) -> Node:
    """Return a block: a mapping, or the only one in a list."""
    return mapping_of(value[0]) if isinstance(value, list) and value else mapping_of(value)
