"""Digests: SHA-256 in hex, over bytes and over data as canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


def of_bytes(data: bytes) -> str:
    """Return the digest of bytes, the same that ``sha256sum`` prints of a file."""
    import hashlib  # it loads OpenSSL

    return hashlib.sha256(data).hexdigest()


def of_json(data: Json) -> str:
    """Return the digest of plain data; the order of keys and the layout do not count."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return of_bytes(text.encode("ascii"))
