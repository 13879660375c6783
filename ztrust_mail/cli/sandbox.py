"""``sandbox``: a loopback identity server with a mail sink, to try things on."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from ztrust_mail.cli.output import Output, exit_with
from ztrust_mail.errors import ExitStatus, UsageError
from ztrust_mail.reports.lines import line, write_out

NAME = "sandbox"

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the server; 0 takes a free one.")]
Version = Annotated[str, typer.Option("--version", help="The Keycloak version to imitate, such as 26.7.4 or 16.1.1.")]
BasePath = Annotated[str, typer.Option("--base-path", help="Path of the server: /auth for old versions.")]
Realms = Annotated[list[str], typer.Option("--realm", help="A realm to begin with; may be given again.")]


def command(
    port: Port = 8080, version: Version = "26.7.4", base_path: BasePath = "", realm: Realms = ["acme", "globex"]
) -> None:
    """Run a loopback identity server with a mail sink until Ctrl-C; its page shows the mails received."""
    with Output(NAME):
        try:
            from ztrust_mail.sandbox import Sandbox, SandboxOptions
        except ImportError:
            raise missing_extra() from None
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        options = SandboxOptions(port=port, version=version, base_path=base_path, realms=tuple(realm))
        try:
            with Sandbox(options) as sandbox:
                _introduce(sandbox.url, f"{sandbox.mail.host}:{sandbox.mail.port}", options.admin_user, version)
                stop.wait()
        except OSError as e:
            raise UsageError(f"cannot listen on port {port}: {e.strerror}", "choose another with --port") from None
        exit_with(ExitStatus.OK)


def _introduce(url: str, relay: str, user: str, version: str) -> None:
    write_out(
        [
            line(f"Sandbox of Keycloak {version}: {url}/ shows the mails received. Ctrl-C ends it."),
            line(f"Relay for specs: {relay}, security none. In another terminal:"),
            line(f"  export ZTRUST_MAIL_URL={url} ZTRUST_MAIL_USERNAME={user} ZTRUST_MAIL_PASSWORD={user}"),
            line("  ztrust-mail doctor"),
        ]
    )


def missing_extra() -> UsageError:
    """Return what to say when the packages of the extra are not installed."""
    return UsageError("the sandbox needs two more packages", "install them: pip install 'ztrust-mail[sandbox]'")
