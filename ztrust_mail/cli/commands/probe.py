"""``probe``: probe relays from this machine, stage by stage."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click

from ztrust_mail import api
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.output import Output, write_output
from ztrust_mail.core.errors import NoServerChosen, UsageError
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import parse_duration, quoted
from ztrust_mail.model.fields import Kind, Login, Security
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.reports.report import of_commands, of_probe

if TYPE_CHECKING:
    from ztrust_mail.api import Session
    from ztrust_mail.probing.kubernetes_job import JobPlace
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.probing.relay import Relay
    from ztrust_mail.specfile.entries import Spec

NAME = "probe"


STAGES = (
    *("name", "connect", "tls", "banner", "ehlo", "starttls", "ehlo-tls"),
    *("token", "login", "mail-from", "rcpt-to", "data"),
)
"""The stages to stop after; written out, since the help of all commands does not import the probe."""

_TLS_PORTS = (465, 2465)
_OR_RELAY = "; or name a relay by --relay HOST:PORT, or a spec by --spec SPEC"


@dataclass(frozen=True)
class ProbeFlags:
    """The options as typed by the user; missing options are None or empty."""

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
        usual = Security.TLS if port in _TLS_PORTS else Security.STARTTLS
        security = Security(self.security) if self.security else usual
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
        return ProbeOptions(
            deadline=parse_deadline(self.deadline),
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


def parse_deadline(text: str) -> float:
    """Return the seconds of ``--deadline``. Raises :class:`UsageError`."""
    milliseconds = parse_duration(text)
    if milliseconds is None:
        raise UsageError(f"--deadline {quoted(text)} is no duration", "give a number with a unit: 20s")
    return milliseconds / 1000


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) <= 65_535:
        raise UsageError(f"--relay {quoted(text)} is not HOST:PORT", "write it as smtp.example.com:587")
    try:
        return str(parse(Kind.HOST, host)).lower(), int(port)
    except BadValue as bad:
        raise UsageError(f"--relay {bad.problem}", bad.hint) from None


def _reference(text: str) -> SecretRef:
    kind, _, argument = text.partition(":")
    if kind not in (SecretKind.ENV, SecretKind.FILE) or not argument:
        hint = "write env:NAME or file:PATH; a password itself would be visible to others on this machine"
        raise UsageError("--password is no reference", hint)
    return SecretRef(SecretKind(kind), (argument,), ".")


deadline = click.option(
    "--deadline", metavar="TIME", default="20s", show_default=True, help="For the whole dialogue with a relay."
)
ca_bundle = parameters.input_file("--ca-bundle", "FILE", "Trust these authorities (PEM) instead of this machine's.")
_PASSWORD = "Where the password comes from: env:NAME or file:PATH."

probing = parameters.gather(
    "probing",
    ProbeFlags,
    (
        parameters.text("--relay", metavar="HOST:PORT", help="Probe this relay, instead of those of realms."),
        click.option(
            "--security",
            type=click.Choice([one.value for one in Security]),
            help="Encryption of --relay [default: starttls, for port 465 tls].",
        ),
        parameters.text("--username", metavar="NAME", help="Log in to --relay with this user name."),
        parameters.text("--password", metavar="REFERENCE", help=_PASSWORD),
        click.option("--from", "sender", metavar="ADDRESS", help="The envelope sender for --relay."),
        click.option(
            "--to", "recipient", metavar="ADDRESS", help="Also test whether the relay accepts this recipient."
        ),
        parameters.flag("--send", help="Send a real message to the recipient of --to."),
        click.option(
            "--until", metavar="STAGE", type=click.Choice(STAGES), help=f"Stop after this stage: {', '.join(STAGES)}."
        ),
        deadline,
        parameters.text(
            "--ehlo-name", metavar="NAME", help="Greet with this name, such as that of the server's machine."
        ),
        ca_bundle,
        parameters.text("--source-address", metavar="IP", help="Connect from this address of this machine."),
        parameters.flag("--ipv4", help="Try IPv4 addresses only."),
        parameters.flag("--ipv6", help="Try IPv6 addresses only."),
        parameters.flag("--allow-clear-login", help="Also log in on a line without encryption."),
    ),
)
"""Declare the options of a probe; the function gets a ``probing`` of type :class:`ProbeFlags`."""


@dataclass(frozen=True)
class JobFlags:
    """The options of a job next to the server, as typed by the user."""

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

job_options = parameters.gather(
    "job",
    JobFlags,
    (
        click.option(
            "--as",
            "run_as",
            type=click.Choice([KUBERNETES_JOB]),
            help="Print a job that makes the same probe next to the server, instead of probing.",
        ),
        parameters.text("--namespace", metavar="NAME", help="With --as: the server's namespace."),
        parameters.text("--service-account", metavar="NAME", help="With --as: the server's service account."),
        parameters.text("--image", metavar="IMAGE", help="With --as: the image of ztrust-mail [default: ztrust-mail]."),
        parameters.text("--secret", metavar="NAME/KEY", help="With --as: the Kubernetes secret with the password."),
    ),
)
"""Declare the options of a job; the function gets a ``job`` of type :class:`JobFlags`."""


@parameters.command(NAME)
@options.realms
@parameters.input_file("--spec", "SPEC", "Probe the relays of a spec.", multiple=True, suggest=completion.spec_files)
@probing
@job_options
@options.spec_option_variables
@options.selecting
@options.shared
def command(
    realms: tuple[str, ...],
    probing: ProbeFlags,
    job: JobFlags,
    files: options.SpecFlags,
    servers: options.ServerFlags,
    shared: options.SharedFlags,
) -> None:
    """Probe relays from this machine, in stages.

    Name, connection, banner, EHLO, TLS with its certificate, login, sender and, with --to, recipient. Realms with
    the same relay and login are probed once. A login is never sent unencrypted, unless --allow-clear-login is given.
    No mail is sent without --send. --verbose shows the dialogue.
    """
    with shared.output(NAME, files.specs) as output:
        given, how, place = probing.given_relay(), probing.probe_options(), job.place()
        if given and (realms or files.specs or servers.only or servers.are_several):
            raise UsageError("--relay names the only relay to probe", "leave out realms, --spec and --server")
        if given:
            if place:
                _print_jobs(output, api.write_probe_jobs(relay=given, options=how, place=place))
            output.show_activity(f"Probing {given.address}")
            output.finish_report(of_probe(api.probe(relay=given, options=how, config_path=shared.config)))
        loaded = files.load_if_any(shared.config)
        servers.require_one(place and "--as", "a job is made for the place of one server")

        def probe(output: Output, server: str | None) -> None:
            session = connect_if_chosen(server, loaded, shared.config, _OR_RELAY)
            with session or nullcontext():
                if place:
                    _print_jobs(output, api.write_probe_jobs(session, realms, spec=loaded, options=how, place=place))
                if session:
                    output.attach(session, "Probing the relays of")
                else:
                    output.show_activity("Probing the relays of the spec")
                path, count = None if session else shared.config, output.count_realms
                run = api.probe(session, realms, spec=loaded, options=how, config_path=path, progress=count)
            output.finish_report(of_probe(run))

        servers.run(output, shared.config, probe)


def _print_jobs(output: Output, jobs: str) -> NoReturn:
    if output.is_document:
        output.finish_report(of_commands(NAME, jobs.splitlines()))
    write_output(None, jobs, force=False)
    output.finish((), of_commands(NAME, ()))


def connect_if_chosen(server: str | None, spec: Spec | None, config: str | None, more: str = "") -> Session | None:
    """Return a session; None if no server is chosen, which a spec does not need for realms named in full.

    Raises :class:`NoServerChosen` without a spec; its hint has ``more`` at its end.
    """
    try:
        return api.connect(server, spec=spec, config_path=config)
    except NoServerChosen as e:
        if spec is None:
            raise NoServerChosen(e.message, f"{e.hint}{more}", e.rule) from None
        return None
