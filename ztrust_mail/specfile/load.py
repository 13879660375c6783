"""From files or a dict to a checked spec, with every problem of every file at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ztrust_mail.core import files
from ztrust_mail.core.data import of_json
from ztrust_mail.core.errors import SpecError
from ztrust_mail.core.findings import MAX_PROBLEMS, FileFindings, Finding, has_errors
from ztrust_mail.specfile import lint, schema
from ztrust_mail.specfile.entries import NO_VERSION, Spec, build
from ztrust_mail.specfile.placeholders import BAD_PLACEHOLDER
from ztrust_mail.specfile.readers import document as source
from ztrust_mail.specfile.readers.document import Document, _Reader


def read_specs(paths: Sequence[str]) -> tuple[list[Document], list[Finding]]:
    """Return the documents in files, folders and ``-`` (YAML on standard input), and every problem.

    A folder is read with all below it, sorted, without names that start with a dot. The same file given
    twice is read once. A file with a problem gives findings and no document; nothing is raised.
    """
    reader = _Reader()
    for path in paths:
        reader.read(os.fspath(path))
    return reader.documents, reader.findings


def from_dict(data: Mapping[str, object], base: str = ".") -> tuple[Document, list[Finding]]:
    """Return a dict as a document without lines, and findings for what in it is no JSON data and left out.

    ``base`` is the folder that relative secret files start from.
    """
    from ztrust_mail.specfile.readers.json import plain

    value, findings = plain(data, "<dict>")
    return Document("<dict>", os.path.realpath(base), value, digest=of_json(value)), findings


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
        found.extend(f for f in lint.realm_problems(spec) if f.rule == BAD_PLACEHOLDER)
    findings = found.in_order()
    if has_errors(findings):
        raise SpecError(findings)
    return replace(spec, warnings=tuple(findings))


def validate(given: Given, native_names: Mapping[str, str]) -> tuple[Spec, list[Finding]]:
    """Return the spec as far as it is right and everything that can be said of it without a server."""
    return _validated(_documents(given), native_names)


def validate_text(text: str, native_names: Mapping[str, str]) -> list[Finding]:
    """Return everything that can be said of a YAML text as a spec of its own without a server."""
    return _validated((*source.read_text(files.STDIN, text), ()), native_names)[1]


def _validated(read: _Documents, native_names: Mapping[str, str]) -> tuple[Spec, list[Finding]]:
    spec, found, unread = _read(read, native_names)
    problems = lint.realm_problems(spec)
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
        found.extend(lint.lint(spec))
    return spec, found, unread


def _documents(given: Given) -> _Documents:
    if isinstance(given, Mapping):
        document, findings = from_dict(given)
        return [document], findings, ()
    paths = [os.fspath(path) for path in ([given] if isinstance(given, str | os.PathLike) else given)]
    return *read_specs(paths), tuple(path for path in paths if path != files.STDIN and os.path.isdir(path))
