"""The command ``docs`` prints the pages of the documentation, and messages name pages that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli, on_terminal

import ztrust_mail
from ztrust_mail.cli import pages
from ztrust_mail.cli.pages import page_names
from ztrust_mail.reports.style import plain

PACKAGE = Path(ztrust_mail.__file__).parent
FILES = {path.stem for path in (PACKAGE / "docs").glob("*.md")} - {"README"}


@pytest.fixture(autouse=True)
def _80_columns(cli: Cli) -> None:
    cli.monkeypatch.setenv("COLUMNS", "80")


def test_without_an_argument_every_page_is_listed_with_what_it_is_for(cli: Cli) -> None:
    ran = cli("docs")
    assert (ran.status, ran.err) == (0, "")
    assert re.search(r"^  settings +configure servers and logins", ran.out, re.MULTILINE)
    words = re.findall(r"^  (\S.*?)  ", ran.out, re.MULTILINE)
    assert sorted(name for names in words for name in names.split(", ")) == sorted(FILES)
    assert ran.out.endswith("Read one with: ztrust-mail docs PAGE\n")
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_page_is_shown_as_text_without_markup_or_links_that_lead_nowhere(cli: Cli, name: str) -> None:
    ran = cli("docs", name)
    assert (ran.status, ran.err) == (0, "")
    source = (PACKAGE / "docs" / f"{name}.md").read_text("utf-8")
    assert ran.out.startswith(re.search(r"^# .+$", source, re.MULTILINE)[0])  # type: ignore[index]
    lines = [line for line in ran.out.splitlines() if not line.startswith("    ")]
    assert [line for line in lines if "](" in line or line.startswith(("<!--", "```", "| "))] == []
    assert [line for line in lines if len(line) > 80 and " " in line.strip()] == []
    for code in re.findall(r"^```\w*\n(.*?)^```$", source, re.MULTILINE | re.DOTALL):
        assert "".join(f"    {line}".rstrip() + "\n" for line in code.splitlines()) in ran.out
    named = re.findall(r"`ztrust-mail docs ([a-z-]+)`", ran.out)
    assert set(named) <= {*page_names()}


@pytest.mark.parametrize("given", ["exit-status", "exit-status.md", "docs/exit-status.md", "Exit-Status"])
def test_a_page_may_be_named_like_its_file(cli: Cli, given: str) -> None:
    assert cli("docs", given).out.startswith("# Exit status\n")


@pytest.mark.parametrize(
    ("given", "hint"),
    [("setings", "did you mean `settings`?"), ("exit_status", "did you mean `exit-status`?"),
     ("zzz", "all pages: ztrust-mail docs"), ("../LICENSE", "all pages"), ("decisions/README", "all pages")],
)  # fmt: skip
def test_an_unknown_page_ends_with_2_and_suggests_the_nearest(cli: Cli, given: str, hint: str) -> None:
    ran = cli("docs", given)
    assert (ran.status, ran.out) == (2, "")
    assert f"unknown page `{given}`; " in ran.err
    assert hint in ran.err


PAGE = """\
<!-- console: realms acme -->
# A page

See [the spec](spec.md#anchor), [`settings.md`](settings.md), [spec.md](spec.md), [above](#here),
[a choice](decisions/0001-x.md), [CONTRIBUTING.md](../CONTRIBUTING.md) and [the site](https://example.com/a).

- an item that is **long** enough to be wrapped, since it goes on and on and on, to the end of the line
  and beyond
1. first

| key | meaning |
| --- | --- |
| `a` | one \\| two |

| key | variable | meaning |
| --- | --- | --- |
| `a` | | a cell that does not fit beside the others, because it is much too wide for 80 columns |
| `b` | B | short |

![A picture](images/a.png)
"""
SHOWN = """\
# A page

See the spec (`ztrust-mail docs spec`), `settings.md` (`ztrust-mail docs
settings`), `ztrust-mail docs spec`, above, a choice (docs/decisions/0001-x.md
of the source), CONTRIBUTING.md of the source and the site
(https://example.com/a).

- an item that is long enough to be wrapped, since it goes on and on and on, to
  the end of the line and beyond
1. first

key  meaning
`a`  one | two

`a`
    meaning: a cell that does not fit beside the others, because it is much too
    wide for 80 columns
`b`
    variable: B; meaning: short

(picture: A picture)
"""


def test_links_become_commands_and_wide_tables_lists() -> None:
    assert plain(pages.text_lines(PAGE, 80), 80) == SHOWN


def test_a_page_is_shown_in_the_pager_of_a_terminal_unless_it_fits_or_none_is_wanted(cli: Cli) -> None:
    cli.monkeypatch.setenv("PAGER", "sed s/^/PAGED/")
    cli.monkeypatch.delenv("CI", raising=False)
    cli.monkeypatch.setenv("TERM", "xterm")
    shown = {}
    for arguments in (("docs", "spec"), ("docs", "spec", "--no-pager")):
        with on_terminal(*arguments) as terminal:
            shown[arguments] = terminal.finish()
    assert [ran.status for ran in shown.values()] == [0, 0]
    assert [("PAGED" in ran.out) for ran in shown.values()] == [True, False]
    assert all("\x1b[1m" in ran.out for ran in shown.values())


def texts() -> Iterator[str]:
    """Every text of the package that is no docstring and no comment, in which the messages are."""
    for path in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        documenting = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        constants = (node for node in nodes if isinstance(node, ast.Constant) and id(node) not in documenting)
        yield from (node.value for node in constants if isinstance(node.value, str))
    for path in (*(PACKAGE / "data").iterdir(), *(PACKAGE / "schemas").iterdir()):
        yield re.sub(r"^#.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)


def test_a_message_names_pages_that_exist_and_no_file_of_the_checkout() -> None:
    messages = [*texts()]
    named = {name for text in messages for name in re.findall(r"ztrust-mail docs ([a-z-]+)", text)}
    assert named <= {*page_names()}
    assert {"settings", "policy"} <= named
    in_checkout = re.compile(r"\b(?:README\b(?!$)|CONTRIBUTING|(?<!/)docs/\w[\w-]*\.md)")
    assert [text for text in messages if in_checkout.search(text)] == []


def test_the_help_names_the_command_that_shows_the_documentation(cli: Cli) -> None:
    assert "The documentation: ztrust-mail docs" in cli("--help").out
