"""``compare``: show what differs between two servers."""

from collections.abc import Sequence

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.cli.spec_options import load_optional_spec
from ztrust_mail.core.errors import UsageError
from ztrust_mail.reports.report import of_server_diff

NAME = "compare"


@options.command(NAME)
@options.specs(required=False)
@options.variables
@options.servers
@options.realm
@options.result_format
@options.report
@options.config
def command(
    specs: Sequence[str],
    var: Sequence[str],
    server: Sequence[str],
    realm: Sequence[str],
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Show what differs between two servers.

    Compares what they hold now, and writes nothing. A SPEC limits it to the realms that the spec has on one of them.
    Exit status 1 if anything differs.
    """
    with Output(NAME, format, report, ProtectedFiles(specs, settings=config)) as output:
        if len(server) != 2:
            hint = "name them: ztrust-mail compare --server NAME --server NAME"
            raise UsageError(f"compare needs two servers, not {len(server)}", hint)
        spec = load_optional_spec(specs, var, config)
        with (
            api.connect(server[0], spec=spec, config_path=config) as first,
            api.connect(server[1], spec=spec, config_path=config) as second,
        ):
            output.attach(first)
            output.attach(second)
            found = api.compare(first, second, spec=spec, realms=realm)
        output.title = f"{found.first} ({found.urls[0]}) and {found.second} ({found.urls[1]})"
        output.finish_report(of_server_diff(found))
