"""Interactive shells on a pseudo-terminal, with the completion of ztrust-mail turned on.

Needs bash, and Debian's packages ``zsh`` and ``fish``; raises an error that says so if one is missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.cli import Terminal, open_terminal

READY = "shell is ready"
SHOW = "\x18\x14"  # Ctrl-X Ctrl-T shows the line as typed and completed so far, and clears it

SET_UP = {
    "bash": """
show() { printf "\\n<<%s>>\\n" "$READLINE_LINE"; READLINE_LINE= READLINE_POINT=0; }
bind -x '"\\C-x\\C-t": show'
bind 'set enable-bracketed-paste off'
source <(ztrust-mail completion bash)
""",
    "zsh": """
autoload -Uz compinit && compinit -u -D
source <(ztrust-mail completion zsh)
show() { print -r -- "<<$BUFFER>>"; BUFFER= }
zle -N show
bindkey -e
bindkey '^X^T' show
unsetopt beep
""",
    "fish": """
ztrust-mail completion fish | source
bind \\cx\\ct 'echo "<<"(commandline)">>"; commandline -r ""'
""",
}
START = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i"), "fish": ("--no-config", "-i")}


@dataclass
class CompletingShell:
    """A shell in which keys are typed."""

    terminal: Terminal

    def complete(self, typed: str, keys: str = "\t") -> str:
        """Return the line after a beginning was typed and the keys, by default Tab, were pressed."""
        self.terminal.shown = b""
        self.terminal.type(f"{typed}{keys}{SHOW}")
        self.terminal.wait_for(">>")
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.terminal.shown.decode())
        found: list[str] = re.findall(r"<<(.*?)>>", shown, re.DOTALL)
        return found[-1]


@contextlib.contextmanager
def completing_shell(name: str, folder: Path) -> Iterator[CompletingShell]:
    """Start a shell in the current folder; ``folder`` gets its start-up file and the program."""
    path = shutil.which(name)
    assert path, f"this test needs {name}: apt-get install {name}"
    programs = folder / "programs"
    programs.mkdir(parents=True)
    program = programs / "ztrust-mail"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ztrust_mail "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    start = folder / "start"
    start.write_text(f"{SET_UP[name]}\necho shell is 'ready'\n", encoding="utf-8")
    environ = {
        **os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb", "HOME": str(folder),
        "PS1": "$ ", "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder),
    }  # fmt: skip
    with open_terminal([path, *START[name]], environ) as terminal:
        terminal.type(f" . {start}\n" if name != "fish" else f" source {start}\n")
        terminal.wait_for(READY)
        yield CompletingShell(terminal)
