"""Reads files, folders and dicts into documents, each file in the language that its name tells."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ztrust_mail.core.data import of_bytes, of_json
from ztrust_mail.core.files import FILE_PROBLEMS, STDIN, SUFFIXES, file_bytes, files_in
from ztrust_mail.core.findings import Finding, Location, error, warning
from ztrust_mail.settings import FILE_NAME as SETTINGS_NAME
from ztrust_mail.specfile.readers.data import plain
from ztrust_mail.specfile.readers.document import START, Broken, Document, Parsed, SourceText, decode

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

    The end of ``path`` tells the language; ``-`` is YAML.
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
    return documents, source.findings


def from_dict(data: Mapping[str, object], base: str = ".") -> tuple[Document, list[Finding]]:
    """Return a dict as a document without lines, and findings for the parts left out as they are not JSON data.

    Relative secret files start from the folder ``base``.
    """
    value, findings = plain(data, "<dict>")
    return Document("<dict>", os.path.realpath(base), value, digest=of_json(value)), findings


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
