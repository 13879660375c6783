"""The options of ``probe``: which relay, how far, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ztrust_mail.cli import options
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import parse_duration, quoted
from ztrust_mail.model.fields import Kind, Login, Security
from ztrust_mail.model.values import BadValue, parse

if TYPE_CHECKING:
    from ztrust_mail.probing.kubernetes_job import JobPlace
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.relay import Relay

STAGES = (
    *("name", "connect", "tls", "banner", "ehlo", "starttls", "ehlo-tls"),
    *("token", "login", "mail-from", "rcpt-to", "data"),
)
"""The stages to stop after; written out, since the help of all commands does not import the probe."""

_TLS_PORTS = (465, 2465)


@dataclass(frozen=True)
class ProbeFlags:
    """The options as a person typed them; an option that was left out is None or empty."""

    relay: str | None
    security: str | None
    username: str | None
    password: str | None
    sender: str | None
    recipient: str | None
    send: bool
    until: str | None
    deadline: str
    ehlo_name: str | None
    ca_bundle: str | None
    source_address: str | None
    ipv4: bool
    ipv6: bool
    allow_clear_login: bool

    def given_relay(self) -> Relay | None:
        """Return the relay that --relay names. Raises :class:`UsageError`."""
        if not self.relay:
            given = [name for name in ("security", "username", "password") if getattr(self, name)]
            if given:
                raise UsageError(f"--{given[0]} needs --relay", "realms and specs have settings of their own")
            return None
        from ztrust_mail.probing.relay import Relay

        host, port = _host_and_port(self.relay)
        security = Security(self.security) if self.security else _usual_security(port)
        if bool(self.username) != bool(self.password):
            raise UsageError("a login needs --username and --password", "give both, such as --password env:NAME")
        if not self.username:
            return Relay(host, port, security)
        return Relay(host, port, security, Login.BASIC, self.username, _reference(self.password or ""))

    def probe_options(self) -> ProbeOptions:
        """Return how to probe. Raises :class:`UsageError`."""
        from ztrust_mail.probing.options import AddressFamily, ProbeOptions
        from ztrust_mail.probing.outcome import Stage

        if self.ipv4 and self.ipv6:
            raise UsageError("--ipv4 and --ipv6 exclude each other", "give one, or none for all addresses")
        family = AddressFamily.IPV4 if self.ipv4 else AddressFamily.IPV6 if self.ipv6 else AddressFamily.ANY
        milliseconds = parse_duration(self.deadline)
        if milliseconds is None:
            raise UsageError(f"--deadline {quoted(self.deadline)} is no duration", "give a number with a unit: 20s")
        return ProbeOptions(
            deadline=milliseconds / 1000,
            until=Stage(self.until) if self.until else Stage.QUIT,
            to=self.recipient or "",
            sender=self.sender or "",
            send=self.send,
            ehlo_name=self.ehlo_name or "",
            ca_bundle=self.ca_bundle or "",
            source_address=self.source_address or "",
            family=family,
            allow_clear_login=self.allow_clear_login,
        )


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) <= 65_535:
        raise UsageError(f"--relay {quoted(text)} is not HOST:PORT", "write it as smtp.example.com:587")
    try:
        return str(parse(Kind.HOST, host)).lower(), int(port)
    except BadValue as bad:
        raise UsageError(f"--relay {bad.problem}", bad.hint) from None


def _usual_security(port: int) -> Security:
    return Security.TLS if port in _TLS_PORTS else Security.STARTTLS


def _reference(text: str) -> SecretRef:
    kind, _, argument = text.partition(":")
    if kind not in (SecretKind.ENV, SecretKind.FILE) or not argument:
        hint = "write env:NAME or file:PATH; a password itself would be visible to others on this machine"
        raise UsageError("--password is no reference", hint)
    return SecretRef(SecretKind(kind), (argument,), ".")


_PASSWORD = "Where the password comes from: env:NAME or file:PATH."

probing = options.gather(
    "probing",
    ProbeFlags,
    (
        options.text("--relay", metavar="HOST:PORT", help="Probe this relay, instead of those of realms."),
        click.option(
            "--security",
            type=click.Choice([one.value for one in Security]),
            help="Encryption of --relay [default: starttls, for port 465 tls].",
        ),
        options.text("--username", metavar="NAME", help="Log in to --relay with this user name."),
        options.text("--password", metavar="REFERENCE", help=_PASSWORD),
        click.option("--from", "sender", metavar="ADDRESS", help="The envelope sender for --relay."),
        click.option("--to", "recipient", metavar="ADDRESS", help="Ask the relay about this recipient, too."),
        options.flag("--send", help="Send a real message to the recipient of --to."),
        click.option(
            "--until", metavar="STAGE", type=click.Choice(STAGES), help=f"Stop after this stage: {', '.join(STAGES)}."
        ),
        click.option(
            "--deadline", metavar="TIME", default="20s", show_default=True, help="For the whole dialogue with a relay."
        ),
        options.text("--ehlo-name", metavar="NAME", help="Greet with this name, such as that of the server's machine."),
        options.input_file("--ca-bundle", "FILE", "Trust these authorities (PEM) instead of this machine's."),
        options.text("--source-address", metavar="IP", help="Connect from this address of this machine."),
        options.flag("--ipv4", help="Try IPv4 addresses only."),
        options.flag("--ipv6", help="Try IPv6 addresses only."),
        options.flag("--allow-clear-login", help="Also log in on a line without encryption."),
    ),
)
"""Declare the options of a probe; the function gets a ``probing`` of type :class:`ProbeFlags`."""


@dataclass(frozen=True)
class JobFlags:
    """The options of a job next to the server, as a person typed them."""

    run_as: str | None
    namespace: str | None
    service_account: str | None
    image: str | None
    secret: str | None

    def place(self) -> JobPlace | None:
        """Return where the job runs, None if the probe runs here. Raises :class:`UsageError`."""
        from ztrust_mail.probing.kubernetes_job import JobPlace

        given = {name: value for name, value in vars(self).items() if value and name != "run_as"}
        if self.run_as:
            return JobPlace(**given)
        if given:
            name = next(iter(given)).replace("_", "-")
            raise UsageError(f"--{name} is for a job next to the server", f"add --as {KUBERNETES_JOB}")
        return None


KUBERNETES_JOB = "kubernetes-job"

job_options = options.gather(
    "job",
    JobFlags,
    (
        click.option(
            "--as",
            "run_as",
            type=click.Choice([KUBERNETES_JOB]),
            help="Print a job that makes the same probe next to the server, instead of probing.",
        ),
        options.text("--namespace", metavar="NAME", help="With --as: the server's namespace."),
        options.text("--service-account", metavar="NAME", help="With --as: the server's service account."),
        options.text("--image", metavar="IMAGE", help="With --as: the image of ztrust-mail [default: ztrust-mail]."),
        options.text("--secret", metavar="NAME/KEY", help="With --as: the Kubernetes secret with the password."),
    ),
)
"""Declare the options of a job; the function gets a ``job`` of type :class:`JobFlags`."""
