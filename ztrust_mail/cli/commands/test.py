"""``test``: have the server send test mails."""

from collections.abc import Sequence
from dataclasses import replace

from ztrust_mail import api
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.workers import submit
from ztrust_mail.reports.report import of_tests

NAME = "test"

_NOT_CARRIED = {"--ca-bundle": "workers trust their own certificate store"}
"""The options that requests do not support, and why."""


@parameters.command(NAME)
@options.realms
@parameters.input_file(
    "--spec",
    "SPEC",
    "Test the settings of a spec without storing them.",
    multiple=True,
    suggest=completion.spec_files,
)
@parameters.flag("--no-probe", help="Do not probe the relays from this machine.")
@parameters.text("--ehlo-name", metavar="NAME", help="The name to send in EHLO when probing, such as the server's.")
@parameters.input_file("--ca-bundle", "FILE", "Certificate authorities (PEM) for the probe, instead of this machine's.")
@options.spec_option_variables
@options.selecting
@submit.detaching
@options.shared
def command(
    realms: Sequence[str],
    no_probe: bool,
    ehlo_name: str | None,
    ca_bundle: str | None,
    files: options.SpecFlags,
    servers: options.ServerFlags,
    detach: bool,
    shared: options.SharedFlags,
) -> None:
    """Have the server send a test mail per realm.

    The mail goes to the address of the account that logs in. If a test fails, this machine also probes the relay to
    find out why. After a successful test, the relay's encryption is probed once, because servers send in clear if a
    relay does not offer STARTTLS.
    """
    from ztrust_mail.probing.options import ProbeOptions  # not needed for the help of all commands

    with shared.output(NAME, files.specs) as output:
        if submit.is_for_workers(shared.config, detach=detach):
            submit.refuse_options({"--ca-bundle": ca_bundle}, _NOT_CARRIED, detach=detach)
            submission = _submission(realms, files, shared.config, ehlo_name or "", probe=not no_probe)
            submit.submit_on_servers(output, servers, shared.config, replace(submission, detach=detach))
        loaded = files.load_if_any(shared.config)
        probe = False if no_probe else ProbeOptions(ehlo_name=ehlo_name or "", ca_bundle=ca_bundle or "")

        def test(output: Output, server: str | None) -> None:
            with api.connect(server, spec=loaded, config_path=shared.config) as session:
                output.attach(session, "Sending test mails with")
                run = api.test(
                    session, realms, spec=loaded, probe=probe, progress=output.count_realms, probed=output.count_relays
                )
            output.finish_report(of_tests(run))

        servers.run(output, shared.config, test)


def _submission(
    realms: Sequence[str], files: options.SpecFlags, config: str | None, ehlo_name: str, *, probe: bool
) -> submit.Submission:
    """Return what to submit. Raises as :func:`ztrust_mail.load_spec` does."""
    from ztrust_mail.fleet import TestSpec, TestStored

    if not files.specs:
        files.load_if_any(config)
        return submit.Submission(TestStored(realms, probe, ehlo_name))
    spec, data = submit.load_for_workers(files, config)
    return submit.Submission(TestSpec(data, realms, files.variables, probe, ehlo_name), spec.servers)
