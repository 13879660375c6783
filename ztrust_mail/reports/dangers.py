"""What is dangerous about a plan, as text and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ztrust_mail.reports.json import Json
from ztrust_mail.reports.lines import Line, Span, line
from ztrust_mail.sync.safety import Danger


def lines(found: Iterable[Danger]) -> Iterator[Line]:
    """Return a line per danger; a long list of realms is cut."""
    return (line(Span("Dangerous: ", "bold red"), f"{danger} ", Span(f"[{danger.reason}]", "dim")) for danger in found)


def data(found: Iterable[Danger]) -> list[Json]:
    """Return the dangers as plain data, with all their realms."""
    return [
        {"reason": danger.reason.value, "message": danger.message, "realms": list(danger.realms)} for danger in found
    ]
