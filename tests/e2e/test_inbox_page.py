"""The sandbox's inbox page in a real browser."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest
from support import browser as rig
from support.admin_api import AdminApi
from support.browser import Browser, BrowserFailed
from support.smtp import attributes

from ztrust_mail.sandbox import Sandbox

HOSTILE = """\
Subject: <script>document.title = "attacked"</script>
Message-ID: <1@attacker.example>
Content-Type: text/html; charset=utf-8

<p id="shown" style="color: green">An <b>HTML</b> mail</p>
<script>document.getElementById("shown").textContent = "attacked"; top.document.title = "attacked"</script>
<form action="https://attacker.example/"><button>Go</button></form>
"""

OPEN_HTML_PART = """
const frame = document.querySelector("article iframe");
const loaded = new Promise(done => frame.addEventListener("load", () => done(null)));
document.querySelector("article summary").click();
return loaded;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture
def inbox(ztrust_sandbox: Sandbox) -> Sandbox:
    """A sandbox with a test mail of each realm, and one from somewhere else that attacks the page."""
    api = AdminApi(ztrust_sandbox.url)
    for realm in ("acme", "globex"):
        sent = api.test_mail(realm, attributes(ztrust_sandbox.mail, fromDisplayName=f"Team of {realm}"))
        assert sent.status_code == 204
    api.close()
    with smtplib.SMTP("127.0.0.1", ztrust_sandbox.mail.port) as client:
        client.sendmail("a@attacker.example", ["victim@example.com"], HOSTILE.replace("\n", "\r\n").encode())
    return ztrust_sandbox


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280], ids=["phone", "desktop"])
@pytest.mark.parametrize("query", ["", "?q=acme", "?q=nothing-like-it"])
def test_the_page_is_accessible_and_fits_the_window(
    browser: Browser, inbox: Sandbox, width: int, dark: bool, query: str
) -> None:
    browser.show(width=width, dark=dark)
    browser.open(f"{inbox.url}/{query}")
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth") is True
    assert browser.violations() == []
    assert browser.console() == []


def test_the_search_finds_the_mails_of_a_realm_and_a_reload_keeps_it(browser: Browser, inbox: Sandbox) -> None:
    headings = "return [...document.querySelectorAll('article')].map(a => a.querySelectorAll('dd')[1].textContent)"
    browser.open(inbox.url)
    assert browser.run(headings) == ["a@attacker.example", "globex", "acme"]
    browser.type("input[type=search]", "Team of GLOBEX\ue007")
    browser.wait_for("input[value='Team of GLOBEX']")
    assert browser.run(headings) == ["globex"]
    assert browser.run("return document.querySelector('[role=status]').textContent") == "1 mail with “Team of GLOBEX”."
    browser.click("form a")
    assert browser.run(headings) == ["globex"]
    assert browser.console() == []


def test_the_html_of_a_mail_is_shown_and_can_do_nothing(browser: Browser, inbox: Sandbox) -> None:
    browser.open(inbox.url)
    browser.run(OPEN_HTML_PART)
    browser.enter_frame("article iframe")
    assert browser.run("return document.getElementById('shown').textContent") == "An HTML mail"
    assert browser.run("return getComputedStyle(document.getElementById('shown')).color") == "rgb(0, 128, 0)"
    browser.leave_frame()
    assert browser.run("return document.title") == "Mails received: 3 – ztrust-mail sandbox"


def test_a_missing_browser_is_an_error_that_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for program, package in rig._PACKAGES.items():
        with pytest.raises(BrowserFailed, match=f"no {program}: it is in the Debian package {package}$"):
            rig.require(program)
