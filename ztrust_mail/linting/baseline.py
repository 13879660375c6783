"""The baseline: a file of findings that are known and counted, and not reported again.

A row has no line number, so that a baseline outlives edits of a spec. Rows can be read in a review.
"""

import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ztrust_mail.core.data import Json
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.files import STDIN, read_regular_file
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.linting.rule import ServerRule
from ztrust_mail.linting.rules import GONE, RULES, UNUSED
from ztrust_mail.specfile.entries import Spec

SCHEMAS = "urn:ztrust-mail:schema:baseline:"
SCHEMA = f"{SCHEMAS}1"
DEFAULTS = "defaults"
MAX_BYTES = 20_000_000
_NEW = "write it again with --write-baseline"


@dataclass(frozen=True, order=True)
class KnownFinding:
    """What identifies a finding: its rule, the spec file as seen from the baseline, the entry or realm, the field."""

    rule: str
    file: str
    entry: str
    field: str

    def __str__(self) -> str:
        return f"{self.rule} of {quoted(self.entry)}" if self.entry else self.rule


@dataclass(frozen=True)
class Baseline:
    """The known findings in the file at ``path``."""

    path: Path
    known: frozenset[KnownFinding] = frozenset()


class Identifier:
    """Finds what identifies a finding on a spec."""

    def __init__(self, spec: Spec, baseline: Path) -> None:
        self._folder = os.path.dirname(os.path.realpath(baseline))
        self._entries: dict[Location, str] = {}
        for entry in (spec.defaults, *spec.entries, *spec.written):
            for place in (entry.location, *(setting.location for setting in entry.settings.values())):
                self._entries.setdefault(place, entry.name or DEFAULTS)
        self.files = {self._relative(path) for path in spec.paths}

    def identify(self, finding: Finding) -> KnownFinding:
        """Return what identifies a finding: of an offline one the place of its value, whichever realms have it."""
        where, realm = finding.location, finding.realm or ""
        is_live = isinstance(RULES[finding.rule], ServerRule)
        entry = realm if is_live or not where else self._entries.get(where, realm)
        return KnownFinding(finding.rule, self._relative(where.path) if where else "", entry, finding.field or "")

    def _relative(self, path: str) -> str:
        if path == STDIN or path.startswith("<"):
            return path
        try:
            return Path(os.path.relpath(os.path.realpath(path), self._folder)).as_posix()
        except ValueError:  # on another drive
            return Path(path).as_posix()


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in a file. Raises :class:`UsageError`."""
    try:
        data = json.loads(read_regular_file(str(path), MAX_BYTES))
    except FileNotFoundError:
        hint = "create it with --write-baseline"
        raise UsageError(f"the baseline {quoted(path)} does not exist", hint) from None
    except OSError as e:
        raise UsageError(f"cannot read the baseline {quoted(path)}: {e.strerror}", "check the path") from None
    except (ValueError, RecursionError):
        raise UsageError(f"the baseline {quoted(path)} is not JSON", _NEW) from None
    rows = _rows(data)
    if rows is None:
        raise UsageError(f"{quoted(path)} is no baseline", f"see ztrust-mail schema baseline, or {_NEW}")
    return Baseline(path, frozenset(rows))


def _rows(data: Json) -> list[KnownFinding] | None:
    """Return the rows of a baseline, None if the data is not one by ``schemas/baseline.schema.json``."""
    found = data.get("findings") if isinstance(data, dict) and data.get("schema") == SCHEMA else None
    if not isinstance(found, list):
        return None
    rows = []
    for row in found:
        if not isinstance(row, dict) or row.keys() != KnownFinding.__dataclass_fields__.keys():
            return None
        texts = [value for value in row.values() if isinstance(value, str)]
        if len(texts) < len(row):
            return None
        rows.append(KnownFinding(**dict(zip(row, texts, strict=True))))
    return rows


def render_baseline(known: Iterable[KnownFinding]) -> str:
    """Return the content of a baseline file, a row per line, so that a review shows what is new."""
    rows = [json.dumps(asdict(row)) for row in sorted(set(known))]
    body = "[\n    " + ",\n    ".join(rows) + "\n  ]" if rows else "[]"
    return f'{{\n  "schema": "{SCHEMA}",\n  "findings": {body}\n}}\n'


@dataclass(frozen=True)
class Compared:
    """The findings missing from a baseline, the number of known ones, its fixed rows, and all rows to keep.

    ``rows`` are those of a baseline with the current findings; rows that this run could not check are preserved.
    """

    new: tuple[Finding, ...]
    known: int
    gone: tuple[KnownFinding, ...]
    rows: tuple[KnownFinding, ...]


def can_be_known(finding: Finding) -> bool:
    """Tell whether a baseline can hold a finding: neither errors of correctness nor findings about comments."""
    return (
        finding.rule in RULES
        and finding.rule not in (UNUSED.rule, GONE.rule)
        and finding.severity is not Severity.ERROR
    )


def compare_with_baseline(
    found: Sequence[Finding], baseline: Baseline, identifier: Identifier, judged_rules: Collection[str]
) -> Compared:
    """Compare findings with a baseline; ``judged_rules`` are the ids of the rules that were run."""
    new, rows, known = [], set(), 0
    for one in found:
        if not can_be_known(one):
            new.append(one)
            continue
        row = identifier.identify(one)
        rows.add(row)
        if row in baseline.known:
            known += 1
        else:
            new.append(one)
    judged = {r for r in baseline.known if r.rule in judged_rules and (not r.file or r.file in identifier.files)}
    gone = sorted(judged - rows)
    return Compared(tuple(new), known, tuple(gone), tuple(sorted(rows | (baseline.known - judged))))


def report_gone(gone: Sequence[KnownFinding], path: Path) -> list[Finding]:
    """Return a note on the rows of a baseline that are fixed."""
    if not gone:
        return []
    what = f"{pluralise(len(gone), 'finding')} of the baseline {'is' if len(gone) == 1 else 'are'} fixed"
    message = f"{what}: {first_and_more([str(row) for row in gone])}"
    return [Finding(GONE.severity, GONE.rule, message, "remove them with --write-baseline", Location(str(path)))]
