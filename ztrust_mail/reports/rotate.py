"""Where the value that a rotation replaces may still stand, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ztrust_mail.core.findings import Finding
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import pluralise
from ztrust_mail.planning.planners.rotate import NOT_LOOKED, NOT_ROTATED, OLD_SECRET, UNKNOWN_SECRET
from ztrust_mail.reports.plan import finding
from ztrust_mail.reports.style import Line, Span, line

NAMED = 20
"""So many realms of one kind are named; all of them stand in the JSON report."""

_KINDS = {
    NOT_ROTATED: "not written by this rotation",
    OLD_SECRET: "last written with it, and not part of this rotation",
    UNKNOWN_SECRET: "the same login, with a secret that the journal never wrote",
}


def leftovers(found: Sequence[Finding], reference: SecretRef) -> Iterator[Line]:
    """Name the realms kind by kind, each kind with what to do about it."""
    if any(one.rule in _KINDS for one in found):
        yield line(Span("The old value ", "bold"), f"of {reference} may still stand in:")
    else:
        yield line(Span("The old value ", "bold"), f"of {reference}: the journal knows of no realm that has it.")
    for rule, words in _KINDS.items():
        if fitting := [one for one in found if one.rule == rule]:
            yield line(f"  {pluralise(len(fitting), 'realm')}: {words}; {fitting[0].hint}")
            yield line(f"    {_names(fitting)}")
    for one in found:
        if one.rule == NOT_LOOKED:
            yield finding(one)


def _names(found: Sequence[Finding]) -> str:
    names = ", ".join(str(one.realm) for one in found[:NAMED])
    return f"{names} and {len(found) - NAMED:,} more" if len(found) > NAMED else names
