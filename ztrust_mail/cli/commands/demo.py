"""``demo``: the whole tour in one command, on the sandbox, with real commands and their real output."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ztrust_mail.cli import options
from ztrust_mail.cli.commands.sandbox import missing_extra
from ztrust_mail.cli.output import Output, exit_with
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.secret import Secret
from ztrust_mail.reports.style import Span, line, write_out
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
    """A command of the tour: what it shows, its arguments, the exit status it must have, and what must hold then."""

    title: str
    arguments: Sequence[str]
    status: ExitStatus
    holds: Callable[[Sandbox, str], bool] = lambda sandbox, output: True
    before: Callable[[Sandbox], None] = lambda sandbox: None


def _edit_behind_our_back(sandbox: Sandbox) -> None:
    sandbox.edit_smtp("tenant-b", sandbox.smtp("tenant-b") | {"host": "smtp.attacker.example", "fromDisplayName": "IT"})


def _written(sandbox: Sandbox, _: str) -> bool:
    held = sandbox.smtp("acme")
    name, password = held.get("fromDisplayName"), held.get("password")
    return name == "Acme Corp" and password == _SECRET and sandbox.smtp("retired") == {}


def _restored(sandbox: Sandbox, _: str) -> bool:
    return sandbox.smtp("tenant-b").get("host") == "127.0.0.1"


def _two_runs(_: Sandbox, output: str) -> bool:
    return [text.split()[0] for text in output.splitlines()] == ["RUN", "2", "1"]


def _mail_arrived(sandbox: Sandbox, _: str) -> bool:
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


def _spelled_out(_: Sandbox, output: str) -> bool:
    return "acme" in output and "SMTP_PASSWORD_" in output and _SECRET not in output


_STEPS = (
    DemoStep("The spec is checked offline.", ["validate", "mail.yaml"], ExitStatus.OK),
    DemoStep("What would change? (exit status 1: something would)", ["plan", "mail.yaml"], ExitStatus.DIFFERS),
    DemoStep("Write it, and read it back.", ["apply", "mail.yaml", "--yes"], ExitStatus.OK, _written),
    DemoStep("Is the server what the spec says?", ["drift", "mail.yaml"], ExitStatus.OK),
    DemoStep("The server itself sends a test mail.", ["test", "acme"], ExitStatus.OK, _mail_arrived),
    DemoStep(
        "Somebody changes the realm tenant-b behind our back. The scheduled check finds it.",
        ["drift", "mail.yaml"],
        ExitStatus.DIFFERS,
        before=_edit_behind_our_back,
    ),
    DemoStep("Put it right.", ["apply", "mail.yaml", "--yes"], ExitStatus.OK, _restored),
    DemoStep("The journal knows every run.", ["history"], ExitStatus.OK, _two_runs),
    DemoStep("And back: the live settings as a spec.", ["pull", "--factor"], ExitStatus.OK, _spelled_out),
)


@options.command(NAME)
def command() -> None:
    """Take the tour on this machine: spec, apply, test mail, drift.

    A sandbox server with a relay is started, real commands run on it, and their output is shown.
    """
    with Output(NAME):
        try:
            sandbox_with_relay = _parts()
        except ImportError:
            raise missing_extra() from None
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ztrust-mail-demo-")))
            sandbox = stack.enter_context(sandbox_with_relay(folder))
            environ = _prepare(folder, sandbox)
            failed = [step for step in _STEPS if not _take(step, sandbox, folder, environ)]
        write_out([line(), _verdict(failed)])
        exit_with(ExitStatus.DIFFERS if failed else ExitStatus.OK)


def _parts() -> Callable[[Path], Sandbox]:
    import trustme

    from ztrust_mail.sandbox import Sandbox, SandboxOptions
    from ztrust_mail.sandbox.relay.sink import Encryption, MailSink

    def start(folder: Path) -> Sandbox:
        authority = trustme.CA()
        bundle = folder / "relay-ca.pem"
        authority.cert_pem.write_to_path(bundle)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        sink = MailSink(encryption=Encryption.STARTTLS, tls_context=context, credentials=("apikey", _SECRET))
        realms = ("acme", "tenant-a", "tenant-b", "retired")
        sandbox = Sandbox(SandboxOptions(realms=realms, ca_bundle=str(bundle)), mail=sink)
        sandbox.edit_smtp("acme", {"from": "keycloak@localhost", "host": "localhost", "port": "1025"})
        sandbox.edit_smtp("retired", {"from": "old@example.com", "host": "old.example.com"})
        return sandbox

    return start


def _prepare(folder: Path, sandbox: Sandbox) -> dict[str, str]:
    (folder / "mail.yaml").write_text(_SPEC.format(port=sandbox.mail.port), encoding="utf-8")
    (folder / FILE_NAME).write_text(f'[servers.sandbox]\nurl = "{sandbox.url}"\n', encoding="utf-8")
    own_places = {"CONFIG": str(folder / FILE_NAME), "JOURNAL": _journal(folder)}
    login = {"USERNAME": sandbox.options.admin_user, "PASSWORD": sandbox.options.admin_password, **own_places}
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own |= {"NO_PROXY": sandbox.mail.host, "no_proxy": sandbox.mail.host, "PYTHONIOENCODING": "utf-8"}
    return {**own, **{PREFIX + name: value for name, value in login.items()}, "SMTP_PASSWORD": _SECRET}


def _journal(folder: Path) -> str:
    """Begin a journal, so that no step has to tell that there is none, and return its URL."""
    from ztrust_mail.journal.journal import open_journal

    url = f"sqlite:///{folder / 'journal.sqlite3'}"
    if journal := open_journal(Secret(url), writable=True):
        journal.close()
    return url


def _take(step: DemoStep, sandbox: Sandbox, folder: Path, environ: dict[str, str]) -> bool:
    step.before(sandbox)
    shown = " ".join(["ztrust-mail", *step.arguments])
    write_out([line(), line(Span(f"# {step.title}", "dim")), line(Span(f"$ {shown}", "bold"))])
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
        write_out(line(text) for text in done.stdout.splitlines())
        ended = f"exit status {done.returncode}"
        if done.returncode == step.status and step.holds(sandbox, done.stdout):
            return True
    except (TimeoutError, subprocess.TimeoutExpired):
        ended = "it took too long"
    write_out([line(Span(f"This step went wrong: {ended}.", "bold red"))])
    return False


def _verdict(failed: Sequence[DemoStep]) -> tuple[Span, ...]:
    if failed:
        return line(Span(f"{len(failed)} of {len(_STEPS)} steps went wrong.", "bold red"))
    return line(Span(f"All {len(_STEPS)} steps did what they should.", "green"))
