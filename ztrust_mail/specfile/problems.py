"""Finds what is wrong with the entries of a spec after their levels are merged and placeholders replaced."""

from collections.abc import Iterator
from dataclasses import replace

from ztrust_mail.core.findings import FileFindings, Finding, Location
from ztrust_mail.specfile import placeholders
from ztrust_mail.specfile.entries import Entry, Spec
from ztrust_mail.specfile.resolve import Desired, resolve_entry

SAMPLE_REALM = "x"
"""The name used for the realms of a glob, which are unknown offline."""


def check_entries(spec: Spec) -> tuple[list[Finding], tuple[Desired, ...]]:
    """Return the errors of all entries, and what each entry without errors wants.

    A glob stands for a realm with a sample name.
    """
    found: dict[Finding, list[Entry]] = {}
    bound, usable = FileFindings(), []
    for entry in spec.entries:
        result = resolve_entry(spec, entry, SAMPLE_REALM if entry.is_glob else entry.name)
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


def _only_realm(entries: list[Entry]) -> str | None:
    """Return the realm to name for a problem with a value in the defaults, None if several have it."""
    return entries[0].name if len(entries) == 1 and not entries[0].is_glob else None


def _drop_sample_names(spec: Spec, entry: Entry, findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield the findings, except on a glob's values that contain the realm's name: a sample name proves nothing."""
    by_name: set[Location] = set()
    if entry.is_glob and findings:
        settings = (*spec.defaults.settings.values(), *entry.settings.values())
        by_name = {setting.location for setting in settings if _uses_realm(str(setting.value))}
    return (f for f in findings if not (f.rule == "bad-value" and f.location in by_name))


def _uses_realm(text: str) -> bool:
    return any(name in ("realm", "realm.slug") for name in placeholders.names_in(text))
