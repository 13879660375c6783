"""``demo``: a tour on the sandbox that runs real commands and shows their output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ztrust_mail.cli import parameters
from ztrust_mail.cli.commands.sandbox import missing_extra
from ztrust_mail.cli.output import Output, exit_with
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.reports.style import Span, line, write_out
from ztrust_mail.sandbox.relay.faults import make_tls_context
from ztrust_mail.settings import FILE_NAME, PREFIX

if TYPE_CHECKING:
    from ztrust_mail.sandbox import Sandbox

NAME = "demo"
STEP_TIMEOUT = 60.0
_SECRET = "demo-relay-password"

_SPEC = """\
version: 1
defaults:
  relay:
    host: 127.0.0.1
    port: {port}
    auth:
      username: apikey
      password: {{env: SMTP_PASSWORD}}
  sender: {{address: "no-reply@{{realm.slug}}.example.com", name: Example}}
realms:
  acme:
    sender: {{name: Acme Corp}}
    reply_to: {{address: help@acme.example, name: Acme Help}}
  "tenant-*": {{expect: {{min: 2}}}}
  retired: {{disabled: true}}
"""


@dataclass(frozen=True)
class DemoStep:
    """A command of the tour, with its expected exit status, a check of the sandbox after it, and a step before it."""

    title: str
    arguments: Sequence[str]
    status: ExitStatus
    check: Callable[[Sandbox, str], bool] = lambda sandbox, output: True
    before: Callable[[Sandbox], None] = lambda sandbox: None


def _edit_by_hand(sandbox: Sandbox) -> None:
    sandbox.edit_smtp("tenant-b", sandbox.smtp("tenant-b") | {"host": "smtp.attacker.example", "fromDisplayName": "IT"})


def _is_written(sandbox: Sandbox, _: str) -> bool:
    stored = sandbox.smtp("acme")
    name, password = stored.get("fromDisplayName"), stored.get("password")
    return name == "Acme Corp" and password == _SECRET and sandbox.smtp("retired") == {}


def _is_restored(sandbox: Sandbox, _: str) -> bool:
    return sandbox.smtp("tenant-b").get("host") == "127.0.0.1"


def _lists_two_runs(_: Sandbox, output: str) -> bool:
    return [text.split()[0] for text in output.splitlines() if text][-3:] == ["RUN", "2", "1"]


def _has_received_mail(sandbox: Sandbox, _: str) -> bool:
    mail = sandbox.mail.wait_for(1)[0]
    write_out(
        [
            line(Span("  The mail, as the relay received it:", "bold")),
            line(f"    From: {mail.sender}    Reply-To: {mail.reply_to}"),
            line(f"    To: {', '.join(mail.recipients)}    Subject: {mail.subject}"),
            line(f"    over {'TLS' if mail.tls else 'clear text'}, logged in as {mail.login}"),
        ]
    )
    return mail.tls and mail.login == "apikey"


def _is_spec_without_secret(_: Sandbox, output: str) -> bool:
    return "acme" in output and "SMTP_PASSWORD_" in output and _SECRET not in output


STEPS = (
    DemoStep("Check the spec offline.", ["validate", "mail.yaml"], ExitStatus.OK),
    DemoStep("What would change? (exit status 1: the server differs)", ["plan", "mail.yaml"], ExitStatus.DIFFERS),
    DemoStep("Write it, and read it back.", ["apply", "mail.yaml", "--yes"], ExitStatus.OK, _is_written),
    DemoStep("Does the server match the spec?", ["drift", "mail.yaml"], ExitStatus.OK),
    DemoStep("Have the server send a test mail.", ["test", "acme"], ExitStatus.OK, _has_received_mail),
    DemoStep(
        "Somebody edits the realm tenant-b by hand. The scheduled check finds it.",
        ["drift", "mail.yaml"],
        ExitStatus.DIFFERS,
        before=_edit_by_hand,
    ),
    DemoStep("Restore it.", ["apply", "mail.yaml", "--yes"], ExitStatus.OK, _is_restored),
    DemoStep("The journal lists every run.", ["history"], ExitStatus.OK, _lists_two_runs),
    DemoStep("Export the live settings as a spec.", ["pull", "--factor"], ExitStatus.OK, _is_spec_without_secret),
)


# The spec that `init` writes fits these realms.
NEXT_STEPS = """\
Now try it yourself, on a sandbox of your own:
  ztrust-mail sandbox --realm acme --realm tenant-a --realm retired
In another terminal, after the export lines that it prints:
  export SMTP_PASSWORD=any
  ztrust-mail init --out mail.yaml
  ztrust-mail plan mail.yaml
  ztrust-mail apply mail.yaml
  ztrust-mail drift mail.yaml
On a real server, these only read:
  ztrust-mail doctor --server https://id.example.com
  ztrust-mail pull --server https://id.example.com --factor --out mail.yaml
"""


@parameters.command(NAME)
@parameters.flag("--step", help="Wait for Enter before each command.")
def command(step: bool) -> None:
    """Run a tour on this machine: spec, apply, test mail, drift.

    Starts a sandbox server with a relay, runs real commands on it, and shows their output.
    """
    with Output(NAME):
        if step and not sys.stdin.isatty():
            raise UsageError("stdin is not a terminal, so --step cannot wait for Enter", "run the demo without --step")
        exit_with(run_tour(STEPS, wait=step))


def run_tour(steps: Sequence[DemoStep], *, wait: bool = False) -> ExitStatus:
    """Run the steps on a sandbox of their own, and print how they ended."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ztrust-mail-demo-")))
        sandbox = stack.enter_context(_make_sandbox(folder))
        environ = _prepare(folder, sandbox)
        failed = sum(not _run_step(each, sandbox, folder, environ, wait=wait) for each in steps)
    write_out([line(), _verdict(failed, len(steps))])
    if not failed:
        write_out([line(), *map(_next_step, NEXT_STEPS.splitlines())])
    return ExitStatus.DIFFERS if failed else ExitStatus.OK


def _make_sandbox(folder: Path) -> Sandbox:
    try:
        from ztrust_mail.sandbox import Sandbox, SandboxOptions
        from ztrust_mail.sandbox.relay.sink import Encryption, MailSink

        bundle = folder / "relay-ca.pem"
        context = make_tls_context(bundle)
    except ImportError:
        raise missing_extra() from None
    sink = MailSink(encryption=Encryption.STARTTLS, tls_context=context, credentials=("apikey", _SECRET))
    realms = ("acme", "tenant-a", "tenant-b", "retired")
    sandbox = Sandbox(SandboxOptions(realms=realms, ca_bundle=str(bundle)), mail=sink)
    sandbox.edit_smtp("acme", {"from": "keycloak@localhost", "host": "localhost", "port": "1025"})
    sandbox.edit_smtp("retired", {"from": "old@example.com", "host": "old.example.com"})
    return sandbox


def _prepare(folder: Path, sandbox: Sandbox) -> dict[str, str]:
    (folder / "mail.yaml").write_text(_SPEC.format(port=sandbox.mail.port), encoding="utf-8")
    (folder / FILE_NAME).write_text(f'[servers.sandbox]\nurl = "{sandbox.url}"\n', encoding="utf-8")
    own_places = {"CONFIG": str(folder / FILE_NAME), "JOURNAL": _journal(folder)}
    login = {"USERNAME": sandbox.options.admin_user, "PASSWORD": sandbox.options.admin_password, **own_places}
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own |= {"NO_PROXY": sandbox.mail.host, "no_proxy": sandbox.mail.host, "PYTHONIOENCODING": "utf-8"}
    if sys.stdout.isatty() and not own.get("NO_COLOR") and own.get("TERM") != "dumb":
        own |= {"FORCE_COLOR": "1", "COLUMNS": str(shutil.get_terminal_size().columns)}  # the commands write to a pipe
    return {**own, **{PREFIX + name: value for name, value in login.items()}, "SMTP_PASSWORD": _SECRET}


def _journal(folder: Path) -> str:
    """Create a journal, so that no step reports a missing one, and return its URL."""
    from ztrust_mail.journal.journal import open_journal

    url = f"sqlite:///{folder / 'journal.sqlite3'}"
    if journal := open_journal(Secret(url), writable=True):
        journal.close()
    return url


def _run_step(step: DemoStep, sandbox: Sandbox, folder: Path, environ: dict[str, str], *, wait: bool) -> bool:
    step.before(sandbox)
    shown = " ".join(["ztrust-mail", *step.arguments])
    write_out([line(), line(Span(f"# {step.title}", "dim")), line(Span(f"$ {shown}", "bold"))])
    if wait:
        _wait_for_enter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ztrust_mail", *step.arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=STEP_TIMEOUT,
            check=False,
        )
        click.echo(done.stdout, nl=False)  # printable already, with colours where click keeps them: on a terminal
        ended = f"exit status {done.returncode}"
        if done.returncode == step.status and step.check(sandbox, click.unstyle(done.stdout)):
            return True
    except (TimeoutError, subprocess.TimeoutExpired):
        ended = "it timed out"
    write_out([line(Span(f"This step failed: {ended}.", "bold red"))])
    return False


def _wait_for_enter() -> None:
    print("Press Enter to run it, Ctrl-C to stop. ", end="", file=sys.stderr, flush=True)
    if not sys.stdin.readline():  # Ctrl-D
        raise KeyboardInterrupt


def _next_step(text: str) -> tuple[Span, ...]:
    return line(Span(text, "" if text.startswith(" ") else "bold"))


def _verdict(failed: int, count: int) -> tuple[Span, ...]:
    if failed:
        return line(Span(f"{failed} of {count} steps failed.", "bold red"))
    return line(Span(f"All {count} steps succeeded.", "green"))
