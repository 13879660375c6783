"""``test``: have the server send test mails."""

from collections.abc import Sequence

from ztrust_mail import api
from ztrust_mail.cli import completion, options
from ztrust_mail.cli.many_servers.options import ServerFlags, selecting
from ztrust_mail.cli.many_servers.run import run_on_servers
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.cli.spec_options import load_optional_spec, parse_variables
from ztrust_mail.cli.workers.submit import (
    Submission,
    detaching,
    is_for_workers,
    load_for_workers,
    refuse_options,
    submit_on_servers,
)
from ztrust_mail.reports.report import of_tests

NAME = "test"

_NOT_CARRIED = dict.fromkeys(
    ("--no-probe", "--ehlo-name", "--ca-bundle"), "the worker probes from its own machine, with its own authorities"
)
"""The options that no request carries, and why."""


@options.command(NAME)
@options.argument(
    "realms", "[REALM...]", "Realms or globs [default: all].", nargs=-1, shell_complete=completion.realm_names
)
@options.input_file(
    "--spec",
    "SPEC",
    "Test the settings of a spec without storing them.",
    multiple=True,
    suggest=completion.spec_files,
)
@options.flag("--no-probe", help="Do not look at the relays from this machine, too.")
@options.text("--ehlo-name", metavar="NAME", help="Let the probe greet with this name, such as the server's.")
@options.input_file("--ca-bundle", "FILE", "Let the probe trust these authorities (PEM) instead of this machine's.")
@options.variables
@selecting
@detaching
@options.result_format
@options.report
@options.config
def command(
    realms: Sequence[str],
    spec: Sequence[str],
    no_probe: bool,
    ehlo_name: str | None,
    ca_bundle: str | None,
    var: Sequence[str],
    servers: ServerFlags,
    detach: bool,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Have the server send a test mail per realm.

    The mail goes to the address of the account that logs in. Where a test fails, the relay is probed from this machine,
    too, and the report says why it fails. A relay that got a mail is probed up to the encryption, once, since servers
    send in clear text if a relay does not offer STARTTLS.
    """
    from ztrust_mail.probing.options import ProbeOptions  # which the help of all commands does not need

    with Output(NAME, format, report, ProtectedFiles(spec, settings=config)) as output:
        if is_for_workers(config, detach=detach):
            given = {"--no-probe": no_probe, "--ehlo-name": ehlo_name, "--ca-bundle": ca_bundle}
            refuse_options(given, _NOT_CARRIED, detach=detach)
            submit_on_servers(output, servers, config, _submission(realms, spec, var, config, detach=detach))
        loaded = load_optional_spec(spec, var, config)
        probe = False if no_probe else ProbeOptions(ehlo_name=ehlo_name or "", ca_bundle=ca_bundle or "")

        def test(output: Output, server: str | None) -> None:
            with api.connect(server, spec=loaded, config_path=config) as session:
                output.attach(session, "Sending test mails with")
                run = api.test(
                    session, realms, spec=loaded, probe=probe, progress=output.count_realms, probed=output.count_relays
                )
            output.finish_report(of_tests(run))

        run_on_servers(output, servers, config, test)


def _submission(
    realms: Sequence[str], specs: Sequence[str], var: Sequence[str], config: str | None, *, detach: bool
) -> Submission:
    """Return what to submit. Raises as :func:`ztrust_mail.load_spec` does."""
    from ztrust_mail.fleet import TestSpec, TestStored

    if not specs:
        load_optional_spec(specs, var, config)
        return Submission(TestStored(realms), detach=detach)
    spec, files = load_for_workers(specs, var, config)
    return Submission(TestSpec(files, realms, parse_variables(var)), spec.servers, detach=detach)
