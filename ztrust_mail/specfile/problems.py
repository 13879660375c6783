"""Finds problems in the entries of a spec after merging levels and replacing placeholders."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ztrust_mail.core.findings import FileFindings, Finding, Location, warning
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.specfile.entries import Entry, Spec, Variable
from ztrust_mail.specfile.placeholders import BAD_PLACEHOLDER, SERVER, placeholders_of
from ztrust_mail.specfile.resolve import Desired, merge, resolve_entry
from ztrust_mail.specfile.stages import placeholders_used

SAMPLE_REALM = "x"
"""The name used for the realms of a glob, which are unknown offline."""


@dataclass(frozen=True)
class Texts:
    """Values of placeholders from outside the spec's files.

    ``given`` are those of options. ``of_servers`` returns the names of variables that servers in the settings have; it
    is called if the spec uses an otherwise unknown name.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    of_servers: Callable[[], Collection[str]] = tuple


NO_TEXTS = Texts()


def check_any_server(spec: Spec, texts: Texts) -> tuple[Spec, Sequence[Finding], tuple[Desired, ...]]:
    """Return the spec with the placeholders that only a server has a text for, and what :func:`check_entries` does."""
    late = frozenset(name for entry in spec.written if entry.limit for name in entry.variables)
    spec = replace(spec, late=late)
    problems, wanted = check_entries(spec)
    if any(f.rule == BAD_PLACEHOLDER for f in problems) and (names := texts.of_servers()):
        spec = replace(spec, late=late | frozenset(names))
        problems, wanted = check_entries(spec)
    return spec, problems, wanted


def check_entries(spec: Spec) -> tuple[list[Finding], tuple[Desired, ...]]:
    """Return the errors of all entries, and the desired settings of each entry without errors.

    A glob stands for a realm with a sample name. If the spec is not fitted to a server, the entries of all servers are
    checked, with samples for values that only a server has.
    """
    found: dict[Finding, list[Entry]] = {}
    bound, usable = FileFindings(), []
    sample = spec if spec.target else _for_any_server(spec)
    for entry in sample.entries:
        result = resolve_entry(sample, entry, SAMPLE_REALM if entry.is_glob else entry.name)
        if not result.findings:
            usable.append(result)
        for finding in _drop_sample_names(spec, entry, result.findings):
            placed = finding.location is not None and finding.location.line
            finding = replace(finding, realm=None if placed else entry.name)
            if bound.add(finding):
                found.setdefault(finding, []).append(entry)
    defaults = {setting.location for setting in spec.defaults.settings.values()}
    problems = [
        replace(finding, realm=finding.realm or (_only_realm(entries) if finding.location in defaults else None))
        for finding, entries in found.items()
    ]
    return problems, tuple(usable)


def keep_reliable(problems: Iterable[Finding], *, unread: bool = False) -> list[Finding]:
    """Return the problems of entries that count besides others: a field may be missing because its value is bad."""
    reliable = {"bad-value"} if unread else {"bad-value", BAD_PLACEHOLDER}
    return [f for f in problems if f.rule in reliable]


def find_unused_texts(spec: Spec) -> Iterator[Finding]:
    """Yield a warning for each variable of an option that no value of the spec uses."""
    used = placeholders_used(spec.written) if spec.given else frozenset()
    for name in spec.given:
        if name not in used:
            message = f"--var {name} is not used: no value of the spec has the placeholder {quoted('{' + name + '}')}"
            hint = did_you_mean(name, used) or "leave it out, or use it in the spec"
            yield warning("unused-variable", message, hint)


def _for_any_server(spec: Spec) -> Spec:
    """Return the spec with the entries of all servers, and a sample text for what only a server knows."""
    where = spec.defaults.location
    known = {name: Variable(SAMPLE_REALM, where) for name in (*spec.late, SERVER)}
    defaults = replace(spec.defaults, variables={**known, **spec.defaults.variables})
    if not spec.is_limited:
        return replace(spec, defaults=defaults)
    bases = [entry for entry in spec.written if entry.name and not entry.is_overlay]
    by_name: dict[str, list[Entry]] = {}
    for entry in bases:
        by_name.setdefault(entry.name, []).append(entry)
    refined = [
        replace(base, settings=merge(base.settings, one.settings), variables={**base.variables, **one.variables})
        for one in spec.written
        if one.is_overlay and not one.disabled
        for base in by_name.get(one.name, ())
        if not base.disabled
    ]
    return replace(spec, defaults=defaults, entries=(*bases, *refined))


def _only_realm(entries: list[Entry]) -> str | None:
    """Return the realm to name for a problem with a value in the defaults, None if several have it."""
    return entries[0].name if len(entries) == 1 and not entries[0].is_glob else None


def _drop_sample_names(spec: Spec, entry: Entry, findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield the findings, except on values with a sample text, which proves nothing.

    A sample stands for the name of a glob's realm, and for values that only a server has. If a part of the spec is for
    certain servers, that part may have a field that is missing here.
    """
    by_name: set[Location] = set()
    samples = {*(("realm", "realm.slug") if entry.is_glob else ()), *(() if spec.target else (SERVER, *spec.late))}
    if samples and findings:
        settings = (*spec.defaults.settings.values(), *entry.settings.values())
        by_name = {one.location for one in settings if not samples.isdisjoint(placeholders_of(one.value))}
    unsure = "missing-field" if spec.is_limited and not spec.target else ""
    return (f for f in findings if f.rule != unsure and not (f.rule == "bad-value" and f.location in by_name))
