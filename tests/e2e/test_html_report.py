"""Reports in HTML of real runs, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path

import pytest
from support.admin_api import AdminApi
from support.browser import Browser
from support.cli import run_process
from support.console import sandbox_environ
from support.report_samples import reports_of_every_kind

from ztrust_mail.reports.html import HtmlFormat
from ztrust_mail.sandbox import Sandbox, SandboxOptions

TENANTS = tuple(f"tenant-{number:03}" for number in range(1, 301))
FLEET = """\
version: 1
defaults:
  sender: {address: "no-reply@{realm.slug}.example.com", name: Example}
  relay: {host: smtp.example.com, auth: {username: apikey, password: {env: SMTP_PASSWORD}}}
realms:
  "tenant-*": {expect: {min: 300}}
"""
TYPO = """\
version: 1
realms:
  acme: {sender: {adress: a@example.com}, relay: {host: smtp.example.com}}
  globex: {sender: {address: a@example.com}, relay: {host: smtp.example.com, port: 465, security: starttls}}
"""
ATTACK = "document.title = 'attacked'"
HOSTILE = f"""<script>{ATTACK}</script><img src=x onerror="{ATTACK}">" onfocus="{ATTACK}" ' &amp; {{{{ 7 * 7 }}}} -->"""
REPORTS = ("plan", "apply", "drift", "validate", "doctor")
SPACE, ENTER, TAB = " ", "\ue007", "\ue004"

SHOWN = "return [...document.querySelectorAll('.realms > li')].filter(row => !row.hidden).length"
STATUS = "return document.querySelector('section[aria-labelledby=realms] [role=status]').textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The URLs of the reports of real runs: a refused plan, an apply with a failure, critical drift, and others."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "fleet.yaml").write_text(FLEET, encoding="utf-8")
    (folder / "typo.yaml").write_text(TYPO, encoding="utf-8")
    with Sandbox(SandboxOptions(realms=TENANTS)) as sandbox, chdir(folder):
        environ = sandbox_environ(folder, sandbox.url) | {"SMTP_PASSWORD": "secret"}

        def report(status: int, *arguments: str) -> None:
            ran = run_process(*arguments, "--report", f"html={arguments[0]}.html", environ=environ)
            assert ran.status == status, ran.out + ran.err

        report(5, "plan", "fleet.yaml")
        sandbox.faults.before_write = lambda realm: sandbox.faults.failing_realms.add(TENANTS[6])
        report(4, "apply", "fleet.yaml", "--allow", "mass-change", "--yes")
        sandbox.faults.before_write = None
        sandbox.faults.failing_realms.clear()
        edit_by_hand(sandbox)
        report(1, "drift", "fleet.yaml")
        report(2, "validate", "typo.yaml")
        report(0, "doctor")
    return {name: (folder / f"{name}.html").as_uri() for name in REPORTS}


def edit_by_hand(sandbox: Sandbox) -> None:
    """Change the relay of 30 realms as another administrator would."""
    admin = AdminApi(sandbox.url)
    for realm in TENANTS[10:40]:
        stolen = sandbox.smtp(realm) | {"host": "smtp.attacker.example"}
        admin.ok("PUT", f"/admin/realms/{realm}", {"smtpServer": stolen})
    admin.close()


@pytest.fixture
def plain(browser: Browser) -> Iterator[Browser]:
    """A browser that runs no scripts of pages."""
    browser.permit_scripts(False)
    yield browser
    browser.permit_scripts(True)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280], ids=["phone", "desktop"])
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_accessible_fits_the_window_and_loads_nothing(
    browser: Browser, pages: Mapping[str, str], name: str, width: int, dark: bool
) -> None:
    browser.show(width=width, dark=dark)
    browser.open(pages[name])
    browser.run("document.querySelectorAll('details').forEach((row, n) => { if (n < 3) row.open = true }); return null")
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth") is True
    assert browser.violations() == []
    assert browser.console() == []
    assert browser.run("return performance.getEntriesByType('resource').map(one => one.name)") == []


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("plan", "Plan: 300 realms to change (2,400 fields to add)."),
        ("apply", "Done: 299 realms applied, 1 failed (run 1)."),
        ("drift", "Drift: 31 realms drifted"),
        ("doctor", "No problem found."),
    ],
)
def test_a_report_begins_with_its_verdict(browser: Browser, pages: Mapping[str, str], name: str, verdict: str) -> None:
    browser.open(pages[name])
    assert str(browser.run("return document.querySelector('.verdict .first').textContent")).startswith(verdict)


def test_rows_are_filtered_by_text_and_by_status_with_the_keyboard(browser: Browser, pages: Mapping[str, str]) -> None:
    browser.show(width=1280, dark=False)
    browser.open(pages["drift"])
    search = "section[aria-labelledby=realms] input"
    assert (browser.run(SHOWN), browser.run(STATUS)) == (300, "300 of 300 shown")
    browser.type(search, "tenant-01")
    assert (browser.run(SHOWN), browser.run(STATUS)) == (10, "10 of 300 shown")
    browser.type(search, "\ue00c")  # Escape
    assert browser.run(SHOWN) == 300
    browser.type(search, "smtp.attacker")
    assert browser.run(SHOWN) == 30, "values that a group shows for its realms are found, too"
    browser.type(search, "\ue00c")
    browser.type(search, TAB)
    assert browser.run("return document.activeElement.value") == "critical"
    browser.type(".chip[value=critical]", SPACE)
    assert (browser.run(SHOWN), browser.run(STATUS)) == (30, "30 of 300 shown")
    assert browser.run("return document.activeElement.getAttribute('aria-pressed')") == "true"
    browser.type(".chip[value=critical]", ENTER)
    browser.type(search, "nothing like it")
    assert browser.run(STATUS) == "0 of 300 shown"
    assert browser.console() == []


def test_a_row_opened_with_the_keyboard_has_all_its_changes(browser: Browser, pages: Mapping[str, str]) -> None:
    browser.open(pages["plan"])
    browser.type(".realms summary", ENTER)
    browser.wait_for(".realms details[open] tbody tr:nth-child(8)")
    row = "document.querySelector('.realms details[open]')"
    assert browser.run(f"return [...{row}.querySelectorAll('ins')].map(one => one.textContent)") == [
        "no-reply@tenant-001.example.com",
        *("Example", "smtp.example.com", "587", "starttls", "basic", "apikey", "from env:SMTP_PASSWORD"),
    ]
    browser.type(".realms summary", ENTER)
    assert browser.run(f"return {row}") is None
    assert browser.console() == []


def test_a_realm_that_failed_is_open_and_says_why(browser: Browser, pages: Mapping[str, str]) -> None:
    browser.open(pages["apply"])
    browser.wait_for(".realms details[open] .finding")
    opened = "[...document.querySelectorAll('.realms details[open]')]"
    assert browser.run(f"return {opened}.map(row => row.querySelector('b').textContent)") == [TENANTS[6]]
    assert "refuses to write `tenant-007` (500)" in str(
        browser.run(f"return {opened}[0].querySelector('.finding').textContent")
    )


def test_all_shown_rows_open_and_close_with_one_button(browser: Browser, pages: Mapping[str, str]) -> None:
    browser.open(pages["drift"])
    browser.type("section[aria-labelledby=realms] input", "tenant-02")
    browser.type(".toggle", ENTER)
    opened = "return document.querySelectorAll('.realms details[open]').length"
    assert browser.run(opened) == 10
    browser.type(".toggle", ENTER)
    assert browser.run(opened) == 0


def test_the_next_command_is_copied_with_the_keyboard(browser: Browser, pages: Mapping[str, str]) -> None:
    browser.open(pages["plan"])
    command = browser.run("return document.querySelector('.next pre').textContent")
    assert command == "ztrust-mail apply fleet.yaml --allow mass-change --canary 2"
    browser.type("button[data-copy]", ENTER)
    assert browser.run("return document.querySelector('button[data-copy]').textContent") == "Copied"


def test_the_theme_follows_the_system_until_the_button_is_pressed(browser: Browser, pages: Mapping[str, str]) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    browser.show(width=1280, dark=True)
    browser.open(pages["doctor"])
    dark = browser.run(background)
    browser.type("#theme", SPACE)
    light = browser.run(background)
    browser.show(width=1280, dark=False)
    browser.open(pages["doctor"])
    assert (browser.run(background), light != dark) == (light, True)


def test_everything_can_be_read_without_a_script(plain: Browser, pages: Mapping[str, str]) -> None:
    plain.open(pages["drift"])
    assert plain.run("return document.querySelector('.filter').checkVisibility()") is False
    text = str(plain.run("return document.querySelector('main').textContent"))
    assert all(part in text for part in ("Drift: 31 realms", *TENANTS, "smtp.attacker.example", "in sync"))
    links = "[...document.querySelectorAll('.realms a')]"
    assert plain.run(f"return {links}.every(link => document.querySelector(link.hash))") is True


def test_no_markup_in_a_value_becomes_a_part_of_a_page(browser: Browser, tmp_path: Path) -> None:
    names = tuple(f"{HOSTILE}{number}" for number in range(4))
    for number, report in enumerate(reports_of_every_kind(HOSTILE, names)):
        path = tmp_path / f"{number}.html"
        path.write_text(HtmlFormat().document(report), encoding="utf-8")
        browser.open(path.as_uri())
        browser.run("document.querySelectorAll('details').forEach(row => { row.open = true }); return null")
        assert "attacked" not in str(browser.run("return document.title.replaceAll(\"= 'attacked'\", '')"))
        assert browser.run("return document.querySelectorAll('img').length") == 0
        assert browser.console() == []
