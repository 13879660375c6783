"""``plan``: show what an apply would change."""

from collections.abc import Sequence
from pathlib import Path

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.execute import Preview, check_preview, finish_with_plan
from ztrust_mail.cli.lint_options import LintFlags, choosing
from ztrust_mail.cli.many_servers.options import ServerFlags, refuse_several, selecting
from ztrust_mail.cli.many_servers.run import run_on_servers
from ztrust_mail.cli.options import SharedFlags, SpecFlags
from ztrust_mail.cli.output import Output
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.safety import parse_allow

NAME = "plan"


@options.command(NAME)
@options.specs()
@options.spec_variables
@selecting
@options.realm
@options.secrets
@options.no_secrets
@options.allow
@options.file("--out", "Save the plan for apply --plan.", with_result=True)
@options.force
@choosing
@options.shared
def command(
    files: SpecFlags,
    servers: ServerFlags,
    realm: Sequence[str],
    secrets: SecretMode,
    no_secrets: bool,
    allow: Sequence[str],
    out: Path | None,
    force: bool,
    rules: LintFlags,
    shared: SharedFlags,
) -> None:
    """Show what apply would change; writes nothing to the server."""
    preview = Preview(out=out, force=force)
    with shared.output(NAME, files.specs, out=out) as output:
        allowed = parse_allow(allow)
        check_preview(output, preview)
        refuse_several(servers, preview.out and "--out", "a saved plan is for one server")
        spec = files.load(shared.config)

        def show(output: Output, server: str | None) -> None:
            with api.connect(server, spec=spec, config_path=shared.config) as session:
                output.attach(session)
                made = api.plan(
                    spec, session, realms=realm, secrets=secrets, resolve=not no_secrets, lint=rules.lint_options
                )
                finish_with_plan(output, session, made, preview, allowed, spec)

        run_on_servers(output, servers, shared.config, show)
