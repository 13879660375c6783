"""Loads and validates a spec from files or a dict, and reports all problems of all files at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ztrust_mail.core.errors import SpecError
from ztrust_mail.core.files import STDIN
from ztrust_mail.core.findings import MAX_PROBLEMS, FileFindings, Finding, has_errors
from ztrust_mail.specfile import lint, schema
from ztrust_mail.specfile.entries import NO_VERSION, Spec, build
from ztrust_mail.specfile.placeholders import BAD_PLACEHOLDER
from ztrust_mail.specfile.readers.document import Document
from ztrust_mail.specfile.readers.read import from_dict, read_specs, read_text

Given = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, object]
"""A spec as callers give it: a path, several paths, or the data itself."""

_Documents = tuple[list[Document], list[Finding], tuple[str, ...]]


def load(given: Given, native_names: Mapping[str, str]) -> Spec:
    """Return the spec in files, folders or a dict.

    ``native_names`` maps the attribute names of the dialect at hand to fields.
    Raises :class:`SpecError` with all findings when any of them is an error.
    """
    spec, found, unread = _read(_documents(given), native_names)
    if not unread:  # a bad value fails its realm only; a bad placeholder fails in every realm
        found.extend(f for f in lint.realm_problems(spec) if f.rule == BAD_PLACEHOLDER)
    findings = found.in_order()
    if has_errors(findings):
        raise SpecError(findings)
    return replace(spec, warnings=tuple(findings))


def validate(given: Given, native_names: Mapping[str, str]) -> tuple[Spec, list[Finding]]:
    """Return the valid parts of the spec and all findings that need no server."""
    return _validate(_documents(given), native_names)


def validate_text(text: str, native_names: Mapping[str, str]) -> list[Finding]:
    """Return all findings on a YAML text as a spec of its own that need no server."""
    return _validate((*read_text(STDIN, text), ()), native_names)[1]


def _validate(read: _Documents, native_names: Mapping[str, str]) -> tuple[Spec, list[Finding]]:
    spec, found, unread = _read(read, native_names)
    problems = lint.realm_problems(spec)
    if has_errors(found):  # a field may be missing only because its value is invalid
        reliable = {"bad-value"} if unread else {"bad-value", BAD_PLACEHOLDER}
        problems = [f for f in problems if f.rule in reliable]
    found.extend(problems)
    return spec, found.in_order()


def _read(read: _Documents, native_names: Mapping[str, str]) -> tuple[Spec, FileFindings, bool]:
    """Return the spec, the findings on its form, and whether a part of it could not be read."""
    documents, unreadable, folders = read
    found = FileFindings()
    found.extend(unreadable)
    unread = has_errors(unreadable)
    checked = []
    for document in documents:
        value, problems = schema.check(document, native_names)
        found.extend(problems)
        if len(problems) > MAX_PROBLEMS:  # which parts are right is unknown
            unread = True
        else:
            checked.append((document, value))
    spec, in_whole = build(checked, native_names)
    spec = replace(spec, digests={document.path: document.digest for document in documents}, folders=folders)
    found.extend(f for f in in_whole if not (unread and f.rule == NO_VERSION))
    if not has_errors(found):
        found.extend(lint.lint(spec))
    return spec, found, unread


def _documents(given: Given) -> _Documents:
    if isinstance(given, Mapping):
        document, findings = from_dict(given)
        return [document], findings, ()
    paths = [os.fspath(path) for path in ([given] if isinstance(given, str | os.PathLike) else given)]
    return *read_specs(paths), tuple(path for path in paths if path != STDIN and os.path.isdir(path))
