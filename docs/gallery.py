"""Runs the commands of docs/gallery.md on a terminal, and writes what it shows: ``python docs/gallery.py``.

Every command of a console block runs on a sandbox, on a pseudo-terminal of 80 × 24, and the last screen replaces the
output in the page. A comment ``<!-- gallery: NAME -->`` above a block names what happens before or during its first
command, see ``BEFORE`` and ``DURING``. A block of YAML whose first line is a comment with a file's name is written to
that file. Ports, dates and names of machines become constants, so that a second run writes the same page.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tests")]

from support.admin_api import AdminApi  # noqa: E402
from support.cli import PATIENCE, Terminal, open_terminal  # noqa: E402
from support.console import ELISION, sandbox_environ, steady, steps  # noqa: E402

from ztrust_mail.sandbox import Sandbox, SandboxOptions  # noqa: E402
from ztrust_mail.sandbox.relay.faults import RelayFault, make_tls_context  # noqa: E402
from ztrust_mail.sandbox.relay.sink import Encryption, MailSink  # noqa: E402

COLUMNS, LINES = 80, 24
SERVER_PORT, RELAY_PORT, OLD_RELAY_PORT = "38080", "39397", "39398"
"""The ports that the page shows: as wide as the real ones, so that lines break at the same places."""

TENANTS = tuple(f"tenant-{number:03}" for number in range(1, 301))
WRITES_BEFORE_CTRL_C = 120

_BLOCK = re.compile(
    r"(?:^<!-- gallery: (?P<act>[^\n]+) -->\n)?^```console\n(?P<content>.*?)^```$", re.DOTALL | re.MULTILINE
)
_FILE = re.compile(r"^```yaml\n# (?P<name>[\w-]+\.yaml)\n(?P<content>.*?)^```$", re.DOTALL | re.MULTILINE)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHOWN_ID = "3fd0ae86-62e3-4ec6-9f2c-0f8e8b3f8a5c"
_CODES = re.compile(r"\x1b\[\??[0-9;]*[A-Za-z]")


def shown_lines(output: str) -> list[str]:
    """Return the lines that are left on a terminal, without colours; lines may be wider than the terminal."""
    drawn = [re.split(r"\r|\x1b\[2K", line)[-1] for line in output.replace("\r\n", "\n").split("\n")]
    return [_CODES.sub("", line).rstrip() for line in drawn]


def wrap(lines: Sequence[str]) -> list[str]:
    """Return lines as the terminal breaks them."""
    return [line[at : at + COLUMNS] for line in lines for at in range(0, max(len(line), 1), COLUMNS)]


def last_screen(lines: Sequence[str]) -> list[str]:
    """Return the lines that are visible when the prompt is back; an ellipsis stands for those above."""
    if len(lines) < LINES:
        return [*lines]
    visible = [*lines[1 - LINES :]]
    return [ELISION, *(visible if visible[0] else visible[1:])]


# What happens besides a command

Act = Callable[[Sandbox, Terminal], None]


def answer_yes(_sandbox: Sandbox, terminal: Terminal) -> None:
    """Answer the question."""
    terminal.wait_for("[y/N] ")
    terminal.type("y\n")


def press_ctrl_c(sandbox: Sandbox, terminal: Terminal) -> None:
    """Answer the question, and press Ctrl-C while the realms are written."""
    may_go_on, begun, is_due = threading.Event(), itertools.count(1), threading.Event()

    def hold(_realm: str) -> None:
        if next(begun) > WRITES_BEFORE_CTRL_C:
            is_due.set()
            may_go_on.wait(PATIENCE)

    sandbox.faults.before_write = hold
    answer_yes(sandbox, terminal)
    is_due.wait(PATIENCE)
    threading.Event().wait(1.0)  # until all connections are in use, so that each run of this script writes as many
    terminal.type("\x03")
    terminal.wait_for("[interrupted]")
    may_go_on.set()


def edit_by_hand(stage: Stage) -> None:
    """Change 30 realms as another administrator would; the server records the edits of some."""
    hacked = {"host": "smtp.attacker.example", "from": "it@evil.example"}
    admin = AdminApi(stage.sandbox.url)
    for realm in TENANTS[:30]:
        admin.ok("PUT", f"/admin/realms/{realm}", {"smtpServer": stage.sandbox.smtp(realm) | hacked})
    admin.close()


def replace_passwords(stage: Stage) -> None:
    """Put new values into the variables of the 40 passwords."""
    stage.environ |= passwords("new")


def passwords(age: str) -> dict[str, str]:
    """Return 40 variables, each with a password of its own."""
    return {f"SMTP_PASSWORD_{number}": f"{age}-password-{number}" for number in range(261, 301)}


DURING: Mapping[str, Act] = {"yes": answer_yes, "Ctrl-C": press_ctrl_c}
"""What happens while the first command of a block runs."""

BEFORE: Mapping[str, Callable[[Stage], None]] = {"edit": edit_by_hand, "new passwords": replace_passwords}


# The page


@dataclass
class Stage:
    """A sandbox with 300 realms and two relays, of which the old one refuses every login."""

    sandbox: Sandbox
    old_relay: MailSink
    folder: Path
    environ: dict[str, str]

    def run(self, command: str, act: str) -> str:
        """Run a command on a terminal, and return the lines of its last screen."""
        if export := re.fullmatch(r"export (\w+)=(\S+)", command):
            self.environ[export[1]] = export[2]
            return ""
        with (
            contextlib.chdir(self.folder),
            open_terminal(["/bin/bash", "-c", self.with_real_ports(command)], self.environ) as terminal,
        ):
            if act in DURING:
                DURING[act](self.sandbox, terminal)
            shown = terminal.finish().out
        self.sandbox.faults.before_write = None
        return "".join(f"{line}\n" for line in last_screen(self._replace_varying(shown_lines(shown))))

    def _replace_varying(self, lines: Sequence[str]) -> list[str]:
        text = _ID.sub(SHOWN_ID, steady("\n".join(lines)))
        for port, shown in self.ports.items():
            text = text.replace(port, shown)
        return wrap(text.splitlines())

    def with_real_ports(self, text: str) -> str:
        """Return a text of the page with the ports of this run."""
        for port, shown in self.ports.items():
            text = text.replace(shown, port)
        return text

    @property
    def ports(self) -> dict[str, str]:
        """The ports that the page shows, by the real ones."""
        ports = (self.sandbox.port, self.sandbox.mail.port, self.old_relay.port)
        return dict(zip(map(str, ports), (SERVER_PORT, RELAY_PORT, OLD_RELAY_PORT), strict=True))

    def write_files(self, page: str) -> None:
        """Write the files that the page shows."""
        for found in _FILE.finditer(page):
            content = self.with_real_ports(found["content"])
            (self.folder / found["name"]).write_text(content, encoding="utf-8")


@contextmanager
def stage() -> Iterator[Stage]:
    """Start the sandbox and the relays, in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = folder / "relay-ca.pem"
        context = make_tls_context(bundle)
        options = SandboxOptions(realms=("acme", "globex"), ca_bundle=str(bundle))
        relay = MailSink(encryption=Encryption.STARTTLS, tls_context=context)
        old = MailSink(encryption=Encryption.STARTTLS, tls_context=context, faults=[RelayFault.AUTH])
        with old, Sandbox(options, relay) as sandbox:
            for number, realm in enumerate(TENANTS):
                sandbox.create_realm(realm, adminEventsEnabled=number % 10 != 0, adminEventsDetailsEnabled=True)
            environ = sandbox_environ(folder, sandbox.url) | {"TERM": "xterm", "PAGER": "cat"} | passwords("old")
            yield Stage(sandbox, old, folder, environ)


def renew(page: str, stage: Stage) -> str:
    """Return the page with what the commands show now."""
    stage.write_files(page)

    def run_block(block: re.Match[str]) -> str:
        act, parts = block["act"] or "", []
        if act in BEFORE:
            BEFORE[act](stage)
        for number, step in enumerate(steps(block["content"])):
            parts.append(f"$ {step.command}\n{stage.run(step.command, act if number == 0 else '')}")
        comment = f"<!-- gallery: {act} -->\n" if act else ""
        return f"{comment}```console\n{''.join(parts)}```"

    return _BLOCK.sub(run_block, page)


def main() -> None:
    """Write the page anew."""
    path = DOCS / "gallery.md"
    with stage() as running:
        path.write_text(renew(path.read_text(encoding="utf-8"), running), encoding="utf-8")


if __name__ == "__main__":
    main()
