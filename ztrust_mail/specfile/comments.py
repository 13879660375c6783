"""Finds comments such as ``# ztrust-mail: ignore[port-25]`` in YAML files."""

import re
from collections.abc import Iterable, Iterator, Sequence

from ztrust_mail.specfile.entries import InlineIgnore
from ztrust_mail.specfile.readers.document import Document

_MARK = "ztrust-mail: ignore["
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#[ \t]*ztrust-mail: ignore\[([a-z0-9, \t-]*)\](?=([^\n]*)$)", re.MULTILINE)
MAX_IGNORES = 1_000
"""How many ignored rules of one file are read."""


def find_ignores(documents: Iterable[Document]) -> Iterator[InlineIgnore]:
    """Yield the rules that comments in YAML files ignore. JSON has no comments."""
    for document in documents:
        if document.source and _MARK in document.source.text and not document.path.lower().endswith(".json"):
            yield from _find_in(document)


def _find_in(document: Document) -> Iterator[InlineIgnore]:
    assert document.source  # find_ignores says so
    count, text = 0, document.source.text
    quoted_texts: Sequence[tuple[int, int]] | None = None  # for the rare line in which a quote may end a text
    for found in _COMMENT.finditer(text):
        if "'" in found[2] or '"' in found[2]:
            quoted_texts = _find_quoted(text) if quoted_texts is None else quoted_texts
            if any(start < found.start() < end for start, end in quoted_texts):
                continue
        where = document.source.location(found.start())
        for rule in filter(None, map(str.strip, found[1].split(","))):
            count += 1
            if count <= MAX_IGNORES:
                yield InlineIgnore(rule, where)


def _find_quoted(text: str) -> Sequence[tuple[int, int]]:
    """Return where quoted texts of a YAML file begin and end."""
    import yaml

    tokens = yaml.scan(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    scalars = (one for one in tokens if isinstance(one, yaml.ScalarToken) and one.style in ("'", '"'))
    return [(one.start_mark.index, one.end_mark.index) for one in scalars]
