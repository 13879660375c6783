"""Comments in a spec at the places that a person must complete."""

from collections.abc import Mapping

from ztrust_mail.core.text import CI_COMMAND, printable
from ztrust_mail.model.fields import EXTRA, FIELDS, message_of
from ztrust_mail.specfile.readers.document import Place, SourceText

Gaps = dict[str, dict[str, str]]
"""By realm and field, the reason why a value is not there."""

_MARK = "# complete: "
_ORDER = {name: number for number, name in enumerate(FIELDS)}


def mark_gaps(text: str, gaps: Mapping[str, Mapping[str, str]]) -> tuple[str, list[int]]:
    """Return a spec with a comment for each gap, and the lines of these comments.

    The comment is in the deepest block that the field belongs in: before the mapping to complete, or at the start.
    """
    if not any(gaps.values()):
        return text, []
    from ztrust_mail.specfile.readers.yaml import parse  # loads PyYAML, which most commands do not need

    source = SourceText("spec.yaml", text)
    _, (_, _, top) = parse(source)
    assert isinstance(top, dict)
    realms = top["realms"][2]
    before: dict[int, list[str]] = {}
    for realm, fields in gaps.items():
        if not isinstance(realms, dict) or realm not in realms:
            continue
        for name, reason in sorted(fields.items(), key=lambda gap: (_ORDER.get(gap[0], len(_ORDER)), gap[0])):
            line, keys = _line_of(source, realm, realms[realm], _keys(name))
            comment = f"{_MARK}{printable('.'.join(keys))}: {printable(reason)}"
            before.setdefault(line, []).append(CI_COMMAND.sub(r"\\x23#", comment))
    return _insert(text, before)


def _keys(name: str) -> list[str]:
    return name.split(".", 3 if message_of(name) else 1 if name.startswith(f"{EXTRA}.") else -1)


def _line_of(source: SourceText, realm: str, entry: Place, keys: list[str]) -> tuple[int, list[str]]:
    """Return the line of the comment on a field, and the keys from the block around that line to the field."""
    place, rest = entry, [realm, *keys]
    line = source.location(entry[0]).line
    for n, key in enumerate(keys):
        inside = place[2] if isinstance(place[2], dict) else {}
        first = min((source.location(one[0]).line for one in inside.values()), default=line)
        if first == source.location(place[0]).line:  # the mapping is written on one line
            break
        line, rest = first, keys[n:]
        if key not in inside:
            break
        place = inside[key]
        line = source.location(place[0]).line
    return line, rest


def _insert(text: str, before: Mapping[int, list[str]]) -> tuple[str, list[int]]:
    result: list[str] = []
    marked: list[int] = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        indent = line[: len(line) - len(line.lstrip())]
        for comment in before.get(number, ()):
            result.append(f"{indent}{comment}")
            marked.append(len(result))
        result.append(line)
    return "".join(f"{line}\n" for line in result), marked
