"""Files, folders and dicts become documents; whatever is wrong with one is a finding of that one."""

from __future__ import annotations

import copy
import io
import os
import pickle
import sys
from pathlib import Path

import pytest
from support.documents import where

from ztrust_mail.core import files
from ztrust_mail.core import findings as source
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.specfile.load import from_dict, parse, read_specs
from ztrust_mail.specfile.readers import document as document_module
from ztrust_mail.specfile.readers.document import Broken, Document, SourceFloat, SourceInt, SourceText


def rules(findings: list[Finding]) -> list[str]:
    return [f.rule for f in findings]


def put(folder: Path, name: str, content: str | bytes = "a: 1\n") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def only(path: Path | str) -> Finding:
    documents, findings = read_specs([str(path)])
    assert documents == []
    assert len(findings) == 1
    finding = findings[0]
    assert finding.severity is Severity.ERROR
    assert finding.message
    assert finding.hint
    return finding


class TestNumbersThatKeepTheirText:
    @pytest.mark.parametrize("number", [SourceInt(587, "0587"), SourceFloat(1.1, "1.10")])
    def test_a_copy_is_the_same_number_with_the_same_text(self, number: SourceInt | SourceFloat) -> None:
        for other in (copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
            assert other == number
            assert type(other) is type(number)
            assert other.text == number.text

    def test_without_text_it_is_as_python_writes_it(self) -> None:
        assert SourceInt(587).text == "587"
        assert SourceFloat(0.5).text == "0.5"


class TestFiles:
    def test_a_document_tells_its_path_as_given_and_its_real_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "real/spec.yaml")
        (tmp_path / "link.yaml").symlink_to("real/spec.yaml")
        monkeypatch.chdir(tmp_path)
        documents, findings = read_specs(["./link.yaml"])
        assert findings == []
        assert documents[0].path == "./link.yaml"
        assert documents[0].folder == str(tmp_path / "real")
        assert documents[0].locate(("a",)) == Location("./link.yaml", 1, 4)

    def test_the_value_is_not_shown_by_repr(self, tmp_path: Path) -> None:
        documents, _ = read_specs([str(put(tmp_path, "a.yaml", "password: hunter2\n"))])
        assert "hunter2" not in repr(documents[0])

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.yaml", "a: 1"), ("a.YML", "a: 1"), ("a.JSON", '{"a": 1}')],
    )
    def test_the_name_of_a_file_decides_its_language(self, tmp_path: Path, name: str, content: str) -> None:
        documents, findings = read_specs([str(put(tmp_path, name, content))])
        assert findings == []
        assert documents[0].value == {"a": 1}

    def test_every_file_is_read_and_every_problem_reported(self, tmp_path: Path) -> None:
        paths = [
            put(tmp_path, "1.yaml", "a: [\n"),
            put(tmp_path, "2.yaml"),
            tmp_path / "missing.yaml",
            put(tmp_path, "3.json", "[1]"),
            put(tmp_path, "4.json", '{"a": 1}'),
        ]
        documents, findings = read_specs([str(p) for p in paths])
        assert [d.path for d in documents] == [str(paths[1]), str(paths[4])]
        assert rules(findings) == ["yaml-syntax", "no-such-file", "not-a-mapping"]
        assert [f.location and f.location.path for f in findings] == [str(paths[i]) for i in (0, 2, 3)]

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.yaml", "a: 1\na: 2\n"), ("a.json", '{"a": 1, "a": 2}')],
    )
    def test_a_file_with_a_problem_is_not_a_document(self, tmp_path: Path, name: str, content: str) -> None:
        finding = only(put(tmp_path, name, content))
        assert finding.rule == "duplicate-key"
        assert finding.location
        assert finding.location.path == str(tmp_path / name)

    def test_the_same_file_given_twice_is_read_once(self, tmp_path: Path) -> None:
        path = put(tmp_path, "a.yaml")
        (tmp_path / "b.yaml").symlink_to("a.yaml")
        documents, findings = read_specs([str(path), str(tmp_path / "b.yaml"), str(tmp_path), str(path)])
        assert [d.path for d in documents] == [str(path)]
        assert findings == []

    def test_a_path_object_is_a_path(self, tmp_path: Path) -> None:
        documents, _ = read_specs([put(tmp_path, "a.yaml")])  # type: ignore[list-item]
        assert len(documents) == 1

    def test_a_path_that_cannot_be_one_is_reported(self) -> None:
        assert only("a\0b.yaml").rule == "cannot-read"

    def test_a_file_that_may_not_be_read_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = put(tmp_path, "a.yaml")

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied: secret words of the system")

        monkeypatch.setattr(os, "open", refuse)
        finding = only(path)
        assert finding.rule == "cannot-read"
        assert "secret words" not in finding.message + finding.hint

    def test_a_link_that_leads_to_itself_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").symlink_to("a.yaml")
        assert only(tmp_path / "a.yaml").rule == "cannot-read"

    def test_another_kind_of_file_is_refused(self, tmp_path: Path) -> None:
        finding = only(put(tmp_path, "a.txt"))
        assert finding.rule == "unknown-file-type"
        assert ".json" in finding.hint

    @pytest.mark.parametrize("name", ["spec.toml", "SPEC.TOML", "ztrust-mail.toml"])
    def test_a_toml_file_is_refused_with_the_languages_of_specs(self, tmp_path: Path, name: str) -> None:
        finding = only(put(tmp_path, name, "version = 1\n"))
        assert finding.rule == "unknown-file-type"
        assert finding.message == "a spec cannot be a TOML file"
        assert "YAML or JSON" in finding.hint
        assert "--config" in finding.hint

    def test_a_pipe_is_refused_without_waiting(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.yaml")
        assert only(tmp_path / "a.yaml").rule == "not-a-file"

    def test_a_device_is_refused(self) -> None:
        assert only("/dev/zero").rule == "not-a-file"

    @pytest.mark.parametrize("inside", [True, False])
    def test_a_folder_named_as_a_file_is_refused(self, tmp_path: Path, inside: bool) -> None:
        put(tmp_path, "x.yaml/a.yaml")
        assert only(tmp_path if inside else tmp_path / "x.yaml").rule == "not-a-file"

    def test_a_huge_file_is_refused_by_its_size(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with (tmp_path / "a.yaml").open("wb") as file:
            file.truncate(100_000_000)
        monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
        finding = only(tmp_path / "a.yaml")
        assert finding.rule == "too-large"
        assert "10 MB" in finding.message

    def test_a_file_of_the_greatest_size_is_read(self, tmp_path: Path) -> None:
        content = "a: 1\n#".ljust(files.MAX_BYTES, "x")
        documents, _ = read_specs([str(put(tmp_path, "a.yaml", content))])
        assert documents[0].value == {"a": 1}


class TestStandardInput:
    def feed(self, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    def test_a_dash_is_yaml_from_standard_input(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        self.feed(monkeypatch, b"a: 1\n")
        documents, findings = read_specs(["-", "-"])
        assert findings == []
        assert [(d.path, d.folder, d.value) for d in documents] == [("-", str(tmp_path), {"a": 1})]

    def test_more_than_the_greatest_size_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.feed(monkeypatch, b"#" * (files.MAX_BYTES + 5))
        assert only("-").rule == "too-large"

    def test_closed_standard_input_counts_as_empty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        assert only("-").rule == "empty-file"


class TestFolders:
    def test_a_folder_is_read_recursively_sorted_and_without_hidden_names(self, tmp_path: Path) -> None:
        for name in (
            "b/z.yml",
            "b/a.json",
            "b/ztrust-mail.toml",
            "c.yaml",
            "a.json",
            ".git/x.yaml",
            ".x.yaml",
            "read.me",
        ):
            put(tmp_path, name, '{"a": 1}' if name.endswith("json") else "a: 1")
        documents, findings = read_specs([str(tmp_path)])
        assert findings == []
        names = [os.path.relpath(d.path, tmp_path) for d in documents]
        assert names == ["a.json", "b/a.json", "b/z.yml", "c.yaml"]
        assert documents[1].folder == str(tmp_path / "b")

    def test_each_toml_file_but_the_settings_is_ignored_with_a_warning(self, tmp_path: Path) -> None:
        for name in ("a.yaml", "b.toml", "sub/C.TOML", "sub/ztrust-mail.toml", ".hidden.toml"):
            put(tmp_path, name)
        (tmp_path / "d.toml").symlink_to("/does/not/exist.toml")
        (tmp_path / "folder.toml").mkdir()
        documents, findings = read_specs([str(tmp_path)])
        assert [os.path.relpath(d.path, tmp_path) for d in documents] == ["a.yaml"]
        names = [os.path.relpath(f.location.path, tmp_path) for f in findings if f.location]
        assert names == ["b.toml", "sub/C.TOML", "d.toml"]
        message = "a spec cannot be a TOML file; specs are YAML or JSON; this file is ignored"
        assert {(f.severity, f.rule, f.message) for f in findings} == {(Severity.WARNING, "unknown-file-type", message)}

    def test_a_folder_with_only_toml_files_counts_as_empty(self, tmp_path: Path) -> None:
        put(tmp_path, "a.toml")
        documents, findings = read_specs([str(tmp_path)])
        assert documents == []
        assert rules(findings) == ["unknown-file-type", "empty-folder"]

    def test_paths_start_as_the_folder_was_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path, "specs/a.yaml")
        monkeypatch.chdir(tmp_path)
        documents, _ = read_specs(["specs/"])
        assert [d.path for d in documents] == ["specs/a.yaml"]

    def test_an_empty_folder_is_reported(self, tmp_path: Path) -> None:
        put(tmp_path, "notes.txt")
        assert only(tmp_path).rule == "empty-folder"

    def test_a_folder_that_may_not_be_listed_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: object) -> list[str]:
            raise PermissionError

        monkeypatch.setattr(os, "listdir", refuse)
        assert only(tmp_path).rule == "cannot-read"

    def test_links_out_of_a_folder_are_refused(self, tmp_path: Path) -> None:
        put(tmp_path, "out/secret.yaml")
        put(tmp_path, "in/a.yaml")
        put(tmp_path, "inside/b.yaml")  # its path starts like the folder's
        (tmp_path / "in/file.yaml").symlink_to("../out/secret.yaml")
        (tmp_path / "in/folder").symlink_to("../out")
        (tmp_path / "in/twin").symlink_to("../inside")
        (tmp_path / "in/nothing.yaml").symlink_to("/does/not/exist")
        (tmp_path / "in/README.md").symlink_to("../README.md")
        documents, findings = read_specs([str(tmp_path / "in")])
        assert [Path(d.path).name for d in documents] == ["a.yaml"]
        assert rules(findings) == ["link-outside"] * 4
        names = [Path(f.location.path).name for f in findings if f.location]
        assert names == ["file.yaml", "folder", "nothing.yaml", "twin"]

    def test_links_inside_a_folder_are_read_once_and_may_form_a_circle(self, tmp_path: Path) -> None:
        # how Kubernetes mounts a ConfigMap
        put(tmp_path, "..2024/spec.yaml")
        (tmp_path / "..data").symlink_to("..2024")
        (tmp_path / "spec.yaml").symlink_to("..data/spec.yaml")
        (tmp_path / "round").symlink_to(".")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub/up").symlink_to("..")
        documents, findings = read_specs([str(tmp_path)])
        assert findings == []
        assert [d.path for d in documents] == [str(tmp_path / "spec.yaml")]

    def test_a_link_to_nothing_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").symlink_to("missing.yaml")
        assert only(tmp_path).rule == "no-such-file"


class TestText:
    @pytest.mark.parametrize(("name", "start"), [("a.yaml", b"a: 1\nb: "), ("a.json", b'{"a": 1,\n"b')])
    @pytest.mark.parametrize(
        ("bad", "rule"),
        [
            (b"\xff\xfe", "not-utf-8"),
            (b"\xc3", "not-utf-8"),
            (b"\xed\xa0\x80", "not-utf-8"),
            (b"\x00", "control-character"),
            (b"\x1b", "control-character"),
            (b"\x7f", "control-character"),
            (b"\r", "control-character"),
            ("\x85".encode(), "control-character"),
            ("\u2028".encode(), "control-character"),
            ("\ufeff".encode(), "control-character"),
        ],
    )
    def test_bytes_that_are_no_text_are_reported_with_their_place(
        self, tmp_path: Path, name: str, start: bytes, bad: bytes, rule: str
    ) -> None:
        finding = only(put(tmp_path, name, start + "é".encode() + bad + b"x"))
        assert finding.rule == rule
        assert where(finding) == (2, len(start.split(b"\n")[1]) + 2)

    def test_a_control_character_is_named(self, tmp_path: Path) -> None:
        assert "U+001B" in only(put(tmp_path, "a.yaml", "a: \x1b[31m")).message

    def test_utf_16_is_refused(self, tmp_path: Path) -> None:
        assert where(only(put(tmp_path, "a.yaml", "a: 1".encode("utf-16")))) == (1, 1)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.yaml", "a: 1\nb: |\n  x\n  y\n"),
            ("a.json", '{"a": 1,\n "b": "x\\ny\\n"}'),
        ],
    )
    def test_a_byte_order_mark_and_windows_line_ends_change_nothing(
        self, tmp_path: Path, name: str, content: str
    ) -> None:
        plain = put(tmp_path, "plain/" + name, content)
        marked = put(tmp_path, "marked/" + name, b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode())
        documents, findings = read_specs([str(plain), str(marked)])
        assert findings == []
        assert documents[0].value == documents[1].value == {"a": 1, "b": "x\ny\n"}
        for pointer in ((), ("a",), ("b",)):
            here, there = (d.locate(pointer) for d in documents)
            assert (here.line, here.column) == (there.line, there.column)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.yaml", ""),
            ("a.yaml", "\n \n"),
            ("a.yaml", "# only a comment\n"),
            ("a.yaml", "\ufeff"),
            ("a.json", "  \n"),
        ],
    )
    def test_an_empty_file_is_reported(self, tmp_path: Path, name: str, content: str) -> None:
        finding = only(put(tmp_path, name, content))
        assert finding.rule == "empty-file"
        assert where(finding) == (1, 1)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.yaml", "\n- a\n"),
            ("a.yaml", "\nnull"),
            ("a.yaml", "\ntext"),
            ("a.json", "\n[]"),
            ("a.json", "\n1"),
        ],
    )
    def test_a_file_is_a_mapping(self, tmp_path: Path, name: str, content: str) -> None:
        finding = only(put(tmp_path, name, content))
        assert finding.rule == "not-a-mapping"
        assert where(finding) == (2, 1)

    def test_an_endless_number_of_problems_ends(self, tmp_path: Path) -> None:
        _, findings = read_specs([str(put(tmp_path, "a.yaml", "a: 1\n" * 5_000))])
        assert rules(findings) == ["duplicate-key"] * (source.MAX_PROBLEMS + 1)  # one more than is reported

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.yaml", "a: [{}]\n" + "".join(f"k{i}: {{}}\n" for i in range(98))),
            ("a.json", '{"a": [' + ", ".join("0" * 98) + "]}"),
        ],
    )
    def test_the_number_of_values_has_a_bound(self, name: str, content: str) -> None:
        assert SourceText(name, content).max_values == 1_000_000
        source = SourceText(name, content, max_values=105)
        parse(source)
        assert source.findings == []
        source = SourceText(name, content, max_values=98)
        with pytest.raises(Broken):
            parse(source)
        assert rules(source.findings) == ["too-many"]


SAME = {
    "a.yaml": """\
version: 1
defaults:
  relay: {host: smtp.example, ports: [25, 0x10, 1.50]}
realms:
  acme:
    sender:
      address: "a@b.example"
      "full name": Ünï
  8080:
    on: true
    list:
      - x: 1
      - x: 2
""",
    "a.json": """\
{"version": 1,
 "defaults": {
   "relay": {"host": "smtp.example", "ports": [25, 16, 1.50]}},
 "realms": {
   "acme": {
     "sender": {
       "address": "a@b.example",
       "full name": "\\u00dcn\\u00ef"}},
   "8080": {
     "on": true,
     "list": [
       {"x": 1},
       {"x": 2}]}}}
""",
}


class TestBothLanguages:
    @pytest.fixture
    def documents(self, tmp_path: Path) -> dict[str, Document]:
        documents, findings = read_specs([str(put(tmp_path, name, text)) for name, text in SAME.items()])
        assert findings == []
        return {Path(d.path).name: d for d in documents}

    def test_yaml_and_json_mean_the_same(self, documents: dict[str, Document]) -> None:
        first, second = (d.value for d in documents.values())
        assert first == second

    @pytest.mark.parametrize(
        ("pointer", "yaml", "json"),
        [
            ((), (1, 1), (1, 1)),
            (("version",), (1, 10), (1, 13)),
            (("defaults",), (3, 3), (2, 14)),
            (("defaults", "relay"), (3, 10), (3, 13)),
            (("defaults", "relay", "host"), (3, 17), (3, 22)),
            (("defaults", "relay", "ports"), (3, 38), (3, 47)),
            (("defaults", "relay", "ports", 2), (3, 49), (3, 56)),
            (("realms", "acme"), (6, 5), (5, 12)),
            (("realms", "acme", "sender", "full name"), (8, 20), (8, 21)),
            (("realms", "8080", "on"), (10, 9), (10, 12)),
            (("realms", "8080", "list"), (12, 7), (11, 14)),
            (("realms", "8080", "list", 1), (13, 9), (13, 8)),
            (("realms", "8080", "list", 1, "x"), (13, 12), (13, 14)),
        ],
    )
    def test_a_value_is_where_its_first_character_is(
        self,
        documents: dict[str, Document],
        pointer: document_module.Pointer,
        yaml: tuple[int, int],
        json: tuple[int, int],
    ) -> None:
        found = [(at.line, at.column) for at in (d.locate(pointer) for d in documents.values())]
        assert found == [yaml, json]

    @pytest.mark.parametrize(
        ("pointer", "yaml", "json"),
        [
            (("defaults",), (2, 1), (2, 2)),
            (("defaults", "relay", "host"), (3, 11), (3, 14)),
            (("realms",), (4, 1), (4, 2)),
            (("realms", "acme", "sender"), (6, 5), (6, 6)),
            (("realms", "acme", "sender", "full name"), (8, 7), (8, 8)),
            (("realms", "8080"), (9, 3), (9, 4)),
            (("realms", "8080", "list"), (11, 5), (11, 6)),
            (("realms", "8080", "list", 1), (13, 9), (13, 8)),
        ],
    )
    def test_a_key_is_where_its_first_character_is(
        self,
        documents: dict[str, Document],
        pointer: document_module.Pointer,
        yaml: tuple[int, int],
        json: tuple[int, int],
    ) -> None:
        found = [(at.line, at.column) for at in (d.locate_key(pointer) for d in documents.values())]
        assert found == [yaml, json]

    @pytest.mark.parametrize(
        ("pointer", "parent"),
        [
            (("nothing", "at", "all"), ()),
            (("realms", "acme", "sender", "missing"), ("realms", "acme", "sender")),
            (("realms", "acme", 0), ("realms", "acme")),
            (("realms", "8080", "list", 2), ("realms", "8080", "list")),
            (("realms", "8080", "list", -1), ("realms", "8080", "list")),
            (("realms", "8080", "list", "x"), ("realms", "8080", "list")),
            (("version", "x"), ("version",)),
        ],
    )
    def test_a_missing_value_is_reported_at_its_nearest_parent(
        self, documents: dict[str, Document], pointer: document_module.Pointer, parent: document_module.Pointer
    ) -> None:
        for document in documents.values():
            assert document.locate(pointer) == document.locate(parent)
            assert document.locate_key(pointer) == document.locate_key(parent)

    def test_numbers_keep_how_they_are_written(self, documents: dict[str, Document]) -> None:
        texts = []
        for document in documents.values():
            value: object = document.value
            for part in ("defaults", "relay", "ports"):
                assert isinstance(value, dict)
                value = value[part]
            assert isinstance(value, list)
            texts.append([item.text for item in value])
        assert texts == [["25", "0x10", "1.50"], ["25", "16", "1.50"]]


class TestDict:
    def test_a_dict_is_a_document_without_lines(self, tmp_path: Path) -> None:
        given = {"a": [1, 2.5, True, None, "x", (3,)], "b": {"c": {}}}
        document, findings = from_dict(given, str(tmp_path))
        assert findings == []
        assert document.path == "<dict>"
        assert document.folder == str(tmp_path)
        assert document.value == {"a": [1, 2.5, True, None, "x", [3]], "b": {"c": {}}}
        assert document.locate(("a", 0)) == document.locate_key(("a", 0)) == Location("<dict>", key="a.0")

    def test_numbers_of_a_dict_have_a_text_as_those_in_files(self) -> None:
        document, _ = from_dict({"port": 587, "ratio": 1.5, "on": True})
        assert isinstance(document.value, dict)
        port, ratio = document.value["port"], document.value["ratio"]
        assert isinstance(port, SourceInt)
        assert port.text == "587"
        assert isinstance(ratio, SourceFloat)
        assert ratio.text == "1.5"
        assert document.value["on"] is True

    def test_a_document_is_a_copy_of_its_dict(self) -> None:
        given: dict[str, object] = {"a": {"b": [1]}}
        document, _ = from_dict(given)
        given["a"] = 2
        assert document.value == {"a": {"b": [1]}}

    @pytest.mark.parametrize(
        ("bad", "rule", "words"),
        [
            (object(), "not-json", "`object`"),
            ({1, 2}, "not-json", "`set`"),
            (b"x", "not-json", "`bytes`"),
            (float("nan"), "bad-number", "finite"),
            (float("-inf"), "bad-number", "finite"),
            (10**5000, "bad-number", "100 digits"),
            ({1: "x"}, "bad-key", "key"),
            ({"\ud800": "x"}, "bad-key", "key"),
            ("\udcff", "lone-surrogate", "surrogate"),
        ],
        ids=["object", "set", "bytes", "nan", "infinity", "long", "key", "half-key", "half"],
    )
    def test_python_values_that_are_not_json_are_reported_with_their_place_and_left_out(
        self, bad: object, rule: str, words: str
    ) -> None:
        document, findings = from_dict({"realms": {"acme": [0, bad]}, "x": 1})
        assert rules(findings) == [rule]
        assert "`realms.acme.1`" in findings[0].message
        assert words in findings[0].message
        assert findings[0].location == Location("<dict>")
        assert document.value in (
            {"realms": {"acme": [0]}, "x": 1},
            {"realms": {"acme": [0, {}]}, "x": 1},
        )

    def test_a_bad_key_at_the_top_is_reported(self) -> None:
        document, findings = from_dict({1: "x"})  # type: ignore[dict-item]
        assert document.value == {}
        assert "the spec has a key" in findings[0].message

    def test_a_value_that_is_not_a_mapping_is_reported(self) -> None:
        document, findings = from_dict(["x"])  # type: ignore[arg-type]
        assert rules(findings) == ["not-a-mapping"]
        assert document.value == {}

    def test_a_value_that_contains_itself_is_reported(self) -> None:
        given: dict[str, object] = {"a": []}
        given["a"].append(given)  # type: ignore[attr-defined]
        _, findings = from_dict(given)
        assert rules(findings) == ["recursive"]

    def test_the_same_object_used_twice_is_accepted(self) -> None:
        part = {"x": 1}
        document, findings = from_dict({"a": part, "b": part})
        assert findings == []
        assert document.value == {"a": {"x": 1}, "b": {"x": 1}}

    @pytest.mark.parametrize(("depth", "told"), [(50, []), (51, ["too-deep"]), (100_000, ["too-deep"])])
    def test_nesting_has_a_bound(self, depth: int, told: list[str]) -> None:
        given: dict[str, object] = {}
        for _ in range(depth - 1):
            given = {"a": given}
        _, findings = from_dict(given)
        assert rules(findings) == told

    def test_objects_shared_many_times_are_not_expanded(self) -> None:
        part: list[object] = ["x"]
        for _ in range(7):  # ten million values
            part = [part] * 10
        document, findings = from_dict({"a": part})
        assert rules(findings) == ["too-many"]
        assert document.value == {}
