"""Sheets: where they come from, warnings at their values, and what a hostile value cannot do."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from support.cli import Cli
from support.converting import convert
from support.products import ALL, LOGGED_IN

from ztrust_mail import __version__
from ztrust_mail.convert import FORMATS, Destination, Style
from ztrust_mail.convert.product import Product
from ztrust_mail.convert.sheets.sheet import HOW, SECRETS, Source
from ztrust_mail.core.findings import warning
from ztrust_mail.dialects.products.omnibyte import OMNIBYTE
from ztrust_mail.model.fields import PASSWORD

PRODUCTS = {name: Product(dialect) for name, dialect in ALL.items()}
SHEETS = [style for style in Style if style is not Style.JSON]
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SPEC = """\
version: 1
server: production
realms:
  acme:
    relay: {host: smtp.example.com, security: none}
    sender: {address: no-reply@acme.example, name: Acme}
    reply_to: {address: help@acme.example}
  globex:
    relay: {host: smtp.example.com, auth: {username: no-reply@globex.example, password: {env: GLOBEX_PASSWORD}}}
    sender: {address: no-reply@globex.example, name: Globex}
  "tenant-*":
    relay: {host: smtp.example.com}
    sender: {address: a@b.example}
"""
HOSTILE = 'x"><script>alert(1)</script>&amp; | `b` *c* [d](e) \\ \u202eevil'


@pytest.fixture(name="spec")
def spec_fixture(cli: Cli) -> str:
    return cli.write("mail.yaml", SPEC)


def sheet_of(path: str, style: Style, product: str = "oneaccess", source: str = "spec") -> str:
    return convert(FORMATS[source], FORMATS[product], path, style, destination=Destination(written_at=NOON)).text


def lines_of(sheet: str) -> list[str]:
    """The lines of a sheet that is text, each comment as one line."""
    return re.sub(r"\n *# (?=[a-z`])", " ", sheet).splitlines()


class Page(HTMLParser):
    """The parts of an HTML sheet: its tags with attributes, its texts, and the text of each row and finding."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input"):
            self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "tr" in self.inside:
            self.rows[-1].append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, label: str) -> str:
        """The text of the first row with a label."""
        return next("".join(row) for row in self.rows if label in row)


# where a sheet comes from


@pytest.mark.parametrize("style", SHEETS)
def test_a_sheet_says_from_what_for_which_server_when_and_by_what_it_was_written(style: Style, spec: str) -> None:
    sheet = sheet_of(spec, style).replace("\\", "")
    digest = hashlib.sha256(SPEC.encode()).hexdigest()[:12]
    for fact in (f"(sha256 {digest})", "production", f"2026-01-31 12:00 UTC by ztrust-mail {__version__}"):
        assert fact in sheet
    assert "mail.yaml" in sheet
    assert sheet_of(spec, style).replace("\\", "") == sheet


def test_many_files_are_counted_and_have_one_digest(tmp_path: Path) -> None:
    entry = "version: 1\nrealms:\n  {}: {{relay: {{host: h.example}}, sender: {{address: a@b.example, name: N}}}}\n"
    for name in "abcd":
        (tmp_path / f"{name}.yaml").write_text(entry.format(name), encoding="utf-8")
    (line,) = re.findall(r"^Source: (.+)", sheet_of(str(tmp_path), Style.MARKDOWN), re.MULTILINE)
    assert re.fullmatch(re.escape(str(tmp_path)).replace("_", r"\\_") + r" \(4 files, sha256 [0-9a-f]{12}\)\\", line)
    (tmp_path / "d.yaml").write_text(entry.format("d") + "# changed\n", encoding="utf-8")
    assert line not in sheet_of(str(tmp_path), Style.MARKDOWN)


@pytest.mark.parametrize("source", ["realm-export", "terraform", "ansible", "keycloak", "oneaccess"])
def test_a_sheet_has_no_digest_of_a_file_that_may_hold_a_password(source: str, cli: Cli) -> None:
    cli.write("spec.yaml", FORMATS["spec"].write({"acme": LOGGED_IN}).text)
    suffix = {"terraform": ".tf", "ansible": ".yml", "oneaccess": ".txt"}.get(source, ".json")
    assert cli("convert", "--from", "spec", "--to", source, "spec.yaml", "--out", f"acme{suffix}").status == 0
    sheet = sheet_of(f"acme{suffix}", Style.TEXT, "omnibyte", source)
    assert f"# Source: acme{suffix}\n" in sheet
    assert hashlib.sha256((cli.folder / f"acme{suffix}").read_bytes()).hexdigest()[:8] not in sheet


def test_the_command_writes_the_present_time_and_names_standard_input(cli: Cli) -> None:
    before = datetime.now(UTC).replace(second=0, microsecond=0)
    sheet = cli("convert", "--from", "spec", "--to", "oneaccess", "-", stdin=SPEC).out
    (written,) = re.findall(r"^# Written: (\S+ \S+) UTC by ", sheet, re.MULTILINE)
    assert before <= datetime.strptime(f"{written}Z", "%Y-%m-%d %H:%M%z") <= datetime.now(UTC)
    assert "# Source: standard input (sha256 " in sheet


# warnings


def test_a_text_sheet_has_each_warning_where_it_belongs_and_reads_back(spec: str) -> None:
    sheet = sheet_of(spec, Style.TEXT)
    lines = lines_of(sheet)
    head = lines[: lines.index("")]
    assert any(line.startswith("# Warning: skipped the glob `tenant-*`") for line in head)
    acme = lines.index("acme:")
    assert "does not support `reply_to.address`; left out; set it by other means" in lines[acme - 1]
    security = next(n for n, line in enumerate(lines) if line.startswith("  Security type:"))
    assert lines[security - 1].startswith("  # Warning: ")
    assert "unencrypted" in lines[security - 1]
    assert max(map(len, sheet.splitlines())) <= 80
    assert set(yaml.safe_load(sheet)) == {"acme", "globex"}


def test_a_markdown_sheet_has_each_warning_where_it_belongs(spec: str) -> None:
    head, acme, globex = sheet_of(spec, Style.MARKDOWN).split("\n## ")
    assert "> Warning: skipped the glob `tenant-*`" in head
    assert "> Warning: OneAccess does not support `reply_to.address`" in acme
    assert "| Done | Field | Value | Note |" in acme
    assert re.search(r"^\| ☐ \| Security type \| `none` \| Warning: .*unencrypted", acme, re.MULTILINE)
    assert "Warning" not in globex
    assert "| Done | Field | Value |\n" in globex


def test_an_html_sheet_has_each_warning_where_it_belongs(spec: str) -> None:
    page = sheet_of(spec, Style.HTML)
    head, acme, globex = page.split("<section ")
    assert "skipped the glob <code>tenant-*</code>" in head
    assert "OneAccess does not support <code>reply_to.address</code>" in acme.partition("<table>")[0]
    assert "unencrypted" in Page(page).row("Security type")
    assert 'class="finding"' not in globex


def test_a_warning_on_the_file_that_was_read_is_at_its_value_once(cli: Cli) -> None:
    cli.write("acme.json", '{"host": "h", "port": "25", "user": "u", "auth": "true", "password": "hunter2-canary"}')
    ran = cli("convert", "--from", "keycloak", "--to", "omnibyte", "acme.json", "--as", "markdown")
    (password,) = [line for line in ran.out.splitlines() if line.startswith("| ☐ | Password |")]
    assert password.count("is written in clear; it is not converted") == 1
    assert ran.out.count("not converted") == 1
    assert "hunter2-canary" not in ran.out
    cli.write("acme.json", '{"host": "h"}')
    both = cli("convert", "--from", "keycloak", "--to", "ztrust", "acme.json", "--as", "text").out
    assert both.count("Warning: ") == 1  # Keycloak and ZTrust both require the sender's address


@pytest.mark.parametrize("style", SHEETS)
def test_a_value_that_the_product_requires_and_nobody_gave_is_called_missing(style: Style) -> None:
    fields = {name: value for name, value in LOGGED_IN.items() if name != "sender.name"}
    text = PRODUCTS["oneaccess"].write({"acme": fields}, style).text
    shown = {
        Style.TEXT: "  # Warning: OneAccess requires `sender.name`",
        Style.MARKDOWN: "| ☐ | Sender Name | *missing* | Warning: OneAccess requires",
        Style.HTML: "<i>missing</i>",
    }
    assert shown[style] in text


@pytest.mark.parametrize("style", SHEETS)
def test_a_warning_on_a_realm_that_is_not_on_the_sheet_is_in_its_head(style: Style) -> None:
    found = (warning("glob", "about a realm that was left out", realm="lost"),)
    text = PRODUCTS["oneaccess"].write({"acme": LOGGED_IN}, style, Source(findings=found)).text
    assert text.index("about a realm that was left out") < text.index("SMTP HOST")


# secrets and hostile values


@pytest.mark.parametrize("style", SHEETS)
def test_a_sheet_explains_secrets_only_where_it_has_one(style: Style) -> None:
    without = {**{n: v for n, v in LOGGED_IN.items() if not n.startswith("relay.auth")}, "sender.name": "a ${b}"}
    for fields, expected in ((LOGGED_IN, True), (without, False)):
        text = PRODUCTS["oneaccess"].write({"acme": fields}, style).text.replace("\\", "")
        assert (SECRETS in text, HOW in text) == (expected, True)


def test_a_secret_and_a_value_with_invisible_characters_have_no_button_to_copy_them() -> None:
    fields = {**LOGGED_IN, "sender.name": "Acme\u200d", "sender.address": "a@acme.example"}
    page = Page(PRODUCTS["oneaccess"].write({"acme": fields}, Style.HTML).text)
    names = {str(button["aria-label"]) for button in page.named("button")}
    assert "Copy Email Address of acme" in names
    assert names & {"Copy Authorization Code of acme", "Copy Sender Name of acme"} == set()
    assert "Secret: type its value" in page.row("Authorization Code")
    assert "Acme\\u200d" in page.row("Sender Name")
    assert "invisible characters" in page.row("Sender Name")


@pytest.mark.parametrize("product", ALL)
def test_an_html_sheet_loads_nothing_and_runs_only_the_script_that_its_policy_names(product: str) -> None:
    fields = {**LOGGED_IN, "sender.address": HOSTILE}
    found = (warning("glob", HOSTILE), warning("glob", HOSTILE, realm=HOSTILE))
    page = PRODUCTS[product].write({HOSTILE: fields, "b": {}}, Style.HTML, Source(HOSTILE, findings=found)).text
    parsed = Page(page)
    used = {name for _, attributes in parsed.tags for name in attributes}
    assert used & {"src", "srcset", "style", "action", "data"} == set()
    assert [name for name in used if name.startswith("on")] == []
    assert "url(" not in page
    links = [str(one.get("href")) for one in (*parsed.named("a"), *parsed.named("link"))]
    assert [link for link in links if not link.startswith("#") and link != "data:,"] == []
    (style, script) = (re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL) for tag in ("style", "script"))
    (policy,) = (one["content"] for one in parsed.named("meta") if "http-equiv" in one)
    for kind, blocks in (("style", style), ("script", script)):
        (block,) = blocks
        digest = b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in str(policy)
    assert str(policy).startswith("default-src 'none';")
    assert HOSTILE.replace("\u202e", "\\u202e") in parsed.texts
    assert "\u202e" not in page


def test_a_markdown_cell_escapes_characters_that_would_break_a_table() -> None:
    dialect = replace(OMNIBYTE, title="Omni|byte")
    text = Product(dialect).write({"a|b": {**LOGGED_IN, "sender.address": HOSTILE}}, Style.MARKDOWN).text
    cell = "``" + HOSTILE.replace("|", "\\|").replace("\u202e", "\\u202e") + "``"
    assert f"| From Email | {cell} |" in text
    assert "| Test Email Address | |" in text
    assert "## `a\\|b`" in text
    assert text.startswith("# Omni\\|byte: ")


@pytest.mark.parametrize("style", SHEETS)
def test_a_hostile_path_and_warning_stay_one_line_of_text(style: Style) -> None:
    evil = "a\nacme: 1\n<b>|`*\u202e"
    source = Source(evil, findings=(warning("glob", evil), warning("glob", evil, realm="acme", field=PASSWORD)))
    text = PRODUCTS["oneaccess"].write({"acme": LOGGED_IN}, style, source).text
    assert "\nacme: 1" not in text
    assert "\u202e" not in text
    assert "<b>" not in text or style is Style.TEXT


# form fields


def test_a_field_of_an_html_sheet_has_a_labelled_box_and_there_are_no_bullets() -> None:
    page = Page(PRODUCTS["omnibyte"].write({"acme": LOGGED_IN, "b": LOGGED_IN}, Style.HTML).text)
    assert page.named("ul") + page.named("li") == []
    assert [str(head.get("scope")) for head in page.named("th")[:3]] == ["col"] * 3
    labelled = [str(box["aria-label"]) for box in page.named("input") if "aria-label" in box]
    assert "Done: SMTP Server of acme" in labelled
    assert len(page.named("input")) == len(labelled) + len(page.named("label"))
    assert len(page.named("label")) == 2 * len(OMNIBYTE.advice)


def test_a_field_of_a_markdown_sheet_has_a_box_and_each_realm_its_page() -> None:
    text = PRODUCTS["omnibyte"].write({"acme": LOGGED_IN, "b": LOGGED_IN}, Style.MARKDOWN).text
    assert not re.search(r"^[-*] ", text, re.MULTILINE)
    assert text.count("| ☐ | Always test before saving. |") == 2
    assert text.count("break-before: page") == 1
