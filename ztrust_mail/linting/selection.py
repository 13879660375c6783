"""Which lint rules count: those that are on, or those selected, without those ignored."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.linting.rules import RULES
from ztrust_mail.settings.file import DayLimits, LintSettings

ALL, DEFAULT = "all", "default"


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class LintOptions:
    """The rules and groups that a caller selects and ignores, and the date for date-based rules.

    ``select`` overrides that of the settings, ``ignore`` adds to it. ``all`` and ``default`` are valid too.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    today: date = field(default_factory=_today)


@dataclass(frozen=True)
class RuleSelection:
    """The ids of the rules that count, the day, and the limits of rules with a date."""

    rules: frozenset[str]
    today: date
    limits: DayLimits = field(default_factory=DayLimits)

    def keeps(self, finding: Finding) -> bool:
        """Tell whether a finding counts: it belongs to no lint rule, or to an active one."""
        return finding.rule not in RULES or finding.rule in self.rules


def choose_rules(options: LintOptions, settings: LintSettings = LintSettings()) -> RuleSelection:  # noqa: B008
    """Return the rules that count. Raises :class:`UsageError` for a word that names no lint rule."""
    usual = frozenset(rule.rule for rule in RULES.values() if rule.on)
    selected = _rules(options.select or settings.select, "select", usual) or usual
    ignored = _rules((*settings.ignore, *options.ignore), "ignore", usual)
    return RuleSelection(selected - ignored, options.today, settings.limits)


def _rules(words: Iterable[str], option: str, usual: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    for word in (part.strip().removeprefix("[").removesuffix("]") for text in words for part in text.split(",")):
        if not word:
            continue
        meaning = {ALL: frozenset(RULES), DEFAULT: usual}.get(word) or _groups().get(word)
        if not meaning:
            raise UsageError(*explain_unknown(word, f"lint rule or group {quoted(word)} in {option}"))
        found |= meaning
    return frozenset(found)


def explain_unknown(word: str, what: str) -> tuple[str, str]:
    """Return the problem with a word that names no lint rule, and the next step."""
    from ztrust_mail.core.rules import registry

    if word in registry():
        return f"{quoted(word)} is not a lint rule, so it cannot be selected or ignored", "fix what it reports"
    return f"unknown {what}", did_you_mean(word, (*RULES, *_groups())) or "all rules: ztrust-mail rule"


def _groups() -> Mapping[str, frozenset[str]]:
    """Return the lint rules by id and by the group that the registry of all rules has them in."""
    from ztrust_mail.core.rules import registry

    found: dict[str, frozenset[str]] = {name: frozenset({name}) for name in RULES}
    for name in RULES:
        group = registry()[name].group
        found[group] = found.get(group, frozenset()) | {name}
    return found
