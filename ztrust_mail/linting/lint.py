"""Runs the lint rules on specs and servers, and applies comments such as ``# ztrust-mail: ignore[port-25]``.

A problem that many realms have from one value in the defaults is one finding, at that value.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ztrust_mail.core.findings import Finding, Location
from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.linting.rule import LintRule, Problem, RealmRule, RealmView, ServerRule, ServerView, SpecRule, SpecView
from ztrust_mail.linting.rules import RULES, UNUSED
from ztrust_mail.linting.rules.relay import clear_text_login, port_security
from ztrust_mail.linting.rules.spec import note_not_inherited
from ztrust_mail.linting.selection import LintOptions, RuleSelection, choose_rules, explain_unknown
from ztrust_mail.specfile import load
from ztrust_mail.specfile.entries import InlineIgnore, Spec, Target
from ztrust_mail.specfile.load import Given
from ztrust_mail.specfile.problems import NO_TEXTS, Texts
from ztrust_mail.specfile.resolve import Desired

REALM_RULES = tuple(rule for rule in RULES.values() if isinstance(rule, RealmRule))
SPEC_RULES = tuple(rule for rule in RULES.values() if isinstance(rule, SpecRule))
SERVER_RULES = tuple(rule for rule in RULES.values() if isinstance(rule, ServerRule))
PLAN_RULES = (clear_text_login, port_security)
"""The rules that a plan repeats for each realm that it is about: who applies it may not have validated the spec."""


def find_in_spec(spec: Spec, wanted: Sequence[Desired], selection: RuleSelection) -> list[Finding]:
    """Return the findings of the rules in a spec; ``wanted`` are the desired settings of its entries."""
    return [*find_in_whole(spec, wanted, selection), *_find_in_entries(spec, wanted, selection)]


def find_in_whole(spec: Spec, wanted: Sequence[Desired], selection: RuleSelection) -> list[Finding]:
    """Return the findings of the rules about a spec as a whole."""
    view = SpecView(spec, tuple(wanted))
    rules = (rule for rule in SPEC_RULES if rule.rule in selection.rules)
    return [_finding(rule, one, one.location) for rule in rules for one in rule.check(view)]


def find_in_realm(wanted: Desired) -> Iterator[Finding]:
    """Yield the findings of the rules for plans in the desired settings of a realm on a server."""
    view = RealmView(wanted)
    for rule in PLAN_RULES:
        for one in rule.check(view):
            yield replace(_finding(rule, one, _place(wanted, one)), realm=wanted.realm)


def find_on_server(view: ServerView, selection: RuleSelection) -> list[Finding]:
    """Return the findings of the rules about a server."""
    rules = (rule for rule in SERVER_RULES if rule.rule in selection.rules)
    view = replace(view, today=selection.today, limits=selection.limits)
    return [_finding(rule, one, one.location) for rule in rules for one in rule.check(view)]


def drop_ignored(
    found: Iterable[Finding], ignores: Sequence[InlineIgnore]
) -> tuple[list[Finding], frozenset[InlineIgnore]]:
    """Return the findings that no comment in their line ignores, and the comments that ignored one.

    Errors of correctness cannot be ignored.
    """
    if not ignores:
        return list(found), frozenset()
    by_line = {(one.location.path, one.location.line, one.rule): one for one in ignores}
    kept, used = [], set()
    for finding in found:
        where = finding.location
        ignore = by_line.get((where.path, where.line, finding.rule)) if where else None
        if ignore and finding.rule in RULES:
            used.add(ignore)
        else:
            kept.append(finding)
    return kept, frozenset(used)


def find_unused(
    ignores: Iterable[InlineIgnore], used: frozenset[InlineIgnore], selection: RuleSelection, *, with_server: bool
) -> Iterator[Finding]:
    """Yield a warning for each comment that ignores nothing. One for a rule that was not run is not judged."""
    if UNUSED.rule not in selection.rules:
        return
    not_run = frozenset() if with_server else {rule.rule for rule in SERVER_RULES}
    for one in ignores:
        if one in used or (one.rule in RULES and (one.rule not in selection.rules or one.rule in not_run)):
            continue
        message, hint = f"no finding {quoted(one.rule)} in this line", "remove the comment"
        if one.rule not in RULES:
            message, hint = explain_unknown(one.rule, f"lint rule {quoted(one.rule)}")
        yield Finding(UNUSED.severity, UNUSED.rule, message, hint, one.location)


def load_spec(given: Given, native_names: Mapping[str, str], texts: Texts = NO_TEXTS) -> Spec:
    """Return the spec in files, folders or a dict. Raises :class:`SpecError`, as :func:`load.load` does."""
    loaded = load.load(given, native_names, texts)
    found, _ = drop_ignored(find_in_whole(loaded.spec, (), choose_rules(LintOptions())), loaded.spec.ignores)
    return replace(loaded.spec, warnings=tuple(loaded.findings(found)))


def fit_spec(spec: Spec, target: Target) -> Spec:
    """Return the spec as resolved for one server. Raises :class:`SpecError`, like :func:`load.fit`."""
    fitted = load.fit(spec, target)
    notes = note_not_inherited(fitted, [entry for entry in fitted.entries if entry.limit])
    found, _ = drop_ignored(dict.fromkeys((*fitted.warnings, *notes)), spec.ignores)
    return replace(fitted, warnings=tuple(found))


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
    """Return the finding with its realm if only one has it, or with their number if several do."""
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
