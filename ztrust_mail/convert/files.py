"""Reads the files that other tools keep: bounded in size, no link out of a folder, no key twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from ztrust_mail.findings import Finding, Location, error
from ztrust_mail.spec.source import CONTROL, MAX_BYTES, STDIN, SURROGATE, Broken, Document, SourceText, file_bytes

MAX_FILES = 10_000
_REFUSED = {
    "cannot-read": ("it cannot be read", "check the path and the permissions"),
    "empty-file": ("the file is empty", "give a file with settings"),
    "empty-folder": ("there is no file of this kind in this folder", "check --from and the path"),
    "link-outside": ("this link leads out of the folder", "copy the file to here"),
    "no-such-file": ("there is no such file or folder", "check the path"),
    "not-a-file": ("this is no regular file", "give a file, a folder, or - for standard input"),
    "too-large": (f"the file has more than {MAX_BYTES // 10**6} MB", "cut out what has nothing to do with e-mail"),
    "too-many": (f"there are more than {MAX_FILES:,} files", "name a folder further down"),
    "unknown-file-type": ("the name does not tell a file of this kind", "check --from, or rename the file"),
}


@dataclass
class Files:
    """Reads files whose names end in one of ``suffixes``; ``findings`` tells what could not be read."""

    suffixes: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)

    def texts(self, path: str) -> Iterator[SourceText]:
        """Yield the text of a file, of all files in a folder (sorted, with what lies below), or of ``-``."""
        if "\0" in path:
            self._refuse(path, "cannot-read")
        elif path != STDIN and os.path.isdir(path):
            names = list(self._below(path))
            if not names and not self.findings:
                self._refuse(path, "empty-folder")
            for name in names:
                yield from self._text(name)
        else:
            yield from self._text(path)

    def documents(self, path: str, prepare: Callable[[str], str] = str) -> Iterator[Document]:
        """Yield the JSON and YAML documents; one that has a problem gives findings instead.

        ``prepare`` may blank out parts of the text before it is read.
        """
        for source in self.texts(path):
            source.text = prepare(source.text)
            if source.path.lower().endswith(".json"):
                from ztrust_mail.spec.json_source import parse
            else:
                from ztrust_mail.spec.yaml_source import parse
            with suppress(Broken):
                value, root = parse(source)
                if not source.findings:
                    yield Document(source.path, os.path.dirname(os.path.realpath(source.path)), value, root, source)
            self.findings.extend(source.findings)

    def _below(self, folder: str) -> Iterator[str]:
        root, count = os.path.realpath(folder), 0
        for parent, folders, names in os.walk(folder):  # which follows no link to a folder
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(n for n in names if not n.startswith(".") and n.lower().endswith(self.suffixes)):
                path = os.path.join(parent, name)
                count += 1
                if count > MAX_FILES:
                    self._refuse(folder, "too-many")
                    return
                if os.path.commonpath([root, os.path.realpath(path)]) != root:
                    self._refuse(path, "link-outside")
                else:
                    yield path
            for name in folders:
                if os.path.islink(link := os.path.join(parent, name)):
                    self._refuse(link, "link-outside")

    def _text(self, path: str) -> Iterator[SourceText]:
        try:
            refusal, data = file_bytes(path, self.suffixes)
        except FileNotFoundError:
            refusal, data = "no-such-file", b""
        except OSError:
            refusal, data = "cannot-read", b""
        # bytes that are not UTF-8 become lone surrogates, so that their place can be told
        text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")
        if refusal or not text.strip():
            self._refuse(path, refusal or "empty-file")
            return
        source = SourceText(path, text)
        if found := SURROGATE.search(text):
            source.problem("not-utf-8", found.start(), "the file is not UTF-8 text from here on", "save it as UTF-8")
        elif found := CONTROL.search(text):
            message = f"the invisible character U+{ord(found.group()):04X} is not allowed"
            source.problem("control-character", found.start(), message, "remove it, or write an escape")
        else:
            yield source
        self.findings.extend(finding for finding in source.findings if finding not in self.findings)

    def _refuse(self, path: str, rule: str) -> None:
        self.findings.append(error(rule, *_REFUSED[rule], Location(path)))
