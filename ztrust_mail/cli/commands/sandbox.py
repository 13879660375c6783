"""``sandbox``: run a loopback identity server with a mail sink."""

from __future__ import annotations

import os
import re
import signal
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from ztrust_mail.cli import completion, parameters
from ztrust_mail.cli.output import Output, exit_with
from ztrust_mail.core.errors import ExitStatus, UsageError, install_hint
from ztrust_mail.core.text import MASTER, did_you_mean, quoted
from ztrust_mail.reports.style import Line, line, write_out
from ztrust_mail.sandbox.relay.faults import (
    CERTIFICATE_FAULTS,
    MEANINGS,
    RelayFault,
    find_contradiction,
    make_tls_context,
)
from ztrust_mail.settings import PREFIX

if TYPE_CHECKING:
    from ztrust_mail.sandbox import Sandbox, SandboxOptions

NAME = "sandbox"
LOGIN_VARIABLE = f"{PREFIX}SMTP_LOGIN"


class RelayOptions(TypedDict):
    """The options of the relay, as typed by the user."""

    smtp_port: int
    smtp_login: str | None
    relay_fault: Sequence[str]


@completion.suggest
def _suggest_faults(_context: click.Context, word: str) -> Iterable[str]:
    """Suggest the faults of ``--relay-fault`` that go with those before the last comma."""
    named = word.split(",")[:-1]
    others = (fault for fault in RelayFault if fault not in named)
    possible = (fault for fault in others if find_contradiction([*named, fault]) is None)
    return (",".join([*named, fault]) for fault in possible)


@parameters.command(NAME)
@parameters.number("--port", "PORT", 8080, 0, 65535, "Port of the server; 0 = any free port.")
@click.option(
    "--version",
    metavar="VERSION",
    default="26.7.4",
    show_default=True,
    help="The Keycloak version to imitate, such as 26.7.4 or 16.1.1.",
)
@click.option("--base-path", metavar="PATH", default="", help="Base path of the server: /auth for old versions.")
@parameters.texts("--realm", "REALM", "A realm to create; repeatable.", default=("acme", "globex"))
@parameters.number("--smtp-port", "PORT", 0, 0, 65535, "Port of the relay; 0 = any free port.")
@click.option(
    "--smtp-login",
    metavar="USER:PASSWORD",
    envvar=LOGIN_VARIABLE,
    help="Accept mail only after this login. Never give a real password: the process list shows it. "
    f"${LOGIN_VARIABLE} does the same.",
)
@parameters.texts(
    "--relay-fault", "FAULT[,FAULT...]", f"Let the relay fail: {', '.join(RelayFault)}.", suggest=_suggest_faults
)
def command(port: int, version: str, base_path: str, realm: Sequence[str], **relay: Unpack[RelayOptions]) -> None:
    """Run a loopback identity server with a mail sink.

    Its page shows the received mails. Ctrl-C ends it.
    """
    with Output(NAME):
        try:
            from ztrust_mail.sandbox import SandboxOptions
        except ImportError:
            raise missing_extra() from None
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}", version):
            raise UsageError(
                f"--version {quoted(version)} is not a version number", "write numbers with dots, such as 26.7.4"
            )
        realms = tuple(name for name in dict.fromkeys(realm) if name != MASTER)
        path = f"/{base_path.strip('/')}" if base_path.strip("/") else ""
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with _start(SandboxOptions(port=port, version=version, base_path=path, realms=realms), relay) as sandbox:
            _print_introduction(sandbox)
            stop.wait()
        exit_with(ExitStatus.OK)


@contextmanager
def _start(options: SandboxOptions, relay: RelayOptions) -> Iterator[Sandbox]:
    """Run a sandbox and its relay. Raises :class:`UsageError`."""
    from ztrust_mail.sandbox import Sandbox
    from ztrust_mail.sandbox.relay.sink import Encryption, MailSink

    login, faults = _parse_login(relay["smtp_login"]), parse_faults(relay["relay_fault"])
    with ExitStack() as stack:
        encryption, context = Encryption.NONE, None
        if CERTIFICATE_FAULTS & faults:
            bundle = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ztrust-mail-"))) / "relay-ca.pem"
            encryption, context = Encryption.STARTTLS, make_tls_context(bundle, faults)
            options = replace(options, ca_bundle=str(bundle))
        mail = MailSink(
            encryption=encryption, tls_context=context, credentials=login, port=relay["smtp_port"], faults=faults
        )
        for port, option in ((options.port, "--port"), (mail.port, "--smtp-port")):
            _check_port(port, option)  # before the start: werkzeug exits when the port is in use
        if options.port == mail.port != 0:
            raise UsageError(f"--port and --smtp-port are both {mail.port}", "choose another port for one of them")
        try:
            sandbox = stack.enter_context(Sandbox(options, mail))
        except OSError as e:  # a port was taken after the check
            hint = "choose other ports with --port and --smtp-port"
            raise UsageError(f"cannot listen: {_reason(e)}", hint) from None
        yield sandbox


def _check_port(port: int, option: str) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as e:
        hint = f"choose another port with {option}"
        raise UsageError(f"cannot listen on port {port}: {_reason(e)}", hint) from None


def _reason(e: OSError) -> str:
    return os.strerror(e.errno) if e.errno else "no reason given"  # the error's own text may hold more


def _parse_login(text: str | None) -> tuple[str, str] | None:
    """Return user and password; errors never show the value."""
    if text is None:
        return None
    user, _, password = text.partition(":")
    if not user or not password:
        raise UsageError("--smtp-login has no user or no password", "write --smtp-login USER:PASSWORD")
    return user, password


def parse_faults(texts: Sequence[str]) -> frozenset[RelayFault]:
    """Return the requested faults. Raises :class:`UsageError`."""
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if name not in [*RelayFault]:
            known = f"known faults: {', '.join(RelayFault)}"
            raise UsageError(f"unknown fault {quoted(name)} in --relay-fault", did_you_mean(name, RelayFault) or known)
    faults = frozenset(map(RelayFault, names))
    if pair := find_contradiction(faults):
        raise UsageError(f"--relay-fault {pair[0]} and {pair[1]} exclude each other", "leave one of them out")
    return faults


def _print_introduction(sandbox: Sandbox) -> None:
    options = sandbox.options
    write_out(
        [
            line(f"Keycloak {options.version} in a sandbox: {sandbox.url}/ shows the mails received."),
            *_describe_relay(sandbox),
            line("In another terminal:"),
            line(f"  export ZTRUST_MAIL_URL={sandbox.url}"),
            line(f"  export ZTRUST_MAIL_USERNAME={options.admin_user} ZTRUST_MAIL_PASSWORD={options.admin_password}"),
            line("  ztrust-mail doctor"),
        ]
    )


def _describe_relay(sandbox: Sandbox) -> Iterator[Line]:
    relay = sandbox.mail
    needs_tls = RelayFault.NO_STARTTLS in relay.faults
    security = "starttls" if needs_tls else relay.encryption.value
    yield line(f"The relay is {relay.host}, port {relay.port}, security {security}. Ctrl-C ends both.")
    if relay.user is not None:
        yield line(f"The relay requires the login of user {quoted(relay.user)}.")
    for fault in RelayFault:
        if fault in relay.faults:
            yield line(f"Relay fault {fault}: {MEANINGS[fault]}.")


def missing_extra() -> UsageError:
    """Return the error for missing packages of the extra."""
    return UsageError("the sandbox needs an extra that is not installed", install_hint("sandbox"))
