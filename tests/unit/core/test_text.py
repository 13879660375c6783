"""Text for people: what steers a terminal is visible, words are suggested, numbers read well; globs select names."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztrust_mail.core.text import (
    as_utc,
    did_you_mean,
    escaped,
    first_and_more,
    format_ranges,
    is_selected,
    matches_any,
    parse_duration,
    pluralise,
    printable,
    quoted,
    to_iso,
    to_minute,
    to_period,
    to_second,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Grüße, 日本 😀", "Grüße, 日本 😀"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x7f\x85", "\\x7f\\x85"),
        ("evil\u202etxt", "evil\\u202etxt"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\u200b\ufeff", "\\u200b\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_invisible_characters_are_escaped_and_the_rest_stays(text, shown):
    assert printable(text) == shown


@given(st.sets(st.integers(1, 40)))
def test_ranges_name_exactly_the_numbers_and_each_range_is_as_long_as_it_can_be(numbers):
    ranges = [[int(end) for end in word.split("-")] for word in format_ranges(numbers).split()]
    assert [one for ends in ranges for one in range(ends[0], ends[-1] + 1)] == sorted(numbers)
    assert all(before[-1] + 1 < after[0] for before, after in pairwise(ranges))


@given(st.text())
def test_an_escaped_json_text_shows_all_its_characters_and_holds_the_same_value(text):
    shown = escaped(json.dumps(text, ensure_ascii=False), pairs=True)
    assert printable(shown) == shown
    assert json.loads(shown) == text


def test_escaping_leaves_line_feeds_and_visible_characters():
    assert escaped("é\n\x1b\u202e\U000e0041😀") == "é\n\\u001b\\u202e\\U000e0041😀"
    assert escaped("\U000e0041", pairs=True) == "\\udb40\\udc41"


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_that_steers_a_terminal_is_left(text):
    shown = printable(text)
    assert printable(shown) == shown
    assert not any(c in shown for c in "\x1b\n\r\x00\u202e\u2066\u2028")
    shown.encode()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(70000, "`70000`"), ("a\nb", "`a\\x0ab`"), ("x" * 60, f"`{'x' * 60}`"), ("x" * 61, f"`{'x' * 59}…`"), ("", "``")],
)
def test_a_value_is_quoted_on_one_line_and_cut(value, shown):
    assert quoted(value) == shown


def test_the_bound_of_a_quotation_can_be_chosen():
    assert quoted("abcdef", limit=4) == "`abc…`"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 realms"), (1, "1 realm"), (2, "2 realms"), (1234567, "1,234,567 realms")]
)
def test_a_number_agrees_with_its_noun(count, said):
    assert pluralise(count, "realm") == said


def test_an_irregular_plural_can_be_given():
    assert pluralise(2, "entry", "entries") == "2 entries"
    assert pluralise(1, "entry", "entries") == "1 entry"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("adress", "address"),
        ("replyTo", "reply_to"),
        ("Reply-To", "reply_to"),
        ("REPLY_TO", "reply_to"),
        ("replyto", "reply_to"),
        ("hostname", "host"),
        ("Grösse", "größe"),
        ("日本", "日本語"),
    ],
)
def test_a_misspelt_word_finds_the_one_that_was_meant(word, meant):
    known = ["address", "reply_to", "host", "größe", "日本語"]
    assert did_you_mean(word, known) == f"did you mean `{meant}`?"


@pytest.mark.parametrize("word", ["xyzzy", "", "--", "中国"])
def test_an_unfamiliar_word_gets_no_suggestion(word):
    assert did_you_mean(word, ["address", "reply_to", "日本"]) == ""


def test_a_word_without_letters_is_not_taken_for_another_without_letters():
    assert did_you_mean("--", ["__", "address"]) == ""


def test_without_known_words_nothing_is_suggested():
    assert did_you_mean("address", []) == ""


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        pytest.param([], "none", id="nothing"),
        pytest.param(["a"], "a", id="one"),
        pytest.param(["a", "b"], "a and b", id="as many as are shown"),
        pytest.param(["a", "b", "c"], "a, b and c", id="never 1 more"),
        pytest.param(["a", "b", "c", "d"], "a, b and 2 more", id="more than are shown"),
        pytest.param(["a\x1b", "b"], r"a\x1b and b", id="what could steer a terminal"),
    ],
)
def test_a_list_of_names_is_shortened(names: list[str], shown: str) -> None:
    assert first_and_more(names, 2) == shown


def test_a_list_of_phrases_is_shortened_with_another_separator() -> None:
    assert first_and_more(["a, b", "c, d", "e", "f"], 2, "; ") == "a, b; c, d; and 2 more"


@pytest.mark.parametrize(("text", "milliseconds"), [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("0s", 0)])
def test_a_duration_is_read_as_milliseconds(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "1.5s", "-1s", "1h", "10S", "\u0661s", "1234567890s", "10s\n"])
def test_any_other_text_is_not_a_duration(text: str) -> None:
    assert parse_duration(text) is None


NOON = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(NOON, id="in UTC"),
        pytest.param(NOON.replace(tzinfo=None), id="without a zone"),
        pytest.param(NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), id="in another zone"),
    ],
)
def test_a_time_is_shown_in_utc(time: datetime) -> None:
    assert as_utc(time) == NOON
    assert to_minute(time) == "2026-01-31 12:00 UTC"
    assert to_second(time) == "2026-01-31 12:00:05 UTC"
    assert to_iso(time) == "2026-01-31T12:00:05Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "2026-01-31 12:00 UTC"),
        (300, "2026-01-31 12:00 to 12:05 UTC"),
        (86_400, "2026-01-31 12:00 to 2026-02-01 12:00 UTC"),
    ],
)
def test_a_period_names_the_day_once(seconds: int, text: str) -> None:
    begin = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
    assert to_period(begin, begin + timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("globs", "selected"),
    [
        pytest.param([], True, id="no glob selects every name"),
        pytest.param(["acme"], True, id="the exact name"),
        pytest.param(["globex", "ac*"], True, id="one of several"),
        pytest.param(["globex"], False, id="another name"),
        pytest.param(["ACME"], False, id="case-sensitive"),
    ],
)
def test_globs_select_a_name(globs: list[str], selected: bool) -> None:
    assert is_selected("acme", globs) is selected


def test_an_empty_list_of_globs_matches_no_name() -> None:
    assert not matches_any("acme", [])
