"""``probe``: look at the relays from this machine, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NoReturn

from ztrust_mail import api
from ztrust_mail.cli import completion, options
from ztrust_mail.cli.many_servers.options import ServerFlags, refuse_several, selecting
from ztrust_mail.cli.many_servers.run import run_on_servers
from ztrust_mail.cli.options import SharedFlags, SpecFlags
from ztrust_mail.cli.output import Output, write_output
from ztrust_mail.cli.probe_options import JobFlags, ProbeFlags, job_options, probing
from ztrust_mail.core.errors import NoServerChosen, UsageError
from ztrust_mail.reports.report import of_commands, of_probe

if TYPE_CHECKING:
    from ztrust_mail.api import Session
    from ztrust_mail.specfile.entries import Spec

NAME = "probe"


@options.command(NAME)
@options.realms
@options.input_file("--spec", "SPEC", "Probe the relays of a spec.", multiple=True, suggest=completion.spec_files)
@probing
@job_options
@options.spec_option_variables
@selecting
@options.shared
def command(
    realms: Sequence[str],
    probing: ProbeFlags,
    job: JobFlags,
    files: SpecFlags,
    servers: ServerFlags,
    shared: SharedFlags,
) -> None:
    """Look at the relays from this machine, in stages.

    Name, connection, banner, EHLO, TLS with its certificate, login, sender and, with --to, recipient. Realms with
    the same relay and login are probed once. A login is never sent unencrypted, unless --allow-clear-login is given.
    No mail is sent without --send. --verbose shows the dialogue.
    """
    with shared.output(NAME, files.specs) as output:
        given, how, place = probing.given_relay(), probing.probe_options(), job.place()
        if given and (realms or files.specs or servers.only or servers.are_several):
            raise UsageError("--relay names the only relay to probe", "leave out realms, --spec and --server")
        if given and place:
            _print_jobs(output, api.write_probe_jobs(relay=given, options=how, place=place))
        if given:
            output.show_activity(f"Probing {given.address}")
            output.finish_report(of_probe(api.probe(relay=given, options=how, config_path=shared.config)))
        loaded = files.load_if_any(shared.config)
        refuse_several(servers, place and "--as", "a job is made for the place of one server")

        def probe(output: Output, server: str | None) -> None:
            session = _connect(server, loaded, shared.config)
            if place:
                with session or nullcontext():
                    _print_jobs(output, api.write_probe_jobs(session, realms, spec=loaded, options=how, place=place))
            with session or nullcontext():
                if session:
                    output.attach(session, "Probing the relays of")
                else:
                    output.show_activity("Probing the relays of the spec")
                path = None if session else shared.config
                run = api.probe(
                    session, realms, spec=loaded, options=how, config_path=path, progress=output.count_realms
                )
            output.finish_report(of_probe(run))

        run_on_servers(output, servers, shared.config, probe)


def _print_jobs(output: Output, jobs: str) -> NoReturn:
    if output.is_document:
        output.finish_report(of_commands(NAME, jobs.splitlines()))
    write_output(None, jobs, force=False)
    output.finish((), of_commands(NAME, ()))


def _connect(server: str | None, spec: Spec | None, config: str | None) -> Session | None:
    """Return a session; None where no server is chosen, which a spec does not need for realms named in full."""
    try:
        return api.connect(server, spec=spec, config_path=config)
    except NoServerChosen as e:
        if spec is None:
            hint = f"{e.hint}; or name a relay by --relay HOST:PORT, or a spec by --spec SPEC"
            raise NoServerChosen(e.message, hint, e.rule) from None
        return None
