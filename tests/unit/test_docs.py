"""The documentation is true: links lead somewhere, commands and modules exist, and what is shown is what happens."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import pytest
from support.console import ELISION, blocks, has_runnable_blocks, matches, run_page, steps
from support.keycloak_server import KEYCLOAK_16, KEYCLOAK_26

import ztrust_mail
from ztrust_mail import settings
from ztrust_mail.cli.app import Commands
from ztrust_mail.core.data import schema_text
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import has_errors
from ztrust_mail.core.rules import COMMANDS
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model.fields import FIELDS
from ztrust_mail.settings.fleet import FLEET_KEYS, SCHEDULE_KEYS
from ztrust_mail.settings.server_entry import SERVER_KEYS

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
}
SET_UP = (
    "python3 -m venv .venv && .venv/bin/pip install '.[sandbox]' && .venv/bin/ztrust-mail demo\n",
    "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt tox && .venv/bin/tox\n",
)
ROOMS = {path.name for path in (ROOT / "ztrust_mail").iterdir() if (path / "__init__.py").exists()}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that a hosting service makes of headings."""
    titles = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(PAGES[page])):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def test_the_readme_begins_with_the_two_set_up_commands_and_stays_short():
    assert tuple(blocks(PAGES["README.md"], "sh")[:2]) == SET_UP
    assert len(PAGES["README.md"].splitlines()) <= 200


@pytest.mark.parametrize("product", DIALECTS)
def test_the_page_of_products_says_of_each_what_works(product):
    rows = [line for line in PAGES["docs/products.md"].splitlines() if line.startswith("| ")]
    assert any(DIALECTS[product].title.partition(" ")[0] in row.split("|")[1] for row in rows), "docs/products.md"


def command_lines(text: str) -> Iterator[str]:
    """Yield every command line of this tool in a page."""
    shell = [line for block in blocks(text, "sh") for line in block.splitlines()]
    console = [step.command for block in blocks(text, "console") for step in steps(block)]
    inline = re.findall(r"`(ztrust-mail (?!COMMAND)[^`]+)`", without_code(text))
    for line in (*shell, *console, *inline):
        for found in re.finditer(r"(?:^|&& |<\(|\s)(?:\.venv/bin/)?ztrust-mail ([^)<|>]+)", line.partition("  #")[0]):
            if not line.startswith("#"):
                yield found[1].partition(" # ")[0].strip()


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_command_line_names_a_command_and_options_that_exist(page):
    wrong = []
    for line in command_lines(PAGES[page]):
        name, *arguments = shlex.split(re.sub(r"\$\(.*", "", line))
        command = Commands().get_command(click.Context(Commands()), name) if name in COMMANDS else None
        known = {option for parameter in (command.params if command else ()) for option in parameter.opts}
        given = {argument.partition("=")[0] for argument in arguments if re.match(r"--?[a-z]", argument)}
        if (command is None and name != "--version") or given - known - {"--help", "--version"}:
            wrong.append(line)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_every_spec_shown_is_valid(page):
    for block in blocks(PAGES[page], "yaml"):
        if re.match(r"(# \S+\n)?version: 1\n", block):
            findings = ztrust_mail.validate(_data(block))[1]
            assert not has_errors(findings), findings


def _data(block: str) -> dict:
    from ztrust_mail.specfile.load import read_text

    documents, findings = read_text("shown.yaml", block)
    assert findings == []
    return documents[0].value


@pytest.mark.parametrize("page", PAGES)
def test_every_settings_file_shown_is_valid(page, tmp_path):
    for block in blocks(PAGES[page], "toml"):
        path = tmp_path / "ztrust-mail.toml"
        path.write_text(block, encoding="utf-8")
        loaded = settings.load(str(path), {})
        for name in loaded.servers:
            if not str(loaded.servers[name]["url"]).startswith("file:"):
                settings.choose_server(loaded, name, (), {})


@pytest.mark.parametrize("page", PAGES)
def test_every_module_and_name_of_the_code_that_a_page_mentions_exists(page):
    """``room/module.py`` in code marks, and ``room/module.py: name`` for what is defined there."""
    if page == "CHANGELOG.md":
        return
    missing = []
    for path, name in re.findall(r"`(\w[\w/]*/\w+\.(?:py|sql|schema\.json))(?:: (\w+))?`", PAGES[page]):
        found = next((p for p in (ROOT / path, ROOT / "ztrust_mail" / path) if p.is_file()), None)
        if found is None:
            missing.append(path)
        elif name and not _defines(found.read_text(encoding="utf-8"), name):
            missing.append(f"{path}: {name}")
    assert missing == []


def _defines(source: str, name: str) -> bool:
    return all(re.search(rf"^\s*(?:(?:def|class) {part}\b|{part}(?:: [^=]+)? = )", source, re.MULTILINE)
               for part in name.split("."))  # fmt: skip


RUNNABLE = [page for page, text in PAGES.items() if has_runnable_blocks(text)]


def test_the_first_pages_show_commands_that_are_run_here():
    assert {"README.md", "docs/getting-started.md", "docs/journal.md"} <= {*RUNNABLE}


@pytest.mark.parametrize("page", RUNNABLE)
def test_the_output_shown_is_the_output_of_the_command(page, tmp_path):
    for step, real in run_page(PAGES[page], tmp_path):
        assert matches(step.output, real), f"$ {step.command}\n{real}\n--- {page} shows:\n{step.output}"


def test_a_wrong_or_missing_line_of_output_is_noticed():
    assert matches("a\nc\n", "a\nc\n")
    assert matches(f"a\n{ELISION}\nd\n", "a\nb\nc\nd\n")
    assert not matches("a\nc\n", "a\nb\nc\n")
    assert not matches(f"a\n{ELISION}\nd\n", "a\nb\nc\n")
    assert matches("1  2026-01-31 10:00  admin, me on host-1\n", "1  2027-02-01 11:30  admin, root on vm\n")


def test_every_command_status_field_and_setting_is_documented():
    commands, spec, servers = PAGES["docs/commands.md"], PAGES["docs/spec.md"], PAGES["docs/settings.md"]
    assert [name for name in COMMANDS if f"`{name}" not in commands or f"## {name}\n" not in PAGES["docs/cli.md"]] == []
    assert [int(status) for status in ExitStatus if f"\n| {int(status)} | " not in PAGES["docs/exit-status.md"]] == []
    assert [name for name in FIELDS if f"### `{name}`\n" not in spec] == []
    known = (*SERVER_KEYS, *settings.file.ALLOW_KEYS, *settings.file.JOURNAL_KEYS, *SCHEDULE_KEYS, *FLEET_KEYS)
    assert [key for key in known if f"| `{key}` |" not in servers] == []


REFERENCE = runpy.run_path(str(ROOT / "docs" / "generate.py"))
"""What ``docs/generate.py`` defines."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/") and page.count("/") == 1])
def test_the_generated_parts_of_a_page_are_up_to_date(page):
    assert REFERENCE["renew"](PAGES[page]) == PAGES[page], "write them anew: python docs/generate.py"


def test_every_part_that_can_be_generated_is_in_a_page():
    shown = {name for text in PAGES.values() for name in re.findall(r"^<!-- generated: (.+) -->$", text, re.MULTILINE)}
    assert shown == REFERENCE["PARTS"].keys()


GALLERY = runpy.run_path(str(ROOT / "docs" / "gallery.py"))
"""What ``docs/gallery.py`` defines."""


def test_the_gallery_shows_screens_of_80_columns_and_24_lines_of_events_that_its_script_knows():
    page = PAGES["docs/gallery.md"]
    events = re.findall(r"^<!-- gallery: (.+) -->$", page, re.MULTILINE)
    assert set(events) == GALLERY["BEFORE"].keys() | GALLERY["DURING"].keys()
    shown = [step for block in blocks(page, "console") for step in steps(block)]
    assert [step.command for step in shown if step.command.startswith("ztrust-mail") and not step.output] == []
    lines = [step.output.splitlines() for step in shown]
    assert [line for screen in lines for line in screen if len(line) > GALLERY["COLUMNS"]] == []
    assert [screen[0] for screen in lines if len(screen) > GALLERY["LINES"]] == []
    assert len([screen for screen in lines if screen and screen[0] == ELISION]) > 3


def test_the_pictures_are_few_small_and_all_shown_in_the_gallery():
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    shown = re.findall(r"\]\(images/([^)]+)\)", PAGES["docs/gallery.md"])
    assert sorted(shown) == [picture.name for picture in pictures]
    assert len(pictures) <= 6
    assert [picture.name for picture in pictures if picture.stat().st_size >= 150_000] == []


def test_the_gallery_shows_what_is_left_on_a_terminal():
    output = "120 of 300\r\x1b[2Ka \x1b[1mb\x1b[0m \r\n" + "x" * 81 + "\r\n"
    lines = GALLERY["wrap"](GALLERY["shown_lines"](output))
    assert lines == ["a b", "x" * 80, "x", ""]
    long = [str(number) for number in range(30)]
    assert GALLERY["last_screen"](long) == [ELISION, *long[7:]]
    assert GALLERY["last_screen"](long[:23]) == long[:23]


def test_the_page_on_compatibility_names_the_versions_that_are_tested_and_the_fields_that_need_one():
    page = PAGES["docs/compatibility.md"]
    needed = {".".join(map(str, version)) for row in KEYCLOAK.rows for version in row.since}
    assert {KEYCLOAK_16.version, KEYCLOAK_26.version} | needed <= set(re.findall(r"\d+\.\d+\.\d+", page))


def test_a_stale_page_is_noticed():
    page = PAGES["docs/exit-status.md"]
    assert REFERENCE["renew"](page.replace("| 130 |", "| 131 |")) == page


def test_the_example_of_every_field_is_valid_by_the_schema():
    schema = jsonschema.Draft202012Validator(json.loads(schema_text("spec")))
    examples = blocks(REFERENCE["field_details"](), "yaml")
    assert len(examples) > 15
    for example in examples:
        schema.validate(_data(f"version: 1\nrealms:\n  acme: {{{example.strip()}}}\n"))


def test_the_architecture_page_describes_every_room():
    described = set(re.findall(r"^\| `(\w+)` \|", PAGES["docs/architecture.md"], flags=re.MULTILINE))
    assert ROOMS - described == set()


def test_the_index_of_decisions_lists_each_with_its_title_and_every_decision_has_status_and_date():
    index = PAGES["docs/decisions/README.md"]
    for page, text in PAGES.items():
        if re.match(r"docs/decisions/\d", page):
            title, _, rest = text.partition("\n")
            assert re.match(r"\n\*\*Status:\*\* \w+.*, \d{4}-\d\d-\d\d", rest), page
            assert f"[{title.removeprefix('# ')}]({Path(page).name})" in index, page
