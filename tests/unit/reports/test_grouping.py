"""What many realms have in common is said once; what differs is never lost."""

from __future__ import annotations

import pytest

from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.reports.grouping import (
    EXAMPLES,
    Block,
    Statement,
    count_by,
    group_findings,
    group_realms,
    list_realms,
    name_realms,
)
from ztrust_mail.reports.style import plain
from ztrust_mail.reports.text.lines import value_lines
from ztrust_mail.specfile.placeholders import insert_placeholders


def change(field: str, *texts: str) -> Statement:
    return Statement("change", field, texts)


def names(count: int) -> list[str]:
    return [f"tenant-{n:03}" for n in range(1, count + 1)]


def grouped(said: dict[str, list[Statement]]) -> list[Block]:
    return group_realms([(realm, "", statements) for realm, statements in said.items()])


@pytest.mark.parametrize(
    ("realms", "said"),
    [
        (["acme"], "acme"),
        (["acme", "globex"], "2 realms (acme and globex)"),
        (["t1", "t2", "t3"], "3 realms (t1, t2 and t3)"),
        (["t9", "t11", "t8", "t10"], "4 realms (t8 … t11)"),
        (["t1", "t2", "t3", "t5"], "4 realms (t1, t2 and 2 more)"),
        (["t1", "t2", "u3", "t4"], "4 realms (t1, t2 and 2 more)"),
        (["t1", "t01", "t2", "t3"], "4 realms (t1, t01 and 2 more)"),
        (["acme corp"], "`acme corp`"),
        (["a", "b, c", "d and 9 more"], "3 realms (a, `b, c` and `d and 9 more`)"),
        (
            ["t  to change 1", "t  to change 2", "t  to change 3", "t  to change 4"],
            "4 realms (`t  to change 1` … `t  to change 4`)",
        ),
        (["\x1b1", "\x1b2", "\x1b3", "\x1b4"], r"4 realms (\x1b1 … \x1b4)"),
    ],
)
def test_a_range_is_named_only_where_no_number_is_missing(realms: list[str], said: str) -> None:
    assert name_realms(realms) == said


@pytest.mark.parametrize(
    ("text", "realm", "pattern"),
    [
        ("no-reply@acme.example", "acme", "no-reply@{realm}.example"),
        ("no-reply@acme-corp.example", "Acme Corp", "no-reply@{realm.slug}.example"),
        ("acme and acme", "acme", "{realm} and {realm}"),
        ("smtp.acmecorp.example", "acme", "smtp.acmecorp.example"),
        ("smtp.example.com", "a", "smtp.example.com"),
        ("from env:SMTP_PASSWORD_ACME_CORP", "acme-corp", "from env:SMTP_PASSWORD_{realm}"),
        ("anything", "", "anything"),
        ("anything", "漢", "anything"),
    ],
)
def test_the_name_of_a_realm_becomes_a_placeholder_where_it_is_a_whole_word(
    text: str, realm: str, pattern: str
) -> None:
    assert insert_placeholders(text, realm) == pattern


def test_equal_changes_are_one_block_with_a_pattern_for_the_name() -> None:
    said = {realm: [change("host", "h"), change("from", f"a@{realm}.example")] for realm in names(300)}
    (block,) = grouped(said)
    assert block == Block("", tuple(said), (change("host", "h"), change("from", "a@{realm}.example")))


def test_a_value_that_happens_to_hold_the_name_of_one_realm_is_still_the_value_of_all() -> None:
    said = {realm: [change("from", "a@tenant-001.example")] for realm in names(3)}
    assert grouped(said) == [Block("", tuple(said), (change("from", "a@tenant-001.example"),))]


def test_what_one_realm_has_on_top_is_shown_with_the_group_and_its_exact_value() -> None:
    said = {realm: [change("host", "h")] for realm in names(5)}
    said["tenant-003"] = [change("host", "h"), change("from", "a@tenant-003.example")]
    (block,) = grouped(said)
    assert block.realms == tuple(names(5))
    assert block.others == (Block("", ("tenant-003",), (change("from", "a@tenant-003.example"),)),)


@pytest.mark.parametrize("literal", ["{realm}", "{{realm}", "{acme}", "{{realm}}"])
def test_a_value_with_a_placeholder_in_it_is_not_the_same_as_the_pattern(literal: str) -> None:
    same = {realm: [change("host", f"{realm}.x", realm)] for realm in ("acme", "globex", "umbrella")}
    blocks = grouped({**same, "evil": [change("host", f"{literal}.x", literal)]})
    assert [block.realms for block in blocks] == [("acme", "globex", "umbrella"), ("evil",)]
    assert blocks[1].statements == (change("host", f"{literal}.x", literal),)


def test_a_finding_with_a_placeholder_in_it_is_not_the_same_as_the_pattern() -> None:
    texts = {"acme": "acme", "globex": "globex", "evil": "{realm}"}
    found = [Finding(Severity.ERROR, "x", f"is {text}.x", realm=realm) for realm, text in texts.items()]
    assert [one.realms for one in group_findings(found)] == [("acme", "globex"), ("evil",)]


def test_a_realm_alone_shows_its_values_as_they_are() -> None:
    (block,) = grouped({"acme": [change("from", "a@acme.example")]})
    assert block.statements == (change("from", "a@acme.example"),)


def test_values_of_their_own_for_every_realm_are_one_line_with_examples() -> None:
    said = {realm: [change("host", "h"), change("name", f"Customer {n * n}")] for n, realm in enumerate(names(300))}
    (block,) = grouped(said)
    host, name = block.statements
    assert (host, len(name.examples)) == (change("host", "h"), EXAMPLES)
    assert name.examples[1] == ("tenant-002", ("Customer 1",))


def test_examples_say_how_to_see_the_other_values() -> None:
    one = Statement("change", "host", (), (("acme", ("a", "b")), ("b: c", ("c", "d"))))
    assert plain(value_lines(["  host  "], one)).splitlines() == [
        "  host  differs by realm (--details shows each):",
        "        acme    a → b",
        "        `b: c`  c → d",
        "        …",
    ]


def test_a_single_realm_that_goes_elsewhere_is_never_folded_away() -> None:
    said = {realm: [change("host", "h")] for realm in names(300)}
    said["tenant-123"] = [change("host", "evil.example")]
    blocks = grouped(said)
    assert [(len(one.realms), one.statements) for one in blocks] == [
        (299, (change("host", "h"),)),
        (1, (change("host", "evil.example"),)),
    ]


def test_every_realm_and_every_statement_is_in_some_block() -> None:
    said = {realm: [change("host", f"h{n % 7}"), change("port", str(n % 3))] for n, realm in enumerate(names(100))}
    blocks = grouped(said)
    assert sorted(realm for one in blocks for realm in one.realms) == names(100)
    for block in blocks:
        assert all(said[realm] == list(block.statements) for realm in block.realms)


def test_realms_with_different_heads_are_not_one_block() -> None:
    assert len(group_realms([("a", "missing", ()), ("b", "failed", ()), ("c", "missing", ())])) == 2


def test_details_show_every_realm_by_itself() -> None:
    rows = [(realm, "", [change("from", f"a@{realm}.example")]) for realm in names(3)]
    blocks = group_realms(rows, details=True)
    assert [(one.realms, one.statements) for one in blocks] == [((name,), tuple(own)) for name, _, own in rows]


def test_equal_findings_are_counted_once_and_keep_all_realms() -> None:
    found = [Finding(Severity.ERROR, "r", f"{realm} failed", realm=realm) for realm in names(40)]
    (group,) = group_findings([*found, *found])
    assert (group.finding.message, group.realms, group.more) == ("{realm} failed", tuple(names(40)), 0)


def test_different_findings_of_one_rule_are_shortened_but_not_those_at_places() -> None:
    found = [Finding(Severity.ERROR, "r", f"failed with {n * n}", realm=name) for n, name in enumerate(names(40))]
    groups = group_findings(found)
    assert len(groups) == EXAMPLES + 1
    assert (groups[-1].more, list_realms(groups[-1].realms)) == (37, "tenant-004 … tenant-040")
    assert len(group_findings(found, fold=False)) == 40
    assert len(group_findings([Finding(Severity.ERROR, "r", f"wrong key {n}") for n in range(40)])) == 40


def test_values_of_many_realms_are_counted() -> None:
    assert count_by({"a": "x", "b": "x"}, "ab") == "x"
    assert count_by({"a": "x", "b": "x"}, "abc") == "x (2 realms); unknown (1 realm)"
    assert count_by({}, "abc") == ""
    assert count_by({one: one for one in "abcde"}, "abcde").endswith("; 2 more")


@pytest.mark.parametrize(
    ("severity", "fold", "places"),
    [(Severity.WARNING, True, [2, 0]), (Severity.WARNING, False, [0] * 4), (Severity.ERROR, True, [0] * 4)],
)
def test_a_warning_at_several_places_of_a_file_is_one_and_an_error_is_not(
    severity: Severity, fold: bool, places: list[int]
) -> None:
    at = [("a.yaml", 3), ("a.yaml", 5), ("b.yaml", 3), ("a.yaml", 9)]
    found = [Finding(severity, "r", "odd", location=Location(path, n, 1), realm=f"{path}{n}") for path, n in at]
    groups = group_findings(found, fold=fold)
    assert [group.places for group in groups] == places
    assert sorted(realm for group in groups for realm in group.realms) == sorted(f"{path}{n}" for path, n in at)
    assert str(groups[0].finding.location) == "a.yaml:3:1"
