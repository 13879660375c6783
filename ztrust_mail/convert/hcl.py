"""Terraform's language as far as realm resources need it: read by python-hcl2, written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ztrust_mail.core.errors import UsageError, install_hint
from ztrust_mail.core.findings import Finding, Location, error
from ztrust_mail.core.text import escaped
from ztrust_mail.specfile.readers.document import SourceText

if TYPE_CHECKING:
    from lark import Token, Tree

Value = str | bool | int | float | None
Block = Mapping[str, "Value | Block"]

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 100
_ESCAPE = re.compile(r"\\(?:([nrt\"\\])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))|\$\$\{|%%\{")
_SIGN = re.compile(r"(?<![$%])([$%])\{([\w.:-]+)\}|[$%]\{")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_TO_ESCAPE = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Resource:
    """A ``keycloak_realm`` resource; ``problem`` says why its settings cannot be read. It may have no block.

    ``sensitive`` are the arguments that must not be shown, such as ``auth.username``.
    """

    realm: str
    where: Location
    smtp_server: Block = field(default_factory=dict, repr=False)
    problem: str = ""
    sensitive: frozenset[str] = frozenset()


def string(text: str) -> str:
    """Return a quoted string with exactly this text as its value."""
    quoted = "".join(_TO_ESCAPE.get(c, c) for c in text)
    return '"' + escaped(_SIGN.sub(_escaped_sign, quoted)) + '"'


def _escaped_sign(found: re.Match[str]) -> str:
    """Return the escape of a template sign and its brace: doubled if it reads back as the sign, else by its code."""
    return f"{found[1] * 2}{{{found[2]}}}" if found[2] else f"\\u{ord(found[0][0]):04x}{{"


def realms_in(source: SourceText) -> Iterator[Resource]:
    """Yield the realm resources of a file, and add its problems to ``source``.

    Raises :class:`UsageError` if python-hcl2 is not installed.
    """
    for block in _blocks(_parse(source), "resource"):
        for kind, resources in block.items():
            if _text(kind) == "keycloak_realm" and isinstance(resources, dict):
                for label, body in resources.items():
                    if isinstance(body, dict):
                        yield _resource(str(_text(label)), body, Location(source.path))


def _resource(label: str, body: dict[str, object], where: Location) -> Resource:
    realm = _text(body.get("realm"))
    if not isinstance(realm, str) or not realm:
        return Resource(label, where, problem="the resource has no realm")
    blocks = _blocks(body, "smtp_server")
    if any("smtp_server" in block for block in _blocks(body, "dynamic")) or '"smtp_server"' in str(body.get("dynamic")):
        return Resource(realm, where, problem="the smtp_server block is dynamic, so its content is unknown offline")
    if len(blocks) > 1:
        return Resource(realm, where, problem="the resource has several smtp_server blocks")
    return Resource(realm, where, _block(blocks[0]) if blocks else {})


def _block(given: dict[str, object]) -> Block:
    block: dict[str, Value | Block] = {}
    for name, value in given.items():
        if name.startswith("__"):
            continue
        inner = _blocks(given, name)
        block[name] = _block(inner[0]) if inner else _text(value)
    return block


def _blocks(given: Mapping[str, object], name: str) -> list[dict[str, object]]:
    found = given.get(name)
    return [block for block in found if isinstance(block, dict)] if isinstance(found, list) else []


def _text(value: object) -> Value:
    """Return a value as text: a quoted string without its escapes, an expression as ``${…}``."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return _ESCAPE.sub(_unescape, text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text


def _unescape(found: re.Match[str]) -> str:
    if found[1]:
        return _ESCAPES[found[1]]
    digits = found[2] or found[3]
    return chr(int(digits, 16)) if digits and int(digits, 16) < 0x110000 else found[0][1:]


def _parse(source: SourceText) -> dict[str, object]:
    try:
        import hcl2
        from hcl2.utils import SerializationOptions
        from lark.exceptions import LarkError, UnexpectedInput
    except ImportError:
        message = "python-hcl2, which reads Terraform files, is not installed"
        raise UsageError(message, install_hint("convert")) from None
    if len(source.text) > MAX_CHARACTERS or _depth(source.text) > MAX_DEPTH:
        source.findings.append(_too_much(source))
        return {}
    try:
        tree = hcl2.parses_to_tree(source.text)
        _report_duplicates(tree, source)
        options = SerializationOptions(with_comments=False, preserve_heredocs=False)
        parsed: dict[str, object] = hcl2.serialize(hcl2.transform(tree), serialization_options=options)
    except LarkError as e:
        at = e.pos_in_stream if isinstance(e, UnexpectedInput) else 0
        source.findings.append(_syntax(source, at or 0))
        return {}
    except RecursionError:  # python-hcl2 nests one level for each operator, attribute and index in a row
        source.findings.append(_unreadable(source, "an expression has too many parts"))
        return {}
    except ValueError:  # Python reads whole numbers of up to 4,300 digits
        source.findings.append(_unreadable(source, "a number has too many digits"))
        return {}
    return parsed


def _too_much(source: SourceText) -> Finding:
    message = f"the file has more than {MAX_CHARACTERS:,} characters, or is nested more than {MAX_DEPTH} deep"
    return error("too-large", message, "give a file with the realms only", Location(source.path))


def _unreadable(source: SourceText, problem: str) -> Finding:
    message = f"the file cannot be read: {problem}"
    return error("too-large", message, "give a file with the realms only", Location(source.path))


def _syntax(source: SourceText, offset: int) -> Finding:
    return error("hcl-syntax", "this is not valid HCL", "run: terraform validate", source.location(offset))


def _depth(text: str) -> int:
    """Return the nesting depth of the brackets; brackets in strings count, too."""
    depth = deepest = 0
    for bracket in re.finditer(r"([{(\[])|[})\]]", text):
        depth += 1 if bracket[1] else -1
        deepest = max(deepest, depth)
    return deepest


def _report_duplicates(tree: Tree[Token], source: SourceText) -> None:
    """Report arguments that are given twice in one block: python-hcl2 silently uses the last one."""
    for body in tree.find_data("body"):
        first: dict[str, int] = {}
        for name in (_name(child) for child in body.children if _is(child, "attribute")):
            if name.value in first:
                source.duplicate(name.value, name.start_pos or 0, first[name.value])
            first.setdefault(name.value, name.start_pos or 0)


def _is(node: Tree[Token] | Token, kind: str) -> bool:
    return getattr(node, "data", None) == kind


def _name(attribute: Tree[Token] | Token) -> Token:
    """Return the first word of an argument."""
    return next(iter(cast("Tree[Token]", attribute).scan_values(lambda _: True)))
