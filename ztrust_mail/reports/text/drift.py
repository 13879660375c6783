"""Drift as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ztrust_mail.core.text import first_and_more, pluralise
from ztrust_mail.drift_detection.attribution import Cause
from ztrust_mail.model.serialize import display_value
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.reports.text.plan import STATUS, in_sync_line, masked_secrets, status_counts, unread_note

if TYPE_CHECKING:
    from ztrust_mail.drift_detection.drift import Drift

SHOWN_REALMS = 10
"""How many names a line has."""

_CRITICAL = "bold red"
_STYLES = {
    Cause.OUT_OF_BAND: "yellow",
    Cause.BOTH: "yellow",
    Cause.NOT_KEPT: "yellow",
    Cause.PENDING: "dim",
    Cause.UNATTRIBUTED: "dim",
}


def drift_lines(found: Drift) -> Iterator[Line]:
    """Yield each difference with its cause, critical changes first; a single line when nothing drifted."""
    made = found.plan
    for realm in sorted(made.changed, key=lambda realm: not _critical(found, realm)):
        yield from _realm(found, realm)
    for realm in made.realms:
        if realm.status not in (Status.CHANGED, Status.IN_SYNC):
            yield line(Span(realm.realm, "bold"), "  ", STATUS[realm.status])
    if made.changed:
        hidden = masked_secrets(made)
        drifted = status_counts(made, made.realms).replace(STATUS[Status.CHANGED].text, "drifted")
        yield line(drifted, f"; {hidden}" if hidden else ".")
        yield line(_causes(found))
    elif made.realms or not found.vanished:
        yield line("" if found.vanished or made.unseen else "No drift: ", *in_sync_line(made))
    yield from unread_note(made)
    if found.vanished:
        yield line(Span("Written before, now missing: ", _CRITICAL), _names(found.vanished))
    if made.uncovered:
        yield line(f"Not covered by the spec: {_names(made.uncovered)}")


def _realm(found: Drift, realm: RealmPlan) -> Iterator[Line]:
    critical = {change.field for change in realm.changes if found.is_critical(realm.realm, change.field)}
    yield line(Span(realm.realm, "bold"), "  ", Span("drifted", _CRITICAL if critical else "yellow"))
    for change in sorted(realm.changes, key=lambda change: change.field not in critical):
        cause = found.causes[realm.realm][change.field]
        is_critical = change.field in critical
        yield line(
            Span(f"    {change.field}", _CRITICAL if is_critical else ""), " is ",
            Span(display_value(change.before), _CRITICAL if is_critical else "red"), ", the spec says ",
            Span(display_value(change.after), "green"), "  ",
            Span(f"({cause})", _CRITICAL if is_critical else _STYLES[cause]),
        )  # fmt: skip


def _critical(found: Drift, realm: RealmPlan) -> bool:
    return any(found.is_critical(realm.realm, change.field) for change in realm.changes)


def _causes(found: Drift) -> str:
    numbers = Counter(cause for causes in found.causes.values() for cause in causes.values())
    critical = sum(found.is_critical(realm, name) for realm, causes in found.causes.items() for name in causes)
    parts = [f"{numbers[cause]:,} {cause}" for cause in _STYLES if numbers[cause]]
    grave = f"; {critical:,} critical" if critical else ""
    unknown = "; the journal has no entry for the unattributed ones" if numbers[Cause.UNATTRIBUTED] else ""
    return f"      {pluralise(numbers.total(), 'field')}: {', '.join(parts)}{grave}{unknown}."


def _names(names: tuple[str, ...]) -> str:
    rest = "; a report in JSON names all" if len(names) > SHOWN_REALMS + 1 else ""
    return f"{pluralise(len(names), 'realm')}: {first_and_more(names, SHOWN_REALMS)}{rest}"
