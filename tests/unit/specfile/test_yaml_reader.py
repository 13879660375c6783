"""YAML: the 1.2 meaning, exact places, and bad input refused in our own words, with either parser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import CALM, MUST_ESCAPE, SECRET, VALUES, Reader, StyledWriter, items, places, where

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Location
from ztrust_mail.specfile.load import read_specs
from ztrust_mail.specfile.readers import yaml as yaml_source
from ztrust_mail.specfile.readers.document import Broken, Pointer, SourceFloat, SourceInt, SourceText


@pytest.fixture(params=["with the C extension", "without it"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "without it":
        monkeypatch.setitem(sys.modules, "yaml._yaml", None)
    return str(request.param)


READER = Reader("a.yaml", yaml_source.parse)
read, only = READER.read, READER.only


@pytest.mark.usefixtures("parser")
class TestMeaning:
    @pytest.mark.parametrize("text", ["null", "Null", "NULL", "~", "", "!!null null"])
    def test_nothing(self, text: str) -> None:
        assert read(f"a: {text}") == ({"a": None}, [])

    @pytest.mark.parametrize("text", ["true", "True", "TRUE", "false", "False", "FALSE", "!!bool true"])
    def test_booleans(self, text: str) -> None:
        value, findings = read(f"a: {text}")
        assert findings == []
        assert isinstance(value, dict)
        assert value["a"] is text.lower().endswith("true")

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("0", 0), ("587", 587), ("-5", -5), ("+5", 5), ("0587", 587), ("-0", 0), ("0o17", 15),
            ("0xfF", 255), ("!!int 7", 7),
        ],
    )  # fmt: skip
    def test_whole_numbers_keep_their_text(self, text: str, number: int) -> None:
        value, findings = read(f"a: {text}")
        assert findings == []
        assert isinstance(value, dict)
        assert isinstance(value["a"], SourceInt)
        assert value["a"] == number
        assert value["a"].text == text.split()[-1]

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("1.10", 1.1), (".5", 0.5), ("5.", 5.0), ("-1.5e3", -1500.0), ("1e3", 1000.0), ("1E-2", 0.01),
            ("!!float 1.0", 1.0),
        ],
    )  # fmt: skip
    def test_other_numbers_keep_their_text(self, text: str, number: float) -> None:
        value, findings = read(f"a: {text}")
        assert findings == []
        assert isinstance(value, dict)
        assert isinstance(value["a"], SourceFloat)
        assert value["a"] == number
        assert value["a"].text == text.split()[-1]

    @pytest.mark.parametrize(
        "text",
        [
            "no", "Yes", "on", "off", "y", "N", "12:30:45", "2024-01-01", "2024-01-01T10:00:00Z", "1_000",
            "0b11", "0O17", "0o8", "-0o7", "0xg", "+0x1", "tRue", "nULL", "nan", "inf", ".Nan", "1.2.3", "1e",
            "+", "--", ".", "e5", "=", "10s", "1 2", "٣", "a@b.example", "http://x:25/#y", "a:b",
        ],
    )  # fmt: skip
    def test_everything_else_is_text(self, text: str) -> None:
        assert read(f"a: {text}") == ({"a": text}, [])

    @pytest.mark.parametrize("text", ["'587'", '"587"', "!!str 587", "|-\n 587", "!!str '587'"])
    def test_quotes_and_the_str_tag_make_text(self, text: str) -> None:
        value, findings = read(f"a: {text}")
        assert findings == []
        assert isinstance(value, dict)
        assert type(value["a"]) is str
        assert value["a"] == "587"

    def test_keys_are_their_source_text(self) -> None:
        value, findings = read("080: a\ntrue: b\n~: c\n.nan: d\n!!str x: e\n'<<': f\n? 1.0\n: g\n?\n: h\n")
        assert findings == []
        assert value == {
            "080": "a", "true": "b", "~": "c", ".nan": "d", "x": "e", "<<": "f", "1.0": "g", "": "h",
        }  # fmt: skip

    def test_collections_of_every_style(self) -> None:
        text = "a:\n- 1\n-\n  - 2\n  - {x: [], y: {}}\nb: !!map {c: !!seq [3, 4,]}\n"
        text += "d: |\n  x\n   y\n\ne: >-\n  x\n  y\n"
        assert read(text) == (
            {"a": [1, [2, {"x": [], "y": {}}]], "b": {"c": [3, 4]}, "d": "x\n y\n", "e": "x y"},
            [],
        )

    def test_a_document_may_be_marked(self) -> None:
        assert read("%YAML 1.1\n---\na: 1\n...\n") == ({"a": 1}, [])


@pytest.mark.usefixtures("parser")
class TestAliases:
    def test_an_alias_means_the_anchored_value(self) -> None:
        value, findings = read("a: &x {p: [1]}\nb: *x\nc: &y text\nd: [*y, *x]\n&k key: 1\ne: *k\n")
        assert findings == []
        assert value == {
            "a": {"p": [1]}, "b": {"p": [1]}, "c": "text", "d": ["text", {"p": [1]}], "key": 1, "e": "key",
        }  # fmt: skip

    def test_an_anchor_may_be_set_anew(self) -> None:
        assert read("a: &x 1\nb: *x\nc: &x 2\nd: *x\n")[0] == {"a": 1, "b": 1, "c": 2, "d": 2}

    def test_an_alias_has_its_own_place_and_its_content_the_place_of_the_anchor(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("a: &x\n  p: 1\nb: *x\n")
        documents, _ = read_specs([str(tmp_path / "a.yaml")])
        path = documents[0].path
        assert documents[0].locate(("b",)) == Location(path, 3, 4)
        assert documents[0].locate(("b", "p")) == Location(path, 2, 6)

    def test_an_alias_bomb_is_refused_without_being_expanded(self) -> None:
        levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
        levels += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 40)]
        finding = only("\n".join(levels))
        assert finding.rule == "alias-bomb"
        assert where(finding)[0] == 5

    def test_the_bound_is_on_the_values_that_aliases_repeat_and_no_others(self) -> None:
        part = "a: &a [" + "x, " * 998 + "x]\n"  # a list and 999 in it
        assert read(part + "b: [" + "*a, " * 100 + "]\n")[1] == []
        assert only(part + "b: [" + "*a, " * 101 + "]\n").rule == "alias-bomb"

    def test_nesting_by_aliases_has_the_same_bound(self) -> None:
        chain = ["l1: &l1 [x]"] + [f"l{i}: &l{i} [*l{i - 1}]" for i in range(2, 60)]
        finding = only("\n".join(chain))
        assert finding.rule == "too-deep"
        assert where(finding) == (50, 12)

    @pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: {c: *x}}", "&x a: 1\nb: &x\n  c: *x\n"])
    def test_a_recursive_alias_is_refused(self, text: str) -> None:
        assert only(text).rule == "recursive-alias"

    def test_an_unknown_alias_is_refused_without_naming_it(self) -> None:
        finding = only(f"a: 1\nb: *{SECRET}\n")
        assert finding.rule == "unknown-alias"
        assert where(finding) == (2, 4)
        assert SECRET not in finding.message + finding.hint


@pytest.mark.usefixtures("parser")
class TestRefused:
    @pytest.mark.parametrize(
        ("text", "rule", "place"),
        [
            ("a: 1\n---\nb: 2\n", "several-documents", (2, 1)),
            ("a: 1\nb:\n  <<: {x: 1}\n", "merge-key", (3, 3)),
            ("x: &x {}\nb: {<<: *x}\n", "merge-key", (2, 5)),
            ("a: !foo x\n", "unknown-tag", (1, 4)),
            (f"a: !{SECRET}\n", "unknown-tag", (1, 4)),
            ("a: !!python/object:os.system x\n", "unknown-tag", (1, 4)),
            ("a: !!python/name:os.system\n", "unknown-tag", (1, 4)),
            ("a: !!binary eA==\n", "unknown-tag", (1, 4)),
            ("a: !!timestamp 2024-01-01\n", "unknown-tag", (1, 4)),
            ("a: ! 5\n", "unknown-tag", (1, 4)),
            ("a: !!int x\n", "unknown-tag", (1, 4)),
            ("a: !!int true\n", "unknown-tag", (1, 4)),
            ("a: !!map [x]\n", "unknown-tag", (1, 4)),
            ("a: !!set {x}\n", "unknown-tag", (1, 4)),
            ("a: !foo [x]\n", "unknown-tag", (1, 4)),
            ("!foo a: x\n", "unknown-tag", (1, 1)),
            ("a: .inf\n", "bad-number", (1, 4)),
            ("a: -.INF\n", "bad-number", (1, 4)),
            ("a: .NaN\n", "bad-number", (1, 4)),
            ("a: 1e999\n", "bad-number", (1, 4)),
            ("a: " + "9" * 5000, "bad-number", (1, 4)),
            ("a: 1\n{x: 1}: 2\n", "complex-key", (2, 1)),
            ("a: 1\n? [x]\n: 2\n", "complex-key", (2, 3)),
            ("a: &x 1\n*x : 2\n", "complex-key", (2, 1)),
            ("*-prod: {}\n", "complex-key", (1, 1)),
            (f"? {SECRET}: 1\n: 2\n", "complex-key", (1, 3)),
        ],
    )
    def test_yaml_features_that_specs_do_not_need_are_refused(
        self, text: str, rule: str, place: tuple[int, int]
    ) -> None:
        finding = only(text)
        assert (finding.rule, where(finding)) == (rule, place)
        assert SECRET not in finding.message + finding.hint

    def test_a_duplicate_key_names_both_lines(self) -> None:
        finding = only("a:\n  b: 1\n  c: 2\n  'b': 3\n")
        assert finding.rule == "duplicate-key"
        assert where(finding) == (4, 3)
        assert finding.message == "`b` is defined in line 2 and again in line 4"

    def test_every_refused_yaml_feature_is_reported(self) -> None:
        _, findings = read("a: !x 1\na: .inf\nb: {c: 1, c: 2}\n<<: *none\n")
        rules = [f.rule for f in findings]
        assert rules == [
            "unknown-tag",
            "duplicate-key",
            "bad-number",
            "duplicate-key",
            "merge-key",
            "unknown-alias",
        ]

    @pytest.mark.parametrize(
        ("start", "deep", "place"),
        [
            ("a: ", "[" * 49 + "]" * 49, None),
            ("a: ", "[" * 50 + "]" * 50, (1, 53)),
            ("a: ", "[" * 200_000, (1, 53)),
            ("a: ", "{x: " * 100_000, (1, 200)),
            ("", "- " * 50_000, (1, 101)),
            ("", "? " * 50_000, (1, 3)),
        ],
    )
    def test_nesting_has_a_bound(self, start: str, deep: str, place: tuple[int, int] | None) -> None:
        _, findings = read(start + deep)
        assert [f.rule for f in findings] == ([] if place is None else ["complex-key" if "?" in deep else "too-deep"])
        assert [where(f) for f in findings] == ([] if place is None else [place])

    @pytest.mark.parametrize(
        ("text", "place", "words"),
        [
            (f'a: "{SECRET}\nb: 1\n', (1, 4), "never closed"),
            (f"a: '{SECRET}\n---\n", (1, 4), "never closed"),
            (f"a: [{SECRET}, 2\n", (1, 4), "bracket"),
            (f"a: {{b: {SECRET}\nc: 2\n", (1, 4), "bracket"),
            (f"a: [{SECRET}, {{]\n", (1, 15), "not valid"),
            (f"a: {SECRET}: c\n", (1, 11), "`:` is not allowed"),
            (f"a: 1\n{SECRET}\nb: 2\n", (2, 1), "no `:`"),
            (f"a:\n  b: 1\n {SECRET}: 2\n", (3, 2), "lines above"),
            (f"a: 1\n- {SECRET}\n", (2, 1), "lines above"),
            (f"- {SECRET}\nb: 1\n", (2, 1), "lines above"),
            (f"a: - {SECRET}\n", (1, 4), "lines above"),
            (f'a: "b" {SECRET}\n', (1, 8), "lines above"),
            (f"a: @{SECRET}\n", (1, 4), "start"),
            (f"a: &{SECRET} x\n y: z\n", (2, 3), "`:` is not"),
            ("a: *.example.com\n", (1, 4), "`*`"),
            (f"a: !x!{SECRET} y\n", (1, 4), "`!`"),
            (f"%YAML 2.0\n---\na: {SECRET}\n", (1, 1), "not valid"),
            (f"a: |9{SECRET}\n  b\n", (1, 6), "not valid"),
        ],
    )
    def test_invalid_yaml_is_reported_in_our_own_words(self, text: str, place: tuple[int, int], words: str) -> None:
        finding = only(text)
        assert finding.rule == "yaml-syntax"
        assert where(finding) == place
        assert words in finding.message
        assert SECRET not in finding.message + finding.hint
        assert "hunter" not in str(finding)

    @pytest.mark.parametrize("escape", [r"\q", r"\xZZ", r"\ud83d", r"\U00110000", r"\UFFFFFFFF"])
    def test_an_escape_for_no_character_is_refused(self, escape: str) -> None:
        finding = only(f'a: 1\nb: "{escape} {SECRET}"\n')
        assert "escape" in finding.message
        assert where(finding)[0] == 2

    def test_a_tab_as_indentation_is_refused(self) -> None:
        finding = only("a:\n\tb: 1\n")
        assert where(finding) == (2, 1)
        assert "spaces" in finding.hint

    def test_problems_before_the_place_where_reading_ends_are_reported_too(self) -> None:
        assert [f.rule for f in read("a: 1\na: 2\nb: [\n")[1]] == ["duplicate-key", "yaml-syntax"]

    @pytest.mark.parametrize("text", ["", "# nothing\n", "%YAML 1.2\n"])
    def test_a_file_without_a_document_has_no_value(self, text: str) -> None:
        assert read(text)[0] is None


def test_a_problem_without_a_place_is_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    class Failing:
        def get_event(self) -> None:
            raise yaml.YAMLError(SECRET)

    monkeypatch.setitem(sys.modules, "yaml._yaml", SimpleNamespace(CParser=lambda text: Failing()))
    finding = only("a: 1")
    assert where(finding) == (1, 1)
    assert SECRET not in finding.message


class Writer(StyledWriter):
    """Writes data as YAML in block and flow style, and notes where every key and value starts."""

    def scalar(self, value: JsonValue) -> str:
        text = json.dumps(value, ensure_ascii=False)
        return MUST_ESCAPE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)

    def write(self, value: JsonValue, at: Pointer, indent: int) -> None:
        if not (value and isinstance(value, dict | list) and self.styles.draw(st.booleans())):
            self.text += " "
            self.flow(value, at)
            self.text += "\n"
            return
        self.text += "\n" + self.styles.draw(st.sampled_from(["", "\n", "  # é: [\n"]))
        self.values[at] = len(self.text) + indent
        for part, inner in items(value):
            self.text += " " * indent
            self.keys[*at, part] = len(self.text)
            self.text += "-" if isinstance(part, int) else self.scalar(part) + ":"
            self.write(inner, (*at, part), indent + 2)

    def flow(self, value: JsonValue, at: Pointer) -> None:
        self.values[at] = len(self.text)
        if isinstance(value, dict):
            self.text += "{"
            for key, inner in value.items():
                self.keys[*at, key] = len(self.text)
                self.text += self.scalar(key) + ": "
                self.flow(inner, (*at, key))
                self.text += ", "
            self.text += "}"
        elif isinstance(value, list):
            self.text += "["
            for index, inner in enumerate(value):
                self.flow(inner, (*at, index))
                self.text += ", "
            self.text += "]"
        else:
            self.text += self.scalar(value)


@CALM
@given(VALUES, st.data())
def test_random_data_reads_back_with_every_place(value: JsonValue, styles: st.DataObject) -> None:
    writer = Writer(styles)
    writer.write(value, (), 0)
    source = SourceText("a.yaml", writer.text + "\n")
    parsed = yaml_source.parse(source)
    assert source.findings == []
    assert parsed[0] == value
    keys, values = places(parsed)
    assert keys == {pointer: at for pointer, at in writer.keys.items() if isinstance(pointer[-1], str)}
    assert values == writer.values


@CALM
@given(st.text(st.sampled_from(list("ab: -[]{},\n\"'#&*!|>?%@\\<~0.x\t")), max_size=60))
def test_any_text_is_either_read_or_reported(text: str) -> None:
    source = SourceText("a.yaml", text)
    try:
        yaml_source.parse(source)
    except Broken:
        assert source.findings
    for finding in source.findings:
        assert finding.location is not None
        assert 1 <= finding.location.line <= text.count("\n") + 1
