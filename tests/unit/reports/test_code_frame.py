"""Code frames: the source line of a finding with a caret, for people at a terminal; one line each for a pipe."""

import io
from dataclasses import replace

import pytest

from ztrust_mail.core.findings import Excerpt, Finding, Location, Severity, error
from ztrust_mail.reports.style import plain
from ztrust_mail.reports.text.code_frame import spec_finding_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def finding(excerpt: Excerpt | None, hint: str = "did you mean `address`?", line: int = 7) -> Finding:
    found = error("unknown-key", "unknown key `adress`", hint, Location("mail.yaml", line, 14))
    return Finding(found.severity, found.rule, found.message, found.hint, found.location, excerpt=excerpt)


def frames(*found: Finding, width: int = 80) -> str:
    return plain(spec_finding_lines(found, Terminal(), width))


EXCERPT = Excerpt("    sender: {", "adress", ": no-reply@acme.example}")


def test_a_terminal_gets_the_line_with_the_place_underlined() -> None:
    assert frames(finding(EXCERPT)) == (
        "error: unknown key `adress` [unknown-key]\n"
        "  --> mail.yaml:7:14\n"
        "   |\n"
        " 7 |     sender: {adress: no-reply@acme.example}\n"
        "   |              ^^^^^^ did you mean `address`?\n"
    )


def test_a_pipe_gets_one_line_that_problem_matchers_understand() -> None:
    lines = plain(spec_finding_lines([finding(EXCERPT), finding(None, line=9)], io.StringIO()))
    assert lines == (
        "mail.yaml:7:14: error: unknown key `adress`; did you mean `address`? [unknown-key]\n"
        "mail.yaml:9:14: error: unknown key `adress`; did you mean `address`? [unknown-key]\n"
        "Found 2 errors in 1 file.\n"
    )


def test_a_warning_in_many_lines_is_shown_once_unless_details_are_wanted() -> None:
    def warning(number: int) -> Finding:
        return replace(finding(EXCERPT, line=number), severity=Severity.WARNING)

    found = [warning(7), finding(EXCERPT, line=8), *map(warning, range(10, 16)), finding(EXCERPT, line=20)]
    shown = plain(spec_finding_lines(found, Terminal(), 80, fold=True, count=False))
    assert shown.count("warning: ") == 1
    assert shown.count("error: ") == 2
    assert "   = and 6 more lines: 10, 11, 12 and 3 more; --details shows each\n" in shown
    assert plain(spec_finding_lines(found, Terminal(), 80)).count("warning: ") == 7


def test_a_hint_too_long_for_the_line_comes_below() -> None:
    shown = frames(finding(EXCERPT, "write a value such as " + "x" * 50, line=10))
    assert "   |              ^^^^^^\n    = write a value" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_without_an_excerpt_no_line_is_shown() -> None:
    assert frames(finding(None)).splitlines() == [
        "error: unknown key `adress` [unknown-key]",
        "  --> mail.yaml:7:14",
        "   = did you mean `address`?",
    ]


@pytest.mark.parametrize(
    ("before", "marked", "columns"),
    [
        pytest.param("日本語: ", "adress", 8, id="wide characters"),
        pytest.param("e\u0301: ", "adress", 3, id="combining characters"),
        pytest.param("\x1b[31m: ", "adress", 10, id="an escape sequence"),
        pytest.param("\u202e: ", "adress", 8, id="a bidi control"),
    ],
)
def test_the_caret_is_below_the_place_whatever_comes_before_it(before: str, marked: str, columns: int) -> None:
    *_, source, caret = frames(finding(Excerpt(before, marked, ""), hint="")).splitlines()
    assert caret == "   | " + " " * columns + "^^^^^^"
    assert source.isprintable()


def test_an_invisible_character_is_underlined_as_it_is_shown() -> None:
    *_, source, caret = frames(finding(Excerpt("  ", "\t", "acme: {}"), hint="")).splitlines()
    assert (source, caret) == (" 7 |   \\x09acme: {}", "   |   ^^^^")


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("character", ["x", "語"])
def test_a_long_line_is_cut_around_the_place(width: int, character: str) -> None:
    shown = frames(finding(Excerpt(character * 200, "adress", character * 200), hint=""), width=width)
    *_, source, caret = shown.splitlines()
    columns = [2 if one == "語" else 1 for one in source]
    assert sum(columns) <= width
    assert source[source.index("…") :].count("…") == 2
    assert sum(columns[: source.index("adress")]) == caret.index("^")


def test_a_place_longer_than_the_line_is_cut_too() -> None:
    shown = frames(finding(Excerpt("", "x" * 300, ""), hint=""), width=40)
    assert all(len(line) <= 40 for line in shown.splitlines())


def test_realms_with_the_same_finding_at_one_place_share_a_frame() -> None:
    place = Location("mail.yaml", 3, 5)
    found = [error("bad-value", "`relay.host` is bad", "", place, realm) for realm in ("acme", "globex", "initech")]
    assert frames(*found).splitlines()[1:2] == ["  --> mail.yaml:3:5 (3 realms: acme, globex and initech)"]


def test_errors_are_counted_with_their_files() -> None:
    found = [error("x", str(n), "", Location(f"{n % 17}.yaml", 1, n + 1)) for n in range(41)]
    assert frames(*found).splitlines()[-1] == "Found 41 errors in 17 files."
