"""``compare``: show the differences between two servers."""

from ztrust_mail import api
from ztrust_mail.cli import options, parameters
from ztrust_mail.core.errors import UsageError
from ztrust_mail.reports.report import of_server_diff

NAME = "compare"


@parameters.command(NAME)
@options.specs(required=False)
@options.spec_variables
@options.servers
@options.realm
@options.shared
def command(
    files: options.SpecFlags,
    server: tuple[str, ...],
    realm: tuple[str, ...],
    shared: options.SharedFlags,
) -> None:
    """Show the differences between two servers.

    Compares their current settings, and writes nothing. A SPEC limits the comparison to the realms it has on either of
    them. Exits with 1 if anything differs.
    """
    with shared.output(NAME, files.specs) as output:
        if len(server) != 2:
            hint = "name them: ztrust-mail compare --server NAME --server NAME"
            raise UsageError(f"compare needs two servers, not {len(server)}", hint)
        spec = files.load_if_any(shared.config)
        with (
            api.connect(server[0], spec=spec, config_path=shared.config) as first,
            api.connect(server[1], spec=spec, config_path=shared.config) as second,
        ):
            output.attach(first)
            output.attach(second)
            found = api.compare(first, second, spec=spec, realms=realm)
        output.title = f"{found.first} ({found.urls[0]}) and {found.second} ({found.urls[1]})"
        output.finish_report(of_server_diff(found))
