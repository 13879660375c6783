"""TOML: the values of the standard library, the places of our scanner, and bad input in our own words."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_yaml_reader import CALM, MUST_ESCAPE, NUMBERS, TEXTS, places, where

from ztrust_mail.core.data import JsonValue
from ztrust_mail.core.findings import Finding
from ztrust_mail.specfile.readers import toml as toml_source
from ztrust_mail.specfile.readers.document import Broken, Pointer, SourceFloat, SourceInt, SourceText

SECRET = "hunter2"


def read(text: str) -> tuple[JsonValue, list[Finding]]:
    source = SourceText("a.toml", text)
    try:
        value, _ = toml_source.parse(source)
    except Broken:
        value = None
    return value, source.findings


def only(text: str) -> Finding:
    _, findings = read(text)
    assert len(findings) == 1, findings
    assert findings[0].message
    assert findings[0].hint
    assert SECRET not in findings[0].message + findings[0].hint
    return findings[0]


class TestMeaning:
    @pytest.mark.parametrize(
        ("text", "number"),
        [("587", 587), ("+5", 5), ("-0", 0), ("1_000", 1000), ("0xDE_AD", 0xDEAD), ("0o17", 15), ("0b11", 3)],
    )
    def test_whole_numbers_keep_their_text(self, text: str, number: int) -> None:
        value, findings = read(f"a = {text} # x")
        assert findings == []
        assert isinstance(value, dict)
        assert isinstance(value["a"], SourceInt)
        assert (value["a"], value["a"].text) == (number, text)

    @pytest.mark.parametrize(
        ("text", "number"), [("1.10", 1.1), ("1e3", 1000.0), ("-2.5E-1", -0.25), ("1_0.0_1", 10.01)]
    )
    def test_other_numbers_keep_their_text(self, text: str, number: float) -> None:
        value, findings = read(f"a = [{text}]")
        assert findings == []
        assert isinstance(value, dict)
        assert isinstance(value["a"], list)
        assert isinstance(value["a"][0], SourceFloat)
        assert (value["a"][0], value["a"][0].text) == (number, text)

    @pytest.mark.parametrize(
        "text",
        [
            "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00",
            "1979-05-27T00:32:00.999-07:00", "1979-05-27 00:32:00.5+01:00",
        ],
    )  # fmt: skip
    def test_dates_and_times_are_their_text(self, text: str) -> None:
        assert read(f"a = {text}\nb = [{text}, {text}]\n") == ({"a": text, "b": [text, text]}, [])

    @pytest.mark.parametrize(
        "text",
        [
            '""', "''", '"a\\"b\\\\"', "'a\\'", '"é\\u00e9\\n"', '""""""', "''''''", '"""\nx\n"y" ""z\n"""',
            '"""x\\"" y"""', '"""a"""""', '"""a""""', "'''\na 'b' ''c\n'''", "'''a'''''", '"""a \\\n   b"""',
            '"# no comment"', '"[x]"', "'''\n[table]\nk = 1 # '\n'''", '"""\\\\"""', '"""[x]\na = 1"""',
        ],
    )  # fmt: skip
    def test_text_of_every_kind(self, text: str) -> None:
        value, findings = read(f"a = {text}\nb = [{text}, {text}]\n[c]\nd = {{e = {text}}}\n")
        assert findings == []
        expected = tomllib.loads(f"a = {text}")["a"]
        assert value == {"a": expected, "b": [expected, expected], "c": {"d": {"e": expected}}}

    def test_tables_of_every_kind(self) -> None:
        text = """
            a.b . "c d".'e.f' = 1   # comment
            "\\u00e9" = true
            8080 = []
            [ x . y ] # comment
            p = [ # comment
              1, [ {q = 2, r.s = 3}, {} ],
              # comment
            ]
            [x]
            z = 1
            [[t]]
            [t.u]
            v = 1
            [[t.w]]
            [[t.w]]
            k = 1
            [[t]]
            u = 2
            [empty]
        """
        value, findings = read(text)
        assert findings == []
        assert value == tomllib.loads(text)

    def test_booleans_are_no_numbers(self) -> None:
        value, _ = read("a = true\nb = false")
        assert value == {"a": True, "b": False}
        assert isinstance(value, dict)
        assert value["a"] is True


class TestPlaces:
    def test_a_table_starts_where_its_first_key_does(self) -> None:
        source = SourceText("a.toml", "\n[a]\n[b.c]\nd.e = 1\n[[f]]\n[[f]]\ng = {}\n[[f.h]]\n")
        keys, values = places(toml_source.parse(source))
        found = {pointer: source.text[at:].split("\n")[0] for pointer, at in values.items()}
        assert found == {
            (): "a]",
            ("a",): "[a]",
            ("b",): "c]",
            ("b", "c"): "d.e = 1",
            ("b", "c", "d"): "e = 1",
            ("b", "c", "d", "e"): "1",
            ("f",): "[[f]]",
            ("f", 0): "[[f]]",
            ("f", 1): "g = {}",
            ("f", 1, "g"): "{}",
            ("f", 1, "h"): "[[f.h]]",
            ("f", 1, "h", 0): "[[f.h]]",
        }
        assert {pointer: source.text[at] for pointer, at in keys.items()} == {p: p[-1] for p in keys}

    def test_columns_count_characters(self) -> None:
        finding = only('"é😀" = 1\nx = "😀" oops')
        assert where(finding) == (2, 9)


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "lines"),
        [
            ("a = 1\n\na = 2", (1, 3)),
            ("a.b = 1\na.'b' = 2", (1, 2)),
            ("x = {a = 1,\na = 2}", (1, 2)),
            ("[a]\n[b]\n[a]", (1, 3)),
            ("a = 1\n[a]", (1, 2)),
            ("a = 1\n[[a]]", (1, 2)),
            ("a = []\n[[a]]", (1, 2)),
            ("[[a]]\n[a]", (1, 2)),
            ("[a]\n[[a]]", (1, 2)),
            ("a = 1\na.b = 2", (1, 2)),
            ("a = 1\n[a.b]", (1, 2)),
            ("a = [1]\n[a.b]", (1, 2)),
            ("a = []\n[a.b]", (1, 2)),
        ],
    )
    def test_a_duplicate_key_names_both_lines(self, text: str, lines: tuple[int, int]) -> None:
        finding = only(text)
        assert finding.rule == "duplicate-key"
        assert where(finding)[0] == lines[1]
        assert f"line {lines[0]} and again in line {lines[1]}" in finding.message

    def test_all_duplicates_are_told(self) -> None:
        _, findings = read("a = 1\na = 2\n[b]\n[b]\nc = 1\nc = 2\n")
        assert [where(f)[0] for f in findings] == [2, 4, 6]

    @pytest.mark.parametrize("text", ["a = {}\n[a.b]", "a = {}\na.b = 1", "[a.b]\n[a]\nb.c = 1", "a.b = 1\n[a]"])
    def test_what_only_the_standard_library_knows_to_be_defined_twice(self, text: str) -> None:
        finding = only(text)
        assert finding.rule == "toml-syntax"
        assert "already defined" in finding.message

    @pytest.mark.parametrize(
        ("text", "rule", "place"),
        [
            ("a = inf", "bad-number", (1, 5)),
            ("a = [1, -nan]", "bad-number", (1, 9)),
            ("a = 1e999", "bad-number", (1, 5)),
            ("a = " + "9" * 5000, "bad-number", (1, 5)),
            ("a = 1\n" + "x." * 100_000 + "x = 1", "too-deep", (2, 101)),
            ("[" + "x." * 100_000 + "x]", "too-deep", (1, 102)),
            ("a = " + "[" * 100_000, "too-deep", (1, 54)),
            ("a = " + "{x=" * 100_000, "too-deep", (1, 152)),
            ("a" + ".a" * 30 + " = " + "[" * 30 + "]" * 30, "too-deep", (1, 84)),
            ("".join(f"[[{'.'.join(['x'] * i)}]]\n" for i in range(1, 26)), "too-deep", (25, 1)),
        ],
    )
    def test_what_a_spec_does_not_need(self, text: str, rule: str, place: tuple[int, int]) -> None:
        finding = only(text)
        assert (finding.rule, where(finding)) == (rule, place)

    def test_nesting_up_to_the_bound_is_read(self) -> None:
        assert read("a = " + "[" * 49 + "]" * 49)[1] == []
        assert read("a" + ".a" * 49 + " = 1")[1] == []

    @pytest.mark.parametrize(
        ("text", "place", "words"),
        [
            ("a", (1, 2), "`=`"),
            ("= 1", (1, 1), "key"),
            ("a. = 1", (1, 4), "key"),
            ("a = ", (1, 5), "value"),
            (f"{SECRET} x = 1", (1, 9), "`=`"),
            (f'a = "{SECRET}\nb = 1', (1, 5), "not closed"),
            (f"a = '''{SECRET}\nb = 1", (1, 5), "not closed"),
            (f'a = """{SECRET}"\nb = 1', (1, 5), "not closed"),
            (f'"{SECRET}', (1, 1), "key"),
            (f"a = 1 {SECRET}", (1, 7), "end"),
            (f"a = {SECRET} b = 1", (1, 13), "end"),
            ("[a", (1, 3), "`]`"),
            ("[[a]", (1, 4), "`]]`"),
            ("[]", (1, 2), "key"),
            (f"a = [1, {SECRET}", (1, 5), "bracket"),
            ("a = {b = 1", (1, 5), "bracket"),
            ("a = [1 2]", (1, 5), "bracket"),
            ("a = [,]", (1, 6), "value"),
            (f"a = {SECRET}", (1, 5), "not valid"),
            ("a = 0587", (1, 6), "not valid"),
            ("a = True", (1, 5), "not valid"),
            ("a = {b = 1,\n c = 2}", (1, 12), "not valid"),
            (f'a = "\\q{SECRET}"', (1, 8), "escape"),
            (f'a = "\\ud800{SECRET}"', (1, 12), "escape"),
            (f'"\\q{SECRET}" = 1', (1, 1), "escape"),
            ("a = 2024-02-30", (1, 5), "date"),
        ],
    )
    def test_what_is_no_toml_is_told_in_our_words(self, text: str, place: tuple[int, int], words: str) -> None:
        finding = only(text)
        assert finding.rule == "toml-syntax"
        assert words in finding.message
        assert where(finding) == place

    def test_a_problem_without_a_place_is_at_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: str) -> None:
            raise tomllib.TOMLDecodeError(f"{SECRET} (at end of document)")

        monkeypatch.setattr(tomllib, "loads", fail)
        assert where(only("a = 1\nb = 2")) == (2, 6)


TOML_VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


class Writer:
    """Writes data as TOML with tables of every kind, and notes where every key and value starts."""

    def __init__(self, styles: st.DataObject) -> None:
        self.text = ""
        self.keys: dict[Pointer, int] = {}
        self.values: dict[Pointer, int] = {}
        self.styles = styles

    def key(self, at: Pointer) -> None:
        self.keys.setdefault(at, len(self.text))
        self.scalar(at[-1])

    def scalar(self, value: JsonValue) -> None:
        if isinstance(value, str) and value.isalnum() and value.isascii() and self.styles.draw(st.booleans()):
            self.text += f"'{value}'"
            return
        text = json.dumps(value, ensure_ascii=False)
        self.text += MUST_ESCAPE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)

    def inline(self, value: JsonValue, at: Pointer) -> None:
        self.values[at] = len(self.text)
        if isinstance(value, dict):
            self.text += "{"
            for count, (name, inner) in enumerate(value.items()):
                self.text += ", " if count else " "
                self.key((*at, name))
                self.text += " = "
                self.inline(inner, (*at, name))
            self.text += "}"
        elif isinstance(value, list):
            self.text += "["
            for index, inner in enumerate(value):
                self.text += self.styles.draw(st.sampled_from(["", "\n  # ] é\n", " "]))
                self.inline(inner, (*at, index))
                self.text += ","
            self.text += "]"
        else:
            self.scalar(value)

    def table(self, value: dict[str, JsonValue], at: Pointer, dotted: int) -> None:
        """Write what is in a table; the last ``dotted`` parts of its name stand before each key."""
        blocks = []
        for name, inner in value.items():
            style = self.styles.draw(st.sampled_from(["inline", "dotted", "block"]))
            if isinstance(inner, dict) and inner and style == "dotted":
                self.table(inner, (*at, name), dotted + 1)
            elif style == "block" and not dotted and self.is_block(inner):
                blocks.append(name)
            else:
                for length in range(len(at) - dotted, len(at) + 1):
                    self.key((*at, name)[: length + 1])
                    self.text += "." if length < len(at) else " = "
                self.inline(inner, (*at, name))
                self.text += "\n"
        for name in blocks:
            self.blocks(value[name], (*at, name))
        self.values[at] = min((self.keys[*at, name] for name in value), default=self.values.get(at, 0))

    def blocks(self, value: JsonValue, at: Pointer) -> None:
        if isinstance(value, dict):
            self.values[at] = self.header(at, "[")
            self.table(value, at, 0)
        for index, inner in enumerate(value) if isinstance(value, list) else ():
            self.values[*at, index] = self.header(at, "[[")
            self.values.setdefault(at, self.values[*at, index])
            assert isinstance(inner, dict)
            self.table(inner, (*at, index), 0)

    def is_block(self, value: JsonValue) -> bool:
        if isinstance(value, list):
            return bool(value) and all(isinstance(inner, dict) for inner in value)
        return isinstance(value, dict)

    def header(self, at: Pointer, brackets: str) -> int:
        start = len(self.text)
        self.text += brackets
        for length, part in enumerate(at, 1):
            if isinstance(part, str):
                self.text += " . " if length > 1 else ""
                self.key(at[:length])
        self.text += "]" * len(brackets) + "  # [x]\n"
        return start


@CALM
@given(st.dictionaries(TEXTS, TOML_VALUES, min_size=1, max_size=5), st.data())
def test_random_data_reads_back_with_every_place(value: dict[str, JsonValue], styles: st.DataObject) -> None:
    writer = Writer(styles)
    writer.table(value, (), 0)
    source = SourceText("a.toml", writer.text)
    parsed = toml_source.parse(source)
    assert source.findings == []
    assert parsed[0] == value
    assert places(parsed) == (writer.keys, writer.values)


@CALM
@given(st.text(st.sampled_from(list("ab=.[]{},\n\"'#1 \\-")), max_size=40))
def test_any_text_is_taken_exactly_when_the_standard_library_takes_it(text: str) -> None:
    value, findings = read(text)
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assert findings
    else:
        assert value == expected or [f.rule for f in findings] == ["empty-file"]
