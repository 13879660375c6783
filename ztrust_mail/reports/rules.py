"""Rules as text for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.rules import GROUPS, Rule
from ztrust_mail.reports.plan import SEVERITY_STYLES
from ztrust_mail.reports.report import Report
from ztrust_mail.reports.style import Line, Span, line


def explained(found: Rule) -> Iterator[Line]:
    """Yield a rule with its severity, title and help."""
    yield line(Span(found.id, "bold"), "  ", Span(found.severity.value, SEVERITY_STYLES[found.severity]))
    yield line(f"  {found.title}")
    yield line()
    for one in wrap(found.help, 78, break_long_words=False, break_on_hyphens=False):
        yield line(f"  {one}")


def listed(rules: Sequence[Rule]) -> Iterator[Line]:
    """Yield the rules by group, a line for each."""
    width = max(len(rule.id) for rule in rules)
    for group, heading in GROUPS.items():
        yield line(Span(heading, "bold"))
        for rule in rules:
            if rule.group == group:
                yield line(
                    f"  {rule.id:<{width}}  ",
                    Span(f"{rule.severity:<8}", SEVERITY_STYLES[rule.severity]),
                    f"  {rule.title}",
                )


def report(rules: Sequence[Rule]) -> Report:
    """Report rules."""
    rows = [
        {"id": one.id, "group": one.group, "severity": one.severity.value, "title": one.title, "help": one.help}
        for one in rules
    ]
    return Report("rule", ExitStatus.OK, more={"rules": rows})
