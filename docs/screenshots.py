"""Makes the pictures of docs/gallery.md: ``python docs/screenshots.py``, or ``tox -e screenshots``.

The pages come from commands that run on the gallery's sandbox with 300 realms; headless Chromium shows them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tests")]

from support.browser import Browser  # noqa: E402

from docs.gallery import SHOWN_ID, Stage, edit_by_hand, stage  # noqa: E402

IMAGES = DOCS / "images"
PHONE, DESKTOP = 390, 1280
SETTLED = "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))"
"""Waits until the page has been drawn."""


DATE, SHOWN_DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-11-28 22:46"
ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
DIGEST, SHOWN_DIGEST = "sha256 [0-9a-f]+", "sha256 400c86e98dc1"
"""What differs in each run, and what the pictures show instead."""


class Picture(NamedTuple):
    """A picture of a page, by the page's file; ``script`` runs in the page first, then ``scroll``."""

    name: str
    page: str
    width: int
    dark: bool
    script: str = ""
    scroll: str = ""


OPEN_A_REALM = """
document.querySelectorAll(".realms summary")[1].click();
const box = document.querySelector("section[aria-labelledby=realms] input");
box.value = "tenant-0";
box.dispatchEvent(new Event("input"));
"""
"""Filters the realms, and opens one of them."""

AT_THE_REALMS = 'document.querySelector("#realms").scrollIntoView({behavior: "instant"})'

PICTURES = (
    Picture("plan-desktop", "plan.html", DESKTOP, dark=False),
    Picture("plan-phone", "plan.html", PHONE, dark=True),
    Picture("drift-desktop", "drift.html", DESKTOP, dark=True, script=OPEN_A_REALM, scroll=AT_THE_REALMS),
    Picture("drift-phone", "drift.html", PHONE, dark=False),
    Picture("sheet-desktop", "sheet.html", DESKTOP, dark=False),
    Picture("sheet-phone", "sheet.html", PHONE, dark=True),
)

COMMANDS: tuple[str | Callable[[Stage], None], ...] = (
    "ztrust-mail plan fleet.yaml --report html=plan.html",
    "ztrust-mail apply fleet.yaml --allow mass-change --yes --quiet",
    edit_by_hand,
    "ztrust-mail drift fleet.yaml --report html=drift.html",
    "ztrust-mail convert --from spec --to oneaccess mail.yaml --out sheet.html",
)
"""What makes the pages, in order."""


def make_pages(running: Stage) -> Mapping[str, Path]:
    """Run the commands, and return the pages by their names, with the ports, dates and ids of the gallery."""
    running.write_files((DOCS / "gallery.md").read_text(encoding="utf-8"))
    running.environ["SMTP_PASSWORD"] = "secret"
    for one in COMMANDS:
        if isinstance(one, str):
            running.run(one, "")
        else:
            one(running)
    pages = {picture.page: running.folder / picture.page for picture in PICTURES}
    for path in pages.values():
        content = path.read_text(encoding="utf-8")
        for varying, shown in {**running.ports, DATE: SHOWN_DATE, ID: SHOWN_ID, DIGEST: SHOWN_DIGEST}.items():
            content = re.sub(varying, shown, content)
        path.write_text(content, encoding="utf-8")
    return pages


def main(folder: Path = IMAGES) -> None:
    """Make all pictures."""
    folder.mkdir(exist_ok=True)
    with stage() as running, Browser() as browser:
        pages = make_pages(running)
        for one in PICTURES:
            browser.show(width=one.width, dark=one.dark)
            browser.open(pages[one.page].as_uri())
            for script in (one.script, one.scroll, one.scroll):  # sizes above are estimates until they are scrolled to
                browser.run(f"{script}; {SETTLED}")
            browser.save_screenshot(folder / f"{one.name}.png")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
