"""Reports as workflow commands of GitHub Actions: annotations at the lines of a spec, and the verdict in the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.reports.grouping import FindingGroup, group_findings, list_realms, name_realms
from ztrust_mail.reports.overview import OverviewFormat
from ztrust_mail.reports.overview.places import full_message, place_in_checkout, relative_path
from ztrust_mail.reports.overview.rows import Overview
from ztrust_mail.reports.style import line, plain

HEADING = "ztrust-mail annotations: "
"""The first bytes of a report, which permit a later report to overwrite it."""

MOST_SHOWN = 10
"""How many annotations of each level GitHub shows of one step."""

_LONGEST = 4_000
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "notice",
}


class GithubFormat(OverviewFormat):
    """At most ten commands of each level, the last of which counts those that are left out; then the verdict."""

    def write(self, shown: Overview) -> str:
        """Return an overview as lines for the log of a job."""
        lines = [f"{HEADING}{shown.command}", *_commands(shown)]
        verdict = [*shown.verdict, *([f"Next: {shown.next_step}"] if shown.next_step else [])]
        return "\n".join(lines) + "\n" + plain([line(one) for one in verdict])

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file begins with the heading of annotations."""
        return beginning.startswith(HEADING.encode())


FORMAT = GithubFormat()


def _commands(shown: Overview) -> Iterator[str]:
    groups = group_findings(shown.all_findings())
    for level in dict.fromkeys(_LEVELS.values()):
        several = [one for one in groups if _LEVELS[one.finding.severity] == level]
        several.sort(key=lambda one: one.finding.severity is not Severity.CRITICAL)
        more = several[MOST_SHOWN - 1 :] if len(several) > MOST_SHOWN else []
        for one in several[: len(several) - len(more)]:
            yield _command(level, one, shown)
        if more:
            yield f"::{level} title=ztrust-mail::{_escape(_count(more))}"


def _command(level: str, group: FindingGroup, shown: Overview) -> str:
    found = group.finding
    properties = {"title": f"ztrust-mail {found.rule}"}
    if place := place_in_checkout(found, shown):
        properties = {"file": relative_path(place.path), **properties}
        properties |= {"line": str(place.line)} if place.line else {}
        properties |= {"col": str(place.column)} if place.column else {}
    message = full_message(found)
    if group.more:
        message = f"{pluralise(group.more, 'more finding')} of this kind"
    if group.realms:
        message = f"{'realm ' if len(group.realms) == 1 else ''}{name_realms(group.realms)}: {message}"
    if group.places:
        message += f" (and {pluralise(group.places, 'more place')})"
    given = ",".join(f"{name}={_escape_property(value)}" for name, value in properties.items())
    return f"::{level} {given}::{_escape(message[:_LONGEST])}"


def _count(groups: Sequence[FindingGroup]) -> str:
    rules = list(dict.fromkeys(one.finding.rule for one in groups))
    number = sum(max(one.more, 1) for one in groups)
    return f"{pluralise(number, 'more finding')} ({list_realms(rules)}); a report in another format has all"


def _escape(text: str) -> str:
    """Return a text as the message of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
