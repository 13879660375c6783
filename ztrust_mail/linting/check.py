"""Runs the lint rules. A problem that many realms have from one value in the defaults is one finding, at that value."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ztrust_mail.core.findings import Finding, Location
from ztrust_mail.core.text import first_and_more, pluralise
from ztrust_mail.linting.registry import RULES
from ztrust_mail.linting.rule import LintRule, Problem, RealmRule, RealmView, ServerRule, ServerView, SpecRule, SpecView
from ztrust_mail.linting.rules.relay import clear_text_login, port_security
from ztrust_mail.linting.selection import RuleSelection
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired

REALM_RULES = tuple(rule for rule in RULES.values() if isinstance(rule, RealmRule))
SPEC_RULES = tuple(rule for rule in RULES.values() if isinstance(rule, SpecRule))
SERVER_RULES = tuple(rule for rule in RULES.values() if isinstance(rule, ServerRule))
PLAN_RULES = (clear_text_login, port_security)
"""The rules that a plan repeats for each realm that it is about: who applies it may not have validated the spec."""


def find_in_spec(spec: Spec, wanted: Sequence[Desired], selection: RuleSelection) -> list[Finding]:
    """Return what the rules find in a spec; ``wanted`` are the desired settings of its entries."""
    return [*find_in_whole(spec, wanted, selection), *_find_in_entries(spec, wanted, selection)]


def find_in_whole(spec: Spec, wanted: Sequence[Desired], selection: RuleSelection) -> list[Finding]:
    """Return what the rules about a spec as a whole find."""
    view = SpecView(spec, tuple(wanted))
    rules = (rule for rule in SPEC_RULES if rule.rule in selection.rules)
    return [_finding(rule, one, one.location) for rule in rules for one in rule.check(view)]


def find_in_realm(wanted: Desired) -> Iterator[Finding]:
    """Yield what the rules of plans find in the desired settings of a realm on a server."""
    view = RealmView(wanted)
    for rule in PLAN_RULES:
        for one in rule.check(view):
            yield replace(_finding(rule, one, _place(wanted, one)), realm=wanted.realm)


def find_on_server(view: ServerView, selection: RuleSelection) -> list[Finding]:
    """Return what the rules about a server find."""
    rules = (rule for rule in SERVER_RULES if rule.rule in selection.rules)
    view = replace(view, today=selection.today, limits=selection.limits)
    return [_finding(rule, one, one.location) for rule in rules for one in rule.check(view)]


def _find_in_entries(spec: Spec, wanted: Sequence[Desired], selection: RuleSelection) -> Iterator[Finding]:
    rules = [rule for rule in REALM_RULES if rule.rule in selection.rules]
    found: dict[tuple[RealmRule, Location], tuple[Problem, dict[str, Desired]]] = {}
    enabled = [one for one in wanted if not one.disabled]
    for one in enabled:
        view = RealmView(one, selection.today, selection.limits)
        for rule in rules:
            for problem in rule.check(view):
                several = found.setdefault((rule, _place(one, problem)), (problem, {}))[1]
                several.setdefault(one.entry.name, one)  # an entry with overlays is here more than once
    shared = {setting.location for setting in spec.defaults.settings.values()}
    entries = len({one.entry.name for one in enabled})
    for (rule, place), (problem, several) in found.items():
        finding = _finding(rule, problem, place)
        yield _of_entries(finding, [*several.values()], is_default=place in shared, all=entries)


def _of_entries(finding: Finding, several: Sequence[Desired], *, is_default: bool, all: int) -> Finding:
    """Return the finding with the realm, where one has it, or with their number, where some of several have it."""
    if len(several) == 1:
        names_realm = is_default or not (finding.location and finding.location.line)
        is_realm = not (is_default and several[0].entry.is_glob)
        return replace(finding, realm=several[0].entry.name) if names_realm and is_realm else finding
    if is_default and len(several) < all:
        names = first_and_more([one.entry.name for one in several])
        message = f"{finding.message} (in {len(several):,} of {pluralise(all, 'entry', 'entries')}: {names})"
        return replace(finding, message=message)
    return finding


def _place(wanted: Desired, problem: Problem) -> Location:
    places = (wanted.origins[name] for name in problem.fields if name in wanted.origins)
    return next(places, wanted.entry.location)


def _finding(rule: LintRule, problem: Problem, place: Location | None) -> Finding:
    field = problem.fields[0] if problem.fields else None
    return Finding(rule.severity, rule.rule, problem.message, problem.hint, place, problem.realm or None, field)
