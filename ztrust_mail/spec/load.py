"""From files or a dict to a checked spec, with every problem of every file at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ztrust_mail.errors import SpecError
from ztrust_mail.findings import Finding, has_errors
from ztrust_mail.spec import rules, schema, source
from ztrust_mail.spec.bounded import FileFindings
from ztrust_mail.spec.model import NO_VERSION, Spec, build
from ztrust_mail.spec.placeholders import BAD_PLACEHOLDER
from ztrust_mail.spec.source import MAX_PROBLEMS, Document

Given = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, object]
"""A spec as callers name it: a path, several paths, or the data itself."""

_Documents = tuple[list[Document], list[Finding], tuple[str, ...]]


def load(given: Given, native_names: Mapping[str, str]) -> Spec:
    """Return the spec in files, folders or a dict.

    ``native_names`` maps the attribute names of the dialect at hand to fields.
    Raises :class:`SpecError` with all findings when any of them is an error.
    """
    spec, found, unread = _read(_documents(given), native_names)
    if not unread:  # a realm whose value is wrong fails alone; braces that are wrong are so in every realm
        found.extend(f for f in rules.realm_problems(spec) if f.rule == BAD_PLACEHOLDER)
    findings = found.in_order()
    if has_errors(findings):
        raise SpecError(findings)
    return replace(spec, warnings=tuple(findings))


def validate(given: Given, native_names: Mapping[str, str]) -> tuple[Spec, list[Finding]]:
    """Return the spec as far as it is right and everything that can be said of it without a server."""
    return _validated(_documents(given), native_names)


def validate_text(text: str, native_names: Mapping[str, str]) -> list[Finding]:
    """Return everything that can be said of a YAML text as a spec of its own without a server."""
    return _validated((*source.read_text(source.STDIN, text), ()), native_names)[1]


def _validated(read: _Documents, native_names: Mapping[str, str]) -> tuple[Spec, list[Finding]]:
    spec, found, unread = _read(read, native_names)
    problems = rules.realm_problems(spec)
    if has_errors(found):  # a field may only be missing because what was written there is wrong
        telling = {"bad-value"} if unread else {"bad-value", BAD_PLACEHOLDER}
        problems = [f for f in problems if f.rule in telling]
    found.extend(problems)
    return spec, found.in_order()


def _read(read: _Documents, native_names: Mapping[str, str]) -> tuple[Spec, FileFindings, bool]:
    """Return the spec, what is wrong with its form, and whether a part of it could not be read."""
    documents, unreadable, folders = read
    found = FileFindings()
    found.extend(unreadable)
    unread = bool(unreadable)
    checked = []
    for document in documents:
        value, problems = schema.check(document, native_names)
        found.extend(problems)
        if len(problems) > MAX_PROBLEMS:  # nobody knows which parts are right
            unread = True
        else:
            checked.append((document, value))
    spec, in_whole = build(checked, native_names)
    spec = replace(spec, digests={document.path: document.digest for document in documents}, folders=folders)
    found.extend(f for f in in_whole if not (unread and f.rule == NO_VERSION))
    if not has_errors(found):
        found.extend(rules.lint(spec))
    return spec, found, unread


def _documents(given: Given) -> _Documents:
    if isinstance(given, Mapping):
        document, findings = source.from_dict(given)
        return [document], findings, ()
    paths = [os.fspath(path) for path in ([given] if isinstance(given, str | os.PathLike) else given)]
    return *source.read_specs(paths), tuple(path for path in paths if path != source.STDIN and os.path.isdir(path))
