"""The HTML sheets of ``convert`` in a real browser: on screens, on paper, and where copying is forbidden."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from support.browser import Browser
from support.converting import convert

from ztrust_mail.convert import FORMATS, Destination, Style

HOSTILE = '<img src=x onerror=\\"document.title = 1\\">'
SPEC = f"""\
version: 1
server: production
realms:
  acme:
    relay: {{host: smtp.acme.example, auth: {{username: no-reply@acme.example, password: {{env: ACME_PASSWORD}}}}}}
    sender: {{address: no-reply@acme.example, name: "{HOSTILE}"}}
    reply_to: {{address: help@acme.example}}
  globex: {{relay: {{host: smtp.globex.example, security: none}}, sender: {{address: a@globex.example, name: Globex}}}}
  initech: {{relay: {{host: smtp.initech.example}}, sender: {{address: a@initech.example, name: Initech}}}}
"""
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', {value: undefined}); return null"
NO_COPYING = "document.execCommand = () => false; return null"
SAID = "return document.getElementById('said').textContent"
PASTED = """
const field = document.createElement("textarea");
document.querySelector("main").append(field);
field.id = "field";
return null;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture(scope="module", params=["oneaccess", "omnibyte", "ztrust"])
def sheet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a sheet of three realms, with warnings on the sheet, on a realm and on a value."""
    folder = tmp_path_factory.mktemp("sheets")
    spec, page = folder / "mail.yaml", folder / f"{request.param}.html"
    spec.write_text(SPEC + '  "tenant-*": {relay: {host: h.example}, sender: {address: a@b.example}}\n', "utf-8")
    written = convert(
        FORMATS["spec"],
        FORMATS[request.param],
        str(spec),
        Style.HTML,
        destination=Destination(written_at=datetime(2026, 1, 31, tzinfo=UTC)),
    )
    page.write_text(written.text, "utf-8")
    return page.as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280], ids=["phone", "desktop"])
def test_a_sheet_is_accessible_and_fits_the_window(browser: Browser, sheet: str, width: int, dark: bool) -> None:
    browser.show(width=width, dark=dark)
    browser.open(sheet)
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth") is True
    browser.click("button")
    browser.click("input")
    assert browser.violations() == []
    assert browser.console() == []
    assert browser.run("return document.images.length + performance.getEntriesByType('resource').length") == 0
    assert browser.run("return document.title !== '1'") is True


def test_a_sheet_prints_each_realm_on_a_page_of_its_own(browser: Browser, sheet: str) -> None:
    browser.open(sheet)
    assert browser.count_printed_pages() == 3


def test_the_keyboard_copies_a_value_and_the_page_confirms_it(browser: Browser, sheet: str) -> None:
    browser.open(sheet)
    shown = browser.run("return document.querySelector('button').closest('tr').querySelector('code').textContent")
    browser.type("button", "\ue007")
    name = browser.run("return document.querySelector('button').getAttribute('aria-label')")
    browser.wait_for("#said:not(:empty)")
    assert browser.run(SAID) == str(name).replace("Copy", "Copied", 1)
    browser.run(PASTED)
    browser.type("#field", "\ue009v")
    assert browser.run("return document.getElementById('field').value") == shown


def test_a_value_is_copied_without_the_clipboards_interface(browser: Browser, sheet: str) -> None:
    browser.open(sheet)
    browser.run(NO_CLIPBOARD)
    browser.click("section:nth-of-type(2) button")
    browser.wait_for("#said:not(:empty)")
    assert str(browser.run(SAID)).startswith("Copied ")
    assert str(browser.run(SAID)).endswith(" of globex")
    assert browser.run("return String(getSelection())") == ""


def test_where_copying_is_forbidden_the_value_is_selected(browser: Browser, sheet: str) -> None:
    browser.open(sheet)
    browser.run(NO_CLIPBOARD)
    browser.run(NO_COPYING)
    browser.click("button")
    browser.wait_for("#said:not(:empty)")
    assert str(browser.run(SAID)).endswith("is selected: press Ctrl+C to copy it")
    shown = browser.run("return document.querySelector('button').closest('tr').querySelector('code').textContent")
    assert browser.run("return String(getSelection())") == shown


def test_a_secret_has_no_button(browser: Browser, sheet: str) -> None:
    browser.open(sheet)
    rows = "[...document.querySelectorAll('tr')].filter(row => row.textContent.includes('${ACME_PASSWORD}'))"
    assert browser.run(f"return {rows}.map(row => row.querySelectorAll('button').length)") == [0]
    assert browser.run("return document.querySelectorAll('button').length") != 0
