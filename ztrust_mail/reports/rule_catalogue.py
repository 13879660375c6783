"""Rules as lines of text, and their catalogue: ``python -m ztrust_mail.reports.rule_catalogue > docs/rules.md``."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from ztrust_mail.core.rules import COMMANDS, GROUPS, Rule, registry
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.reports.text.findings import SEVERITY_STYLES

WIDTH = 120

_HEAD = """\
<!-- Generated from ztrust_mail/data/rules.toml. Write it anew with:
     python -m ztrust_mail.reports.rule_catalogue > docs/rules.md -->

# Rules

Every finding and every error ends with its rule in brackets, such as `[unknown-key]`; JSON reports have the id under
`rule`. Ids are stable. `ztrust-mail rule ID` prints the same text offline. The severity is the usual one; a finding may
have another. An error without an id of its own has the name of its command as its rule.
"""


def to_markdown(rules: Iterable[Rule]) -> str:
    """Return the catalogue: per group a table of ids and titles, then a section per rule."""
    groups: dict[str, list[Rule]] = {group: [] for group in GROUPS}
    for rule in rules:
        groups[rule.group].append(rule)
    parts = [_HEAD, "\n".join(f"- [{GROUPS[group]}](#{_anchor(GROUPS[group])})" for group in groups) + "\n"]
    for group, several in groups.items():
        parts += [f"## {GROUPS[group]}\n", *map(_section, several)]
    return "\n".join(parts)


def _section(rule: Rule) -> str:
    text = wrap(rule.help, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"### {rule.id}\n", f"**{rule.title}** ({rule.severity})\n", *text, ""])


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


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
                yield line(f"  {rule.id:<{width}}  ", severity, f"  {rule.title}")


def main() -> None:
    """Write the catalogue to standard output."""
    sys.stdout.write(to_markdown(rule for rule in registry().values() if rule.id not in COMMANDS))


if __name__ == "__main__":
    main()
