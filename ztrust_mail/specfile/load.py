"""Loads and validates a spec from files, folders or a dict, and reports all problems of all files at once.

The name of a file determines its language.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

from ztrust_mail.core.data import of_bytes, of_json
from ztrust_mail.core.errors import SpecError
from ztrust_mail.core.files import FILE_PROBLEMS, STDIN, SUFFIXES, file_bytes, files_in
from ztrust_mail.core.findings import MAX_PROBLEMS, FileFindings, Finding, Location, error, has_errors, warning
from ztrust_mail.settings import FILE_NAME as SETTINGS_NAME
from ztrust_mail.specfile import schema
from ztrust_mail.specfile.build import NO_VERSION, build, find_ignores
from ztrust_mail.specfile.entries import Spec, Target, Variable
from ztrust_mail.specfile.placeholders import BAD_PLACEHOLDER, SERVER
from ztrust_mail.specfile.problems import (
    NO_TEXTS,
    Texts,
    check_any_server,
    check_entries,
    find_unused_texts,
    keep_reliable,
)
from ztrust_mail.specfile.readers.document import START, Broken, Document, Parsed, SourceText, decode
from ztrust_mail.specfile.readers.excerpts import attach_excerpts
from ztrust_mail.specfile.resolve import Desired
from ztrust_mail.specfile.stages import check_stages, fit_to_server, placeholders_used

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class SpecFiles:
    """The data of spec files by path, without comments: a spec on its way to another machine.

    Relative secret files start from ``folder`` there.
    """

    files: Mapping[str, Mapping[str, object]]
    folder: str = "."


Given = Paths | Mapping[str, object] | SpecFiles
"""A spec as callers give it: a path, several paths, the data itself, or the data of files."""

_Documents = tuple[list[Document], list[Finding], tuple[str, ...]]


@dataclass(frozen=True)
class Validation:
    """The valid parts of a spec, the desired settings of each entry without errors, and the problems of the spec.

    ``form`` has the problems of its files, ``problems`` these and those of its entries. ``has_valid_form`` means that
    every file is readable and has the right form, so that a missing field is really missing.
    """

    spec: Spec
    wanted: tuple[Desired, ...]
    form: FileFindings
    problems: FileFindings
    has_valid_form: bool
    documents: tuple[Document, ...]

    def findings(self, more: Iterable[Finding] = (), *, without: Collection[str] = ()) -> list[Finding]:
        """Return all findings in order, ``without`` the problems of some rules, and with ``more`` among them."""
        found = _join((one for one in self.problems if one.rule not in without), more)
        return _add_excerpts(found.in_order(), self.documents)

    def with_problems(self, more: Iterable[Finding]) -> "Validation":
        """Return the same with more problems of its form."""
        more = tuple(more)
        return replace(self, form=_join(self.form, more), problems=_join(self.problems, more))

    def fit_to(self, target: Target) -> "Validation":
        """Return the validation for one server; unchanged if a file has the wrong form."""
        if not self.has_valid_form:
            return self
        spec, in_stage = fit_to_server(self.spec, target)
        problems, wanted = check_entries(spec)
        is_valid = not has_errors(in_stage)
        found = _join(self.form, in_stage, problems if is_valid else keep_reliable(problems))
        return replace(self, spec=spec, wanted=wanted, problems=found, has_valid_form=is_valid)


def load(given: Given, native_names: Mapping[str, str], texts: Texts = NO_TEXTS) -> Validation:
    """Return the spec in files, folders or a dict, with its warnings as problems.

    ``native_names`` maps the attribute names of the dialect at hand to fields.
    Raises :class:`SpecError` with all findings when any of them is an error.
    """
    read = _documents(given)
    spec, form, unread = _read(read, native_names, texts)
    spec, problems, wanted = (spec, (), ()) if unread else check_any_server(spec, texts)
    found = _join(form, (f for f in problems if f.rule == BAD_PLACEHOLDER))  # a bad value fails its realm only
    loaded = Validation(spec, wanted, form, found, True, tuple(read[0]))
    if has_errors(found):
        raise SpecError(loaded.findings())
    return loaded


def validate(given: Given, native_names: Mapping[str, str], texts: Texts = NO_TEXTS) -> Validation:
    """Return the valid parts of the spec, and all its problems of correctness; offline."""
    return _validate(_documents(given), native_names, texts)


def validate_text(text: str, native_names: Mapping[str, str]) -> list[Finding]:
    """Return all problems of correctness of a YAML text as a complete spec."""
    return _validate((*read_text(STDIN, text), ()), native_names, NO_TEXTS).findings()


def _validate(read: _Documents, native_names: Mapping[str, str], texts: Texts) -> Validation:
    spec, form, unread = _read(read, native_names, texts)
    spec, problems, wanted = check_any_server(spec, texts)
    has_valid_form = not has_errors(form)
    if not has_valid_form:
        problems = keep_reliable(problems, unread=unread)
    return Validation(spec, wanted, form, _join(form, problems), has_valid_form, tuple(read[0]))


def fit(spec: Spec, target: Target) -> Spec:
    """Return the spec as resolved for one server. Raises :class:`SpecError` if a placeholder has no value there."""
    fitted, found = fit_to_server(spec, target)
    if spec.late or spec.is_limited or SERVER in placeholders_used(spec.written):
        found.extend(f for f in check_entries(fitted)[0] if f.rule == BAD_PLACEHOLDER)
    findings = found.in_order()
    if has_errors(findings):
        raise SpecError(findings)
    return replace(fitted, warnings=tuple(dict.fromkeys((*spec.warnings, *findings))))


def _join(*several: Iterable[Finding]) -> FileFindings:
    found = FileFindings()
    for findings in several:
        found.extend(findings)
    return found


def _add_excerpts(findings: list[Finding], documents: Iterable[Document]) -> list[Finding]:
    named = {found.location.path for found in findings if found.location}
    for document in documents:
        if document.source and document.path in named:
            findings = attach_excerpts(findings, document.source, (document.value, document.root))
    return findings


def _read(read: _Documents, native_names: Mapping[str, str], texts: Texts) -> tuple[Spec, FileFindings, bool]:
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
    digests = {document.path: document.digest for document in documents}
    given = {name: Variable(text, Location(""), "--var") for name, text in texts.given.items()}
    ignores = tuple(find_ignores(documents))
    spec = replace(spec, digests=digests, folders=folders, ignores=ignores, given=given)
    found.extend(check_stages(spec))
    found.extend(f for f in in_whole if not (unread and f.rule == NO_VERSION))
    if not has_errors(found):
        found.extend(find_unused_texts(spec))
    return spec, found, unread


def read_data(given: Given) -> dict[str, Mapping[str, object]]:
    """Return the data of each file of a spec by its path. Raises :class:`SpecError` if one cannot be read."""
    documents, findings, _ = _documents(given)
    if has_errors(findings):
        raise SpecError(findings)
    return {document.path: cast("Mapping[str, object]", document.value) for document in documents}


def _documents(given: Given) -> _Documents:
    if isinstance(given, SpecFiles):
        read = [from_dict(data, given.folder, path) for path, data in given.files.items()]
        return [document for document, _ in read], [one for _, findings in read for one in findings], ()
    if isinstance(given, Mapping):
        document, findings = from_dict(given)
        return [document], findings, ()
    paths = [os.fspath(path) for path in ([given] if isinstance(given, str | os.PathLike) else given)]
    return *read_specs(paths), tuple(path for path in paths if path != STDIN and os.path.isdir(path))


_NAMES = f"the name of a spec ends in {', '.join(SUFFIXES)}"
_REFUSED = {
    **FILE_PROBLEMS,
    "empty-folder": ("there is no spec file in this folder", _NAMES),
    "unknown-file-type": ("the file's name does not tell whether it is YAML or JSON", _NAMES),
}
_TOML = ".toml"
_TOML_HINT = "specs are YAML or JSON: write the spec as YAML; a settings file is given with --config"


def read_specs(paths: Sequence[str]) -> tuple[list[Document], list[Finding]]:
    """Return the documents in files, folders and ``-`` (YAML on standard input), and every problem.

    A folder is read with all folders below it, sorted, without names that start with a dot. The same file given
    twice is read once. A file with a problem gives findings and no document; nothing is raised. A TOML file in a folder
    is ignored, with a warning unless its name is that of the settings.
    """
    reader = _SpecReader()
    for path in paths:
        reader.read(os.fspath(path))
    return reader.documents, reader.findings


def read_text(path: str, text: str, folder: str = "", digest: str = "") -> tuple[list[Document], list[Finding]]:
    """Return the document in a text, or none and every problem.

    The suffix of ``path`` determines the language; ``-`` is YAML.
    """
    source = SourceText(path, text)
    documents = []
    with suppress(Broken):
        source.check_characters()
        value, root = parse(source)
        if not isinstance(value, dict):
            source.problem("not-a-mapping", root[1], "a spec is a mapping of keys to values", START)
        elif not source.findings:
            documents.append(Document(path, folder, value, root, source, digest))
        return documents, attach_excerpts(source.findings, source, (value, root))
    return documents, source.findings


def from_dict(data: Mapping[str, object], base: str = ".", path: str = "<dict>") -> tuple[Document, list[Finding]]:
    """Return a dict as a document without lines, and findings for the parts left out as they are not JSON data.

    Relative secret files start from the folder ``base``.
    """
    from ztrust_mail.specfile.readers.json import to_plain  # most specs are files in YAML

    value, findings = to_plain(data, path)
    return Document(path, os.path.realpath(base), value, digest=of_json(value)), findings


def parse(source: SourceText) -> Parsed:
    """Return the value and the places of a text in the language that its path tells. Raises :class:`Broken`."""
    return _PARSERS.get(os.path.splitext(source.path)[1].lower(), _parse_yaml)(source)


def _parse_json(source: SourceText) -> Parsed:
    from ztrust_mail.specfile.readers import json

    return json.parse(source)


def _parse_yaml(source: SourceText) -> Parsed:
    from ztrust_mail.specfile.readers import yaml  # loads PyYAML, which JSON does not need

    return yaml.parse(source)


_PARSERS: Mapping[str, Callable[[SourceText], Parsed]] = {
    ".json": _parse_json,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
}


class _SpecReader:
    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.findings: list[Finding] = []
        self._seen: set[str] = set()

    def read(self, path: str) -> None:
        real = os.path.realpath(path.replace("\0", ""))
        if not path:
            hint = "give a file, a folder, or - for standard input; check whether a shell variable is unset"
            self.findings.append(error("cannot-read", "the path of a spec is empty", hint))
        elif "\0" in path:
            self._refuse(path, "cannot-read")
        elif path != STDIN and os.path.isdir(real):
            self._read_folder(path)
        elif real not in self._seen:
            self._seen.add(real)
            self._read_file(path, os.path.dirname(real))

    def _read_folder(self, folder: str) -> None:
        self._warn_of_toml(folder)
        files, refused = files_in(folder)
        for path, rule in refused:
            self._refuse(path, rule)
        if not files and not refused:
            self._refuse(folder, "empty-folder")
        for path in files:
            self.read(path)

    def _warn_of_toml(self, folder: str) -> None:
        files, refused = files_in(folder, (_TOML,))
        links = (path for path, rule in refused if rule == "link-outside" and path.lower().endswith(_TOML))
        for path in (*files, *links):
            if os.path.basename(path) != SETTINGS_NAME:
                message = "a spec cannot be a TOML file; specs are YAML or JSON; this file is ignored"
                hint = "write the spec as YAML, or move the file out of this folder"
                self.findings.append(warning("unknown-file-type", message, hint, Location(path)))

    def _read_file(self, path: str, folder: str) -> None:
        rule, data = file_bytes(path)
        if rule:
            self._refuse(path, rule)
            return
        documents, findings = read_text(path, decode(data), folder, of_bytes(data))
        self.documents.extend(documents)
        self.findings.extend(findings)

    def _refuse(self, path: str, rule: str) -> None:
        message, hint = _REFUSED[rule]
        if rule == "unknown-file-type" and path.lower().endswith(_TOML):
            message, hint = "a spec cannot be a TOML file", _TOML_HINT
        self.findings.append(error(rule, message, hint, Location(path)))
