"""``sandbox``: run a loopback identity server with a mail sink."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ztrust_mail.cli import options
from ztrust_mail.cli.output import Output, exit_with
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.globs import MASTER
from ztrust_mail.core.text import quoted
from ztrust_mail.reports.style import line, write_out

if TYPE_CHECKING:
    from ztrust_mail.sandbox import Sandbox

NAME = "sandbox"


@options.command(NAME)
@options.number("--port", "PORT", 8080, 0, 65535, "Port of the server; 0 = any free port.")
@click.option(
    "--version",
    metavar="VERSION",
    default="26.7.4",
    show_default=True,
    help="The Keycloak version to imitate, such as 26.7.4 or 16.1.1.",
)
@click.option("--base-path", metavar="PATH", default="", help="Base path of the server: /auth for old versions.")
@options.texts("--realm", "REALM", "A realm to create; repeatable.", default=("acme", "globex"))
def command(port: int, version: str, base_path: str, realm: Sequence[str]) -> None:
    """Run a loopback identity server with a mail sink.

    Its page shows the received mails. Ctrl-C ends it.
    """
    with Output(NAME):
        try:
            from ztrust_mail.sandbox import Sandbox, SandboxOptions
        except ImportError:
            raise missing_extra() from None
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}", version):
            raise UsageError(
                f"--version {quoted(version)} is not a version number", "write numbers with dots, such as 26.7.4"
            )
        realms = tuple(name for name in dict.fromkeys(realm) if name != MASTER)
        path = f"/{base_path.strip('/')}" if base_path.strip("/") else ""
        options = SandboxOptions(port=port, version=version, base_path=path, realms=realms)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        try:
            socket.create_server(("127.0.0.1", port)).close()  # checked first: werkzeug exits when the port is in use
            with Sandbox(options) as sandbox:
                _print_introduction(sandbox)
                stop.wait()
        except OSError as e:
            why = os.strerror(e.errno) if e.errno else "no reason given"  # the error's own text may hold more
            raise UsageError(f"cannot listen on port {port}: {why}", "choose another port with --port") from None
        exit_with(ExitStatus.OK)


def _print_introduction(sandbox: Sandbox) -> None:
    options, relay = sandbox.options, sandbox.mail
    write_out(
        [
            line(f"Keycloak {options.version} in a sandbox: {sandbox.url}/ shows the mails received."),
            line(f"The relay for specs is {relay.host}, port {relay.port}, security none. Ctrl-C ends both."),
            line("In another terminal:"),
            line(f"  export ZTRUST_MAIL_URL={sandbox.url}"),
            line(f"  export ZTRUST_MAIL_USERNAME={options.admin_user} ZTRUST_MAIL_PASSWORD={options.admin_password}"),
            line("  ztrust-mail doctor"),
        ]
    )


def missing_extra() -> UsageError:
    """Return the error for missing packages of the extra."""
    return UsageError("the sandbox needs packages that are not installed", "run: pip install 'ztrust-mail[sandbox]'")
