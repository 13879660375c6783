"""Findings as the services of pipelines want them: files relative to the checkout, fingerprints, a bounded number."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from ztrust_mail.core.files import STDIN
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports.overview.rows import Overview

MOST_RESULTS = 25_000
"""How many findings a report has: GitHub refuses a file with more."""


def place_in_checkout(found: Finding, shown: Overview) -> Location | None:
    """Return where a finding is shown: its own place, else the first spec; None if no file is known."""
    if found.location and found.location.path != STDIN:
        return found.location
    spec = next((path for path in shown.specs if path != STDIN), "")
    return Location(spec) if spec else None


def relative_path(path: str) -> str:
    """Return a path with slashes, relative to the working folder if it is inside."""
    if not os.path.isabs(path):
        return Path(os.path.normpath(path)).as_posix()
    inside = os.path.relpath(path)
    return Path(path if inside.startswith("..") else inside).as_posix()


def to_uri(path: str) -> str:
    """Return a path as a URI reference, relative if the path is."""
    shown = relative_path(path)
    return Path(shown).as_uri() if os.path.isabs(shown) else quote(shown)


def make_fingerprints(found: Sequence[Finding]) -> list[str]:
    """Return a unique text for each finding that does not change when lines move."""
    seen = Counter[str]()
    result = []
    for one in found:
        path = relative_path(one.location.path) if one.location else ""
        parts = (one.rule, path, one.realm or "", one.field or "", one.message)
        digest = sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
        seen[digest] += 1
        result.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return result


def limit_findings(shown: Overview) -> tuple[list[Finding], str]:
    """Return the findings of a report, at most :data:`MOST_RESULTS`, and a sentence on those that are left out."""
    found = shown.all_findings()
    if len(found) <= MOST_RESULTS:
        return found, ""
    rank = list(Severity)
    kept = sorted(found, key=lambda one: rank.index(one.severity))[:MOST_RESULTS]
    more = pluralise(len(found) - MOST_RESULTS, "finding")
    return kept, f"{more} of the lowest severity left out; a report in JSON has all"


def full_message(found: Finding, *, with_realm: bool = False) -> str:
    """Return the message and the next step of a finding, in one line."""
    realm = f"realm {found.realm}: " if with_realm and found.realm else ""
    return f"{realm}{found.message}{f'; {found.hint}' if found.hint else ''}"
