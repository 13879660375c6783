"""From files or a dict to a checked spec, with every problem of every file at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ztrust_mail.errors import SpecError
from ztrust_mail.findings import Finding, has_errors
from ztrust_mail.spec import rules, schema, source
from ztrust_mail.spec.model import Spec, build
from ztrust_mail.spec.source import Document

Given = str | Sequence[str] | Mapping[str, object]
"""A spec as callers name it: a path, several paths, or the data itself."""


def load(given: Given, native_names: Mapping[str, str]) -> Spec:
    """Return the spec in files, folders or a dict.

    ``native_names`` maps the attribute names of the dialect at hand to fields.
    Raises :class:`SpecError` with all findings when any of them is an error.
    """
    spec, findings = _read(given, native_names)
    if has_errors(findings):
        raise SpecError(findings)
    return replace(spec, warnings=tuple(findings))


def validate(given: Given, native_names: Mapping[str, str]) -> tuple[Spec, list[Finding]]:
    """Return the spec as far as it is right and everything that can be said of it without a server."""
    spec, findings = _read(given, native_names)
    problems = rules.realm_problems(spec)
    if has_errors(findings):  # a field may only be missing because what was written there is wrong
        problems = [f for f in problems if f.rule == "bad-value" and f not in findings]
    return spec, [*findings, *problems]


def _read(given: Given, native_names: Mapping[str, str]) -> tuple[Spec, list[Finding]]:
    documents, findings = _documents(given)
    checked = []
    for document in documents:
        value, problems = schema.check(document, native_names)
        findings.extend(problems)
        if isinstance(value, dict):
            checked.append((document, value))
    spec, problems = build(checked, native_names)
    findings.extend(problems)
    if not has_errors(findings):
        findings.extend(rules.lint(spec))
    return spec, findings


def _documents(given: Given) -> tuple[list[Document], list[Finding]]:
    if isinstance(given, Mapping):
        document, findings = source.from_dict(given)
        return [document], findings
    return source.read_specs([given] if isinstance(given, str) else list(given))
