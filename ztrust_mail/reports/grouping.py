"""Groups statements about many realms, so that a text report says everything once, with a count and examples.

Values that differ only by the realm's name are equal: ``no-reply@{realm}.example.com``. A realm with more statements
than a larger group belongs to that group, with its additional statements.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.specfile.placeholders import escape, insert_placeholders

RARE_PART = 20
"""A statement is rare if fewer than one in this many realms has it."""

MAX_RARE = 10
"""So many rare statements on one subject are shown one by one; more become one statement with examples."""

MAX_BASES = 20
"""How many of the largest groups each smaller one is compared with, to keep the cost linear."""

SHOWN_FINDINGS = 5
"""How many findings of one rule are shown; of more, the first :data:`EXAMPLES`."""

EXAMPLES = 3
"""How many values or findings are shown of many that differ."""

_LONGEST_NAME = 255
_PLAIN_NAME = re.compile(r"[^\s,;:()`…→]+")
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})")


class Statement(NamedTuple):  # not a dataclass, since hundreds of thousands are hashed
    """A statement about a realm: ``texts`` about a ``subject``. ``kind`` tells the renderer how to show it.

    ``examples`` are realms with their texts, if the texts differ by realm.
    """

    kind: str
    subject: str = ""
    texts: tuple[str, ...] = ()
    examples: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Block:
    """Realms with the same statements. ``others`` has the additional statements about some of them."""

    head: str
    realms: tuple[str, ...]
    statements: tuple[Statement, ...]
    others: tuple["Block", ...] = ()


Said = tuple[str, str, Sequence[Statement]]
"""A realm, the head of its block, and its statements."""

Signature = tuple[Statement, ...]
"""What realms of one block have in common; a statement without texts is one that differs by realm."""


def name_realm(realm: str) -> str:
    """Return a realm's name, in backquotes if it could be misread as more than a name."""
    return realm if _PLAIN_NAME.fullmatch(realm) else quoted(realm, _LONGEST_NAME)


def name_realms(realms: Sequence[str]) -> str:
    """Return ``acme``, ``2 realms (acme and globex)`` or ``300 realms (tenant-001 … tenant-300)``."""
    if len(realms) == 1:
        return first_and_more([name_realm(realms[0])])
    return f"{pluralise(len(realms), 'realm')} ({list_realms(realms)})"


def name_references(references: Sequence[SecretRef]) -> str:
    """Return ``env:A``, or ``40 references (env:A, env:B and 38 more)``."""
    shown = first_and_more([str(one) for one in references], EXAMPLES - 1)
    return f"{len(references):,} references ({shown})" if len(references) > 1 else shown


def list_realms(realms: Sequence[str], most: int = EXAMPLES - 1) -> str:
    """Return ``tenant-001 … tenant-300`` if the names are numbered without gaps, or else the first name and a count."""
    parts = [found.groups() for name in realms if (found := _NUMBERED.fullmatch(name))]
    if len(realms) > EXAMPLES and len(parts) == len(realms) and len({prefix for prefix, _ in parts}) == 1:
        by_number = {int(number): name for name, (_, number) in zip(realms, parts, strict=True)}
        first, last = min(by_number), max(by_number)
        if last - first + 1 == len(by_number) == len(realms):
            return " … ".join(first_and_more([name_realm(by_number[number])]) for number in (first, last))
    return first_and_more([*map(name_realm, realms)], most)


def group_realms(said: Iterable[Said], *, details: bool = False) -> list[Block]:
    """Return the realms in blocks, in the order of each block's first realm; with ``details``, one block for each."""
    rows = list(said)
    if details:
        return [Block(head, (realm,), tuple(statements)) for realm, head, statements in rows]
    keys = _shared_statements([(realm, statements) for realm, _, statements in rows])
    varied = _varied_statements(keys)
    members: dict[tuple[str, Signature], list[int]] = {}
    for place, ((_, head, _), own) in enumerate(zip(rows, keys, strict=True)):
        signature = tuple(Statement(one.kind, one.subject) if one in varied else one for one in own)
        members.setdefault((head, signature), []).append(place)
    blocks = [
        Block(head, tuple(rows[place][0] for place in places), _common_statements(rows, keys, places))
        for (head, _), places in members.items()
    ]
    order = {realm: place for place, (realm, _, _) in enumerate(rows)}
    attached = _attach(blocks, [signature for _, signature in members])
    return sorted((_with_realms_of_others(one, order) for one in attached), key=lambda one: order[one.realms[0]])


def _shared_statements(rows: Sequence[tuple[str, Sequence[Statement]]]) -> list[list[Statement]]:
    """Return each realm's statements with a pattern for its name, where more realms share the pattern than the text."""
    both = [[(one, _generalise(one, realm)) for one in own] for realm, own in rows]
    exact = Counter(one for row in both for one, _ in row)
    general = Counter(pattern for row in both for one, pattern in row if pattern is not one)
    return [
        [one if exact[one] >= general[pattern] and not _is_like_pattern(one) else pattern for one, pattern in row]
        for row in both
    ]


def _generalise(one: Statement, realm: str) -> Statement:
    texts = tuple(_insert_placeholders(text, realm) for text in one.texts)
    return one if texts == one.texts else one._replace(texts=texts)


def _insert_placeholders(text: str, realm: str) -> str:
    """Return a text as a spec's template: with placeholders for the realm's name, and doubled braces for plain ones."""
    is_plain = "{" not in text and "}" not in text
    return insert_placeholders(text, realm) if is_plain else insert_placeholders(escape(text), escape(realm))


def _is_like_pattern(one: Statement) -> bool:
    return any("{realm" in text for text in one.texts)


def _varied_statements(rows: Sequence[Sequence[Statement]]) -> set[Statement]:
    """Return the rare statements on subjects that have too many of them to show each."""
    counts = Counter(one for own in rows for one in own)
    rare: dict[tuple[str, str], list[Statement]] = {}
    for one, count in counts.items():
        if count == 1 or count * RARE_PART < len(rows):
            rare.setdefault((one.kind, one.subject), []).append(one)
    return {one for several in rare.values() if len(several) > MAX_RARE for one in several}


def _common_statements(
    rows: Sequence[Said], keys: Sequence[Sequence[Statement]], places: Sequence[int]
) -> tuple[Statement, ...]:
    """Return a block's statements: those of one realm as they are; those that differ by realm with examples."""
    if len(places) == 1:
        return tuple(rows[places[0]][2])
    found = []
    for number, one in enumerate(keys[places[0]]):
        if any(keys[place][number] != one for place in places):
            shown = tuple((rows[place][0], rows[place][2][number].texts) for place in places[:EXAMPLES])
            one = one._replace(texts=(), examples=shown)
        found.append(one)
    return tuple(found)


def _attach(blocks: Sequence[Block], signatures: Sequence[Signature]) -> list[Block]:
    """Return the blocks, each one that says more than a larger one as a part of that."""
    sets = [frozenset(signature) for signature in signatures]
    largest = sorted((n for n, one in enumerate(blocks) if len(one.realms) > 1), key=lambda n: -len(blocks[n].realms))
    bases = [n for n in largest[:MAX_BASES] if signatures[n]]
    others: dict[int, list[Block]] = {}
    for place, block in enumerate(blocks):
        for base in bases:
            is_smaller = len(block.realms) < len(blocks[base].realms)
            if is_smaller and block.head == blocks[base].head and sets[base] < sets[place]:
                own = zip(signatures[place], block.statements, strict=True)
                more = tuple(one for key, one in own if key not in sets[base])
                others.setdefault(base, []).append(replace(block, statements=more))
                break
    attached = {one.realms for several in others.values() for one in several}
    return [
        replace(block, others=tuple(others.get(place, ())))
        for place, block in enumerate(blocks)
        if block.realms not in attached
    ]


def _with_realms_of_others(block: Block, order: Mapping[str, int]) -> Block:
    if not block.others:
        return block
    realms = [*block.realms, *(realm for other in block.others for realm in other.realms)]
    return replace(block, realms=tuple(sorted(realms, key=order.__getitem__)))


@dataclass(frozen=True)
class FindingGroup:
    """Equal findings. ``realms`` are those that they are about; ``more`` counts further findings of the same rule.

    ``places`` counts further places in the finding's file that have the same finding.
    """

    finding: Finding
    realms: tuple[str, ...] = ()
    more: int = 0
    places: int = 0


def group_findings(found: Iterable[Finding], *, fold: bool = True) -> list[FindingGroup]:
    """Return distinct findings, grouped by rule, with equal findings of several realms merged.

    With ``fold``, a rule shows a few findings about single realms as examples and counts the others; warnings repeated
    in a file are merged too.
    """
    distinct = list(dict.fromkeys(found))
    exact = Counter(replace(one, realm=None) for one in distinct)
    patterns = {one: _generalise_finding(one) for one in distinct if one.realm}
    general = Counter(patterns.values())
    groups: dict[tuple[Finding, bool], list[str]] = {}
    for one in distinct:
        plain, pattern = replace(one, realm=None), patterns.get(one)
        key = plain if pattern is None or exact[plain] >= general[pattern] else pattern
        # a text that contains {realm} literally differs from one that had a realm's name there
        groups.setdefault((key, key != plain), []).extend([one.realm] if one.realm else [])
    equal = [FindingGroup(finding, tuple(realms)) for (finding, _), realms in groups.items()]
    by_rule: dict[tuple[str, str], list[FindingGroup]] = {}
    for group in _merge_places(equal) if fold else equal:
        rule = (group.finding.severity.value, group.finding.rule) if group.realms else (str(len(by_rule)), "")
        by_rule.setdefault(rule, []).append(group)
    return [one for several in by_rule.values() for one in (_fold(several) if fold else several)]


def _merge_places(groups: Iterable[FindingGroup]) -> Iterator[FindingGroup]:
    """Yield the groups; warnings and notes that differ only by the place in one file are one, at the first place."""
    by_file: dict[Finding | int, list[FindingGroup]] = {}
    for number, one in enumerate(groups):
        found = one.finding
        key: Finding | int = number
        if found.location and found.severity in (Severity.WARNING, Severity.NOTE):
            key = replace(found, location=Location(found.location.path))
        by_file.setdefault(key, []).append(one)
    for same in by_file.values():
        realms = dict.fromkeys(realm for one in same for realm in one.realms)
        yield FindingGroup(same[0].finding, tuple(realms), places=len(same) - 1)


def _generalise_finding(one: Finding) -> Finding:
    realm = one.realm or ""
    message, hint = insert_placeholders(one.message, realm), insert_placeholders(one.hint, realm)
    return replace(one, realm=None, message=message, hint=hint)


def _fold(several: Sequence[FindingGroup]) -> list[FindingGroup]:
    if len(several) <= SHOWN_FINDINGS:
        return list(several)
    shown, rest = several[:EXAMPLES], several[EXAMPLES:]
    realms = tuple(dict.fromkeys(realm for one in rest for realm in one.realms))
    return [*shown, FindingGroup(rest[0].finding, realms, sum(len(one.realms) for one in rest))]


def count_by(values: Mapping[str, str], realms: Iterable[str]) -> str:
    """Return the distinct values of realms: ``x``, or ``x (27 realms); unknown (3 realms)``; empty without any."""
    counts = Counter(values.get(realm, "unknown") for realm in realms)
    if len(counts) == 1:
        return "" if "unknown" in counts else next(iter(counts))
    shown = [f"{value} ({pluralise(count, 'realm')})" for value, count in counts.most_common(EXAMPLES)]
    return "; ".join([*shown, *([f"{len(counts) - EXAMPLES} more"] if len(counts) > EXAMPLES else [])])
