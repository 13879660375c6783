"""Converts field values to JSON and back, for saved plans and the journal. Secrets stay references."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import ABSENT, Duration, FieldMap, FieldValue, Login, Masked, Raw, Security

FieldJson = str | bool | int | Mapping[str, "FieldJson"] | list["FieldJson"]

_MASKED: Final = "masked"


def to_json(fields: FieldMap) -> dict[str, FieldJson]:
    """Return fields as JSON; :func:`from_json` is its inverse."""
    return {name: _value_to_json(value) for name, value in fields.items()}


def from_json(data: Mapping[str, FieldJson]) -> FieldMap:
    """Return the fields that :func:`to_json` wrote. Raises :class:`ValueError` for anything else."""
    return {name: _value_from_json(value) for name, value in data.items()}


def _value_to_json(value: FieldValue) -> FieldJson:
    match value:
        case Security() | Login():
            return {type(value).__name__.lower(): value.value}
        case Duration():
            return {"milliseconds": value.milliseconds}
        case SecretRef():
            return {"secret": value.kind.value, "argument": list(value.argument), "base": value.base}
        case Raw():
            return {"raw": value.text}
        case Masked():
            return {_MASKED: True}
        case str() | bool() | int():
            return value
        case _:
            return {ABSENT.value: True}


def _value_from_json(data: FieldJson) -> FieldValue:
    if isinstance(data, str | bool | int):
        return data
    if isinstance(data, Mapping):
        if set(data) == {"secret", "argument", "base"}:
            return _reference(data)
        if len(data) == 1 and (known := _TYPED.get(next(iter(data)))):
            return known(next(iter(data.values())))
    raise ValueError("not the value of a field")


def _reference(data: Mapping[str, FieldJson]) -> SecretRef:
    argument = data["argument"]
    if not isinstance(argument, list):
        raise ValueError("a reference's argument is a list")
    return SecretRef(SecretKind(_text(data["secret"])), tuple(_text(part) for part in argument), _text(data["base"]))


def _text(data: FieldJson) -> str:
    if not isinstance(data, str):
        raise ValueError("not text")
    return data


def _milliseconds(data: FieldJson) -> Duration:
    if type(data) is not int:
        raise ValueError("not a number of milliseconds")
    return Duration(data)


_TYPED: Mapping[str, Callable[[FieldJson], FieldValue]] = {
    "security": lambda data: Security(_text(data)),
    "login": lambda data: Login(_text(data)),
    "milliseconds": _milliseconds,
    "raw": lambda data: Raw(_text(data)),
    _MASKED: lambda data: Masked(),
    ABSENT.value: lambda data: ABSENT,
}

NOT_SET = "(not set)"
_SHOWN = 255
_AMBIGUOUS = re.compile(r"""^[\s("]|\s$|\s\s|→|; """)
"""Texts that could be read as more than a value, or as a remark such as ``(not set)``, are shown in quotes."""


def display_value(value: FieldValue | None) -> str:
    """Return a value as readable text; for a secret, show the reference and never the value."""
    if value is None or value is ABSENT or value == "":
        return NOT_SET
    if isinstance(value, SecretRef):
        return f"(secret from {value})"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Raw) and _AMBIGUOUS.search(text := str(value)):
        return json.dumps(text, ensure_ascii=False)
    return "(secret, hidden)" if isinstance(value, Masked) else str(value)


def display_short(value: FieldValue | None) -> str:
    """Return a value as readable text; of a long text, only the beginning."""
    words = display_value(value)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}… ({len(words):,} characters)"
