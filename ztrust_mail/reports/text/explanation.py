"""A realm's resolved settings and the meaning of rules, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from ztrust_mail.core.rules import GROUPS, Rule
from ztrust_mail.model.serialize import display_short
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.reports.text.findings import SEVERITY_STYLES
from ztrust_mail.specfile.resolve import Desired


def explanation_lines(wanted: Desired) -> Iterator[Line]:
    """Yield a realm's settings, each with the file and line that it comes from."""
    entry = wanted.entry
    yield line(Span(wanted.realm, "bold"), f"  uses entry {entry.name} ({entry.location})")
    if wanted.disabled:
        yield line("  no e-mail at all: the entry is disabled")
    elif not wanted.fields and not wanted.findings:
        yield line("  not set")
    values = {name: display_short(value) for name, value in wanted.fields.items()}
    names, texts = max(map(len, values), default=0), min(max(map(len, values.values()), default=0), 36)
    for name, text in values.items():
        origin = wanted.origins.get(name)
        yield line(f"  {name:<{names}}  {text:<{texts}}  ", Span(str(origin) if origin else "by default", "dim"))


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
                yield line(
                    f"  {rule.id:<{width}}  ",
                    Span(f"{rule.severity:<8}", SEVERITY_STYLES[rule.severity]),
                    f"  {rule.title}",
                )
