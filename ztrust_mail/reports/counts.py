"""How many realms stand where, in the words that all text reports share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ztrust_mail.reports.lines import Line, Span, line
from ztrust_mail.sync.compare import SecretState
from ztrust_mail.sync.plan import Plan, RealmPlan, Status
from ztrust_mail.text import counted

STATUS: Mapping[Status, Span] = {
    Status.IN_SYNC: Span("in sync", "green"),
    Status.CHANGED: Span("to change", "yellow"),
    Status.APPLIED: Span("applied", "green"),
    Status.FAILED: Span("failed", "bold red"),
    Status.MISSING: Span("missing", "bold red"),
    Status.UNREADABLE: Span("unreadable", "bold red"),
    Status.SKIPPED: Span("skipped", "yellow"),
}
_FIRST = (Status.CHANGED, Status.APPLIED)
_ORDER = (*_FIRST, *(status for status in Status if status not in _FIRST))


def counts(realms: Sequence[RealmPlan]) -> str:
    """Return ``2 realms to change, 1 in sync``."""
    numbers = Counter(realm.status for realm in realms)
    first, *others = [status for status in _ORDER if numbers[status]] or [Status.IN_SYNC]
    parts = [f"{numbers[status]:,} {STATUS[status].text}" for status in others]
    return ", ".join([f"{counted(numbers[first], 'realm')} {STATUS[first].text}", *parts])


def standing(made: Plan, realms: Sequence[RealmPlan]) -> str:
    """Return the counts of a plan's realms; in sync is what somebody has looked at."""
    said = counts(realms)
    return said.replace(STATUS[Status.IN_SYNC].text, "as last applied") if made.unseen else said


def unseen(made: Plan) -> Iterator[Line]:
    """Say that nobody looked at the server, where that is so."""
    if made.unseen:
        yield line(Span(f"{made.unseen[0].upper()}{made.unseen[1:]}.", "yellow"))


def incomparable(made: Plan) -> str:
    """Count the hidden secrets of realms that nothing else is written to."""
    states = [
        realm.secrets.get(name, SecretState.UNKNOWN)
        for realm in made.realms
        if not realm.changes
        for name in realm.difference.incomparable
    ]
    same = states.count(SecretState.UNCHANGED)
    parts = [f"{counted(same, 'password')} as last written (what is stored is hidden)"] if same else []
    if other := len(states) - same:
        parts.append(f"{counted(other, 'password')} cannot be compared")
    return f"{', '.join(parts)}." if parts else ""


def nothing_differs(made: Plan) -> Line:
    """Return the one line of a plan that changes nothing."""
    hidden = incomparable(made)
    return line(standing(made, made.realms), f"; {hidden}" if hidden else ".")
