"""Rules as lines of text."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from ztrust_mail.core.rules import GROUPS, Rule
from ztrust_mail.reports.style import HANG, Line, Span, line
from ztrust_mail.reports.text.findings import SEVERITY_STYLES


def rule_lines(found: Rule) -> Iterator[Line]:
    """Yield a rule with its severity, title and help."""
    yield line(Span(found.id, "bold"), "  ", Span(found.severity.value, SEVERITY_STYLES[found.severity]))
    yield line(f"  {found.title}")
    yield line()
    for one in wrap(found.help, 78, break_long_words=False, break_on_hyphens=False):
        yield line(f"  {one}")


def rule_table(rules: Sequence[Rule]) -> Iterator[Line]:
    """Yield the rules by group, a line for each."""
    width = max(len(rule.id) for rule in rules)
    for group, heading in GROUPS.items():
        yield line(Span(heading, "bold"))
        for rule in rules:
            if rule.group == group:
                severity = Span(f"{rule.severity:<8}", SEVERITY_STYLES[rule.severity])
                yield line(f"  {rule.id:<{width}}  ", severity, "  ", Span("", HANG), rule.title)
