"""JSON: read with exact places, strictly, and bad input refused in our own words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import CALM, MUST_ESCAPE, SECRET, TEXTS, VALUES, Reader, StyledWriter, items, places, where

from ztrust_mail.core.data import JsonValue
from ztrust_mail.specfile.readers import json as json_source
from ztrust_mail.specfile.readers.document import Pointer, SourceFloat, SourceInt, SourceText

READER = Reader("a.json", json_source.parse)
read, only = READER.read, READER.only


class TestMeaning:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("null", None), ("true", True), ("false", False), ("[]", []), ("{}", {}), ('""', ""),
            ('[1, [2], {"a": "b"}]', [1, [2], {"a": "b"}]), (r'"\u00e9\n\"\/\\"', 'é\n"/\\'),
            (r'"\ud83d\ude00"', "😀"), ('"😀"', "😀"), (' \n\t{ "a" : 1 } \n', {"a": 1}),
        ],
    )  # fmt: skip
    def test_values(self, text: str, value: JsonValue) -> None:
        assert read(text) == (value, [])

    @pytest.mark.parametrize("text", ["0", "-0", "587", "-12"])
    def test_whole_numbers_keep_their_source_text(self, text: str) -> None:
        value, _ = read(text)
        assert isinstance(value, SourceInt)
        assert (value, value.text) == (int(text), text)

    @pytest.mark.parametrize("text", ["1.10", "-0.0", "1e3", "1E+3", "2.5e-1"])
    def test_other_numbers_keep_their_source_text(self, text: str) -> None:
        value, _ = read(text)
        assert isinstance(value, SourceFloat)
        assert (value, value.text) == (float(text), text)


class TestRefused:
    def test_a_duplicate_key_names_both_lines(self) -> None:
        finding = only('{"a": 1,\n "b": 2,\n "\\u0061": 3}')
        assert finding.rule == "duplicate-key"
        assert where(finding) == (3, 2)
        assert finding.message == "`a` is defined in line 1 and again in line 3"

    def test_all_problems_are_reported(self) -> None:
        _, findings = read('{"a": NaN, "a": "\\ud800", "b": 1e999,')
        assert [f.rule for f in findings] == [
            "bad-number", "duplicate-key", "lone-surrogate", "bad-number", "json-syntax",
        ]  # fmt: skip

    @pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000])
    def test_a_number_that_is_not_finite_or_too_long_is_refused(self, word: str) -> None:
        finding = only('{"a": ' + word + "}")
        assert finding.rule == "bad-number"
        assert where(finding) == (1, 7)

    @pytest.mark.parametrize("text", [r'"\ud83d"', r'"\ude00\ud83d"', r'"x\udfff"', r'{"\ud800": 1}'])
    def test_an_unpaired_surrogate_is_refused(self, text: str) -> None:
        finding = only(text)
        assert finding.rule == "lone-surrogate"
        assert where(finding) == (1, 2 if "{" in text else 1)

    @pytest.mark.parametrize(
        ("text", "place", "words"),
        [
            ('{"a": 1,\n "b": 2,\n}', (2, 8), "comma"),
            ("[1, 2 , ]", (1, 7), "comma"),
            (f'{{"a": "{SECRET}" "b": 1}}', (1, 17), "`,` or `}`"),
            ("[1 2]", (1, 4), "`,` or `]`"),
            ('{"a": 1', (1, 8), "`,` or `}`"),
            ("{", (1, 2), "key"),
            (f"{{{SECRET}: 1}}", (1, 2), "double quotes"),
            (f"{{'{SECRET}': 1}}", (1, 2), "double quotes"),
            ('{"a" 1}', (1, 6), "`:`"),
            ('{"a":', (1, 6), "ends"),
            ("[", (1, 2), "ends"),
            (f'{{"a": {SECRET}}}', (1, 7), "not a JSON value"),
            (f"{{\"a\": '{SECRET}'}}", (1, 7), "not a JSON value"),
            ("[True]", (1, 2), "not a JSON value"),
            ("[-true]", (1, 2), "not a JSON value"),
            ("[nullify]", (1, 2), "not a JSON value"),
            ("[0587]", (1, 2), "not a JSON value"),
            ("[+1]", (1, 2), "not a JSON value"),
            ("[.5]", (1, 2), "not a JSON value"),
            ("[1.]", (1, 2), "not a JSON value"),
            ("[0x10]", (1, 2), "not a JSON value"),
            ("[1_0]", (1, 2), "not a JSON value"),
            ("[-]", (1, 2), "not a JSON value"),
            ("[,]", (1, 2), "not a JSON value"),
            (f"[1, // {SECRET}\n2]", (1, 5), "comments"),
            ("[/* x */ 1]", (1, 2), "comments"),
            (f'["a", "{SECRET}\n"]', (1, 7), "not closed"),
            (f'["{SECRET}', (1, 2), "not closed"),
            (f'["a\\q{SECRET}"]', (1, 4), "escape"),
            (r'["\u12g4"]', (1, 3), "escape"),
            (f'["\t{SECRET}"]', (1, 3), "tab"),
            (f"{{}} {SECRET}", (1, 4), "ended"),
            ("{}{}", (1, 3), "ended"),
        ],
    )
    def test_a_syntax_error_is_reported_in_our_own_words(self, text: str, place: tuple[int, int], words: str) -> None:
        finding = only(text)
        assert finding.rule == "json-syntax"
        assert where(finding) == place
        assert words in finding.message

    @pytest.mark.parametrize("opening", ["[", '{"x":'])
    def test_nesting_has_a_bound(self, opening: str) -> None:
        closing = "]" if opening == "[" else "}"
        inner = "" if opening == "[" else "1"
        assert read(opening * 50 + inner + closing * 50)[1] == []
        for depth in (51, 100_000):
            finding = only(opening * depth)
            assert finding.rule == "too-deep"
            assert where(finding) == (1, 50 * len(opening) + 1)


class Writer(StyledWriter):
    """Writes data as JSON with white space of any kind, and notes where every key and value starts."""

    def gap(self) -> None:
        self.text += self.styles.draw(st.sampled_from(["", " ", "\n", "\t\n "]))

    def scalar(self, value: JsonValue) -> str:
        text = json.dumps(value, ensure_ascii=self.styles.draw(st.booleans()))
        return MUST_ESCAPE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)

    def write(self, value: JsonValue, at: Pointer) -> None:
        self.gap()
        self.values[at] = len(self.text)
        if not isinstance(value, dict | list):
            self.text += self.scalar(value)
            return
        self.text += "{" if isinstance(value, dict) else "["
        for count, (part, inner) in enumerate(items(value)):
            self.text += "," if count else ""
            self.gap()
            if isinstance(part, str):
                self.keys[*at, part] = len(self.text)
                self.text += self.scalar(part)
                self.gap()
                self.text += ":"
            self.write(inner, (*at, part))
            self.gap()
        self.text += "}" if isinstance(value, dict) else "]"


@CALM
@given(VALUES, st.data())
def test_random_data_reads_back_with_every_place(value: JsonValue, styles: st.DataObject) -> None:
    writer = Writer(styles)
    writer.write(value, ())
    source = SourceText("a.json", writer.text)
    parsed = json_source.parse(source)
    assert source.findings == []
    assert parsed[0] == value
    assert places(parsed) == (writer.keys, writer.values)


@CALM
@given(st.text(st.sampled_from(list('{}[]:,"\\ \n12.-eua')), max_size=40) | TEXTS)
def test_any_text_is_accepted_exactly_when_the_standard_library_accepts_it(text: str) -> None:
    value, findings = read(text)
    try:
        expected = json.loads(text)
    except json.JSONDecodeError:
        assert findings
    else:
        assert value == expected or {f.rule for f in findings} & {
            "duplicate-key",
            "bad-number",
            "lone-surrogate",
        }
