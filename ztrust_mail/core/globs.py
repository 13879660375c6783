"""Globs: patterns of ``*`` and ``?`` that select realms."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

MASTER = "master"


def is_selected(name: str, globs: Sequence[str]) -> bool:
    """Tell whether at least one glob matches a name; an empty list of globs selects every name."""
    return not globs or matches_any(name, globs)


def matches_any(name: str, globs: Iterable[str]) -> bool:
    """Tell whether at least one glob matches a name."""
    return any(glob_matches(glob, name) for glob in globs)


def glob_matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern matches a name. Case-sensitive; takes time linear in the length of both."""
    pattern, literal = _prepare(pattern)
    if literal not in name:  # rules out most names cheaply
        return False
    p = n = mark = 0
    star = -1
    while n < len(name):
        if p < len(pattern) and pattern[p] == "*":
            star, mark, p = p, n, p + 1
        elif p < len(pattern) and pattern[p] in ("?", name[n]):
            p, n = p + 1, n + 1
        elif star >= 0:
            p, mark = star + 1, mark + 1
            n = mark
        else:
            return False
    return not pattern[p:].strip("*")


@lru_cache(maxsize=1024)
def _prepare(pattern: str) -> tuple[str, str]:
    """Return the pattern with each run of stars reduced to one star, and its longest literal part."""
    return re.sub(r"\*+", "*", pattern), max(re.split("[*?]", pattern), key=len)
