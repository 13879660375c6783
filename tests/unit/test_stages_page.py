"""The page on stages is walked through on three sandboxes, with the files of its example."""

from __future__ import annotations

import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from support.console import blocks, matches, run_steps, sandbox_environ

from ztrust_mail.sandbox import Sandbox, SandboxOptions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "stages"
SHOWN = {f"http://127.0.0.1:{port}": realms for port, realms in (
    (8081, ("acme", "globex", "playground")), (8082, ("acme", "globex", "playground")), (8083, ("acme", "globex")),
)}  # fmt: skip


def test_the_page_shows_the_files_of_the_example() -> None:
    shown = {}
    for block in (*blocks(PAGE, "toml"), *blocks(PAGE, "yaml")):
        if name := re.match(r"# (\S+\.\w+)\n", block):
            shown[name[1]] = block.removeprefix(name[0])
    assert {name: (EXAMPLE / name).read_text(encoding="utf-8") for name in shown} == shown
    assert shown.keys() == {str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*.*ml")}


def test_every_command_of_the_page_shows_what_it_shows_on_three_sandboxes(tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(EXAMPLE, work)
    settings = work / "ztrust-mail.toml"
    with ExitStack() as stack:
        urls = {}
        for shown, realms in SHOWN.items():
            urls[stack.enter_context(Sandbox(SandboxOptions(realms=realms))).url] = shown
        text = settings.read_text(encoding="utf-8")
        for url, shown in urls.items():
            text = text.replace(shown, url)
        settings.write_text(text, encoding="utf-8")
        environ = sandbox_environ(tmp_path, "")
        for name in ("URL", "USERNAME", "PASSWORD"):
            del environ[f"ZTRUST_MAIL_{name}"]
        ran = 0
        for step, real in run_steps(PAGE, work, environ):
            for url, shown in urls.items():
                real = real.replace(url, shown)
            assert matches(step.output, real), f"$ {step.command}\n{real}\n--- the page shows:\n{step.output}"
            ran += 1
    assert ran > 8
