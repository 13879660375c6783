"""Placeholders: what they stand for, how they are shaped for their place, and where they are none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztrust_mail.model.values import BadValue
from ztrust_mail.specfile import placeholders
from ztrust_mail.specfile.placeholders import (
    BadPlaceholder,
    as_env_name,
    as_path_segment,
    builtin,
    escape,
    expand,
    slug,
)

VALUES = {"realm": "Acme Corp", "realm.slug": "acme-corp", "region": "eu", "empty": ""}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{realm}", "Acme Corp"),
        ("no-reply@{realm.slug}.{region}.example", "no-reply@acme-corp.eu.example"),
        ("{region}{region}", "eueu"),
        ("{{", "{"),
        ("}}", "}"),
        ("{{realm}}", "{realm}"),
        ("{{{realm}}}", "{Acme Corp}"),
        ("a{{b}}{region}{{", "a{b}eu{"),
        ("$${{x}}", "$${x}"),
    ],
)
def test_placeholders_are_replaced_and_double_braces_are_braces(template, text):
    assert expand(template, VALUES) == text


@pytest.mark.parametrize("template", ["{", "}", "a {", "} b", "{realm", "realm}", "{re{alm}", "{{realm}", "{realm}}"])
def test_a_lone_brace_is_refused(template):
    with pytest.raises(BadPlaceholder, match=r"has a single `[{}]`") as caught:
        expand(template, VALUES)
    assert caught.value.rule == "bad-placeholder"
    assert caught.value.hint == "write {{ or }} for a brace"


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{relm}", "did you mean `realm`?"),
        ("{realm.slugg}", "did you mean `realm.slug`?"),
        ("{Region}", "did you mean `region`?"),
        ("{xyz}", "known: realm, realm.slug, region, empty, and a server's variables; write {{ for a brace"),
        ("{}", "known: realm, realm.slug, region, empty, and a server's variables; write {{ for a brace"),
        ("{ realm }", "did you mean `realm`?"),
        ("{realm!r}", "did you mean `realm`?"),
        ("{realm.__class__}", "did you mean `realm`?"),
        ("{0}", "known: realm, realm.slug, region, empty, and a server's variables; write {{ for a brace"),
    ],
)
def test_an_unknown_placeholder_is_refused_with_the_one_that_was_meant(template, hint):
    with pytest.raises(BadPlaceholder) as caught:
        expand(template, VALUES)
    assert caught.value.args == (f"has the unknown placeholder `{template}`", hint)


def test_an_unknown_placeholder_in_a_secret_is_not_quoted():
    with pytest.raises(BadPlaceholder) as caught:
        expand("hunter{2}", VALUES, secret=True)
    assert caught.value.problem == "has an unknown placeholder"
    assert "2" not in caught.value.hint


def test_a_placeholder_with_an_empty_value_is_refused_for_that_realm_alone():
    with pytest.raises(BadValue) as caught:
        expand("{empty}", VALUES)
    assert caught.value.problem == "uses `{empty}`, which is empty here"
    assert caught.value.rule == "bad-value"


def test_expanded_values_are_not_expanded_again():
    assert expand("{a}", {"a": "{b} {{ }", "b": "no"}) == "{b} {{ }"


@given(st.text())
def test_escaped_text_is_expanded_to_the_original(text):
    assert expand(escape(text), {}) == text


@given(st.lists(st.sampled_from(["{{", "}}", "{a}", "{bb}", "x", " ", "{a}"])))
def test_a_template_of_valid_parts_expands_part_by_part(parts):
    meant = {"{{": "{", "}}": "}", "{a}": "1{a}", "{bb}": "{"}
    assert expand("".join(parts), {"a": "1{a}", "bb": "{"}) == "".join(meant.get(part, part) for part in parts)


def test_the_names_in_a_template_are_reported():
    assert list(placeholders.names_in("{realm}{{no}} {region} {")) == ["realm", "region"]


@pytest.mark.parametrize(
    ("realm", "short"),
    [
        ("acme", "acme"),
        ("Acme Corp", "acme-corp"),
        ("--A__b..C--", "a-b-c"),
        ("München", "m-nchen"),
        ("日本", ""),
        ("a/../b", "a-b"),
        ("İ", "i"),
    ],
)
def test_a_slug_is_lower_case_with_one_dash_for_everything_else(realm, short):
    assert slug(realm) == short
    assert builtin(realm) == {"realm": realm, "realm.slug": short}


@given(st.text())
def test_a_slug_is_part_of_a_host_name_or_empty(realm):
    assert re.fullmatch(r"(?:[a-z0-9]+(?:-[a-z0-9]+)*)?", slug(realm))


@pytest.mark.parametrize(
    ("value", "name"),
    [("acme", "ACME"), ("acme-corp.eu", "ACME_CORP_EU"), ("Straße", "STRASSE"), ("a b\nc", "A_B_C"), ("日本", "__")],
)
def test_in_a_variables_name_a_value_is_upper_case_with_underscores(value, name):
    assert as_env_name(value) == name


@given(st.text())
def test_no_value_brings_a_foreign_character_into_a_variables_name(value):
    assert re.fullmatch(r"[A-Z0-9_]*", as_env_name(value))


@pytest.mark.parametrize("value", [".", "..", "/", "a/b", "../etc", "/etc/passwd", "a\\b", "..\\a", "a\0b", "/.."])
def test_a_value_that_would_lead_elsewhere_in_a_path_is_refused(value):
    with pytest.raises(BadValue, match="which would lead to another folder") as caught:
        as_path_segment(value)
    assert caught.value.hint == "use {realm.slug}"


@pytest.mark.parametrize("value", ["acme", "a.b", "...", ".hidden", "..a", "a..", "a b", "日本", "~", "%2e%2e"])
def test_a_value_that_stays_in_its_segment_is_inserted_unchanged(value):
    assert as_path_segment(value) == value


SEGMENTS = st.text(alphabet="./\\\0a", max_size=4)


@given(SEGMENTS, SEGMENTS)
def test_two_adjacent_values_cannot_lead_to_a_parent_folder_either(one, other):
    try:
        path = expand("secrets/{one}{other}/key", {"one": one, "other": other}, as_path_segment)
    except BadValue:
        return
    assert path.count("/") == 2
    assert path.split("/")[1] not in ("", ".", "..")
