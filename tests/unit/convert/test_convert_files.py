"""Files of every format that cannot be read for sure: nothing is converted, and the reason is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.cli import Cli
from support.products import FORMAT_SUFFIXES as SUFFIX
from support.products import LOGGED_IN, meant

from ztrust_mail.convert import FORMATS

SUFFIXES = {name: SUFFIX.get(name, ".json") for name in FORMATS}
TWO_HUNDRED_MB = 200 * 10**6


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "problem", ["missing", "empty", "cut off", "not UTF-8", "200 MB", "a pipe", "a link out of the folder"]
)
def test_no_format_reads_a_truncated_file(name: str, problem: str, cli: Cli) -> None:
    folder = cli.folder / "folder"
    folder.mkdir()
    path = folder / f"acme{SUFFIXES[name]}"
    good = FORMATS[name].write({"acme": LOGGED_IN}).text
    if problem == "empty":
        path.touch()
    elif problem == "cut off":
        path.write_text(good.rstrip()[: len(good) // 2].rstrip() + '\n"x: [')
    elif problem == "not UTF-8":
        path.write_bytes(good.encode() + b"# \xff")
    elif problem == "200 MB":
        path.write_text(good)
        os.truncate(path, TWO_HUNDRED_MB)
    elif problem == "a pipe":
        os.mkfifo(path)  # reading it would never end
    elif problem == "a link out of the folder":
        (cli.folder / path.name).write_text(good)
        path.symlink_to(cli.folder / path.name)
    target = "keycloak" if name != "keycloak" else "ztrust"
    given = folder if problem.startswith("a link") else path
    ran = cli("convert", "--from", name, "--to", target, str(given))
    assert (ran.status, ran.out) == (2, "")
    rule = {"missing": "no-such-file", "empty": "empty-file", "not UTF-8": "not-utf-8", "200 MB": "too-large",
            "a pipe": "not-a-file", "a link out of the folder": "link-outside"}.get(problem, "-syntax]")  # fmt: skip
    assert rule in ran.err


@pytest.mark.parametrize("name", FORMATS)
def test_a_byte_order_mark_and_windows_line_ends_are_ignored(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"acme{SUFFIXES[name]}"
    path.write_bytes(b"\xef\xbb\xbf" + FORMATS[name].write({"acme": LOGGED_IN}).text.replace("\n", "\r\n").encode())
    assert meant(FORMATS[name].read(str(path)).realms["acme"]) == meant(
        LOGGED_IN if name != "omnibyte" else {n: v for n, v in LOGGED_IN.items() if n != "sender.name"}
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_may_not_be_opened_is_reported(name: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cli.write(f"acme{SUFFIXES[name]}", FORMATS[name].write({"acme": LOGGED_IN}).text)
    opened = os.open

    def forbidden(name: str, *arguments: int) -> int:  # tests may run as root, who may open anything
        if name == path:
            raise PermissionError(13, "Permission denied")
        return opened(name, *arguments)

    monkeypatch.setattr(os, "open", forbidden)
    ran = cli("convert", "--from", name, "--to", "keycloak" if name != "keycloak" else "ztrust", path)
    assert (ran.status, ran.out) == (2, "")
    assert f"{path}: error: it cannot be read" in ran.err


TWICE = {
    "spec": "version: 1\nrealms: {acme: {}, acme: {}}",
    "terraform": 'resource "keycloak_realm" "a" {\n  realm = "a"\n  realm = "b"\n}',
    "ansible": "- keycloak_realm: {realm: a, realm: b}",
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_duplicate_key_is_refused(name: str, cli: Cli) -> None:
    suffix = SUFFIX.get(name, ".yaml")
    twice = TWICE.get(name, "{host: h, host: i}")
    path = cli.write(f"acme{suffix}", twice)
    ran = cli("convert", "--from", name, "--to", "keycloak" if name != "keycloak" else "ztrust", path)
    assert (ran.status, ran.out) == (2, "")
    assert "[duplicate-key]" in ran.err
