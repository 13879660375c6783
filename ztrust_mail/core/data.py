"""JSON data: types, the package's JSON Schemas, and digests (SHA-256 in hex)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


@cache
def schema_text(name: str) -> str:
    """Return one of the package's JSON Schemas as text: ``spec``, ``settings`` or ``report``."""
    return (resources.files("ztrust_mail") / "schemas" / f"{name}.schema.json").read_text("utf-8")


@cache
def load_schema(name: str) -> Schema:
    """Return one of the package's JSON Schemas as data."""
    schema: Schema = json.loads(schema_text(name))
    return schema


Schema = dict[str, JsonValue]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

JsonLike = None | bool | int | float | str | Sequence["JsonLike"] | Mapping[str, "JsonLike"]


def of_bytes(data: bytes) -> str:
    """Return the digest of bytes, as ``sha256sum`` prints it for a file."""
    import hashlib  # it loads OpenSSL

    return hashlib.sha256(data).hexdigest()


def of_json(data: JsonLike) -> str:
    """Return the digest of plain data; the order of keys and the layout do not matter."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return of_bytes(text.encode("ascii"))
