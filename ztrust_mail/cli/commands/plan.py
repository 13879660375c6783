"""``plan``: show what an apply would change."""

from pathlib import Path

from ztrust_mail import api
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.commands.lint import choosing
from ztrust_mail.cli.execute import Preview, check_preview, finish_with_plan
from ztrust_mail.cli.output import Output
from ztrust_mail.linting.selection import LintOptions
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.safety import parse_allow

NAME = "plan"


@parameters.command(NAME)
@options.specs()
@options.spec_variables
@options.selecting
@options.realm
@options.secrets
@options.no_secrets
@options.allow
@parameters.file("--out", "Save the plan for apply --plan.", with_result=True)
@options.force
@choosing
@options.shared
def command(
    files: options.SpecFlags,
    servers: options.ServerFlags,
    realm: tuple[str, ...],
    secrets: SecretMode,
    no_secrets: bool,
    allow: tuple[str, ...],
    out: Path | None,
    force: bool,
    rules: LintOptions,
    shared: options.SharedFlags,
) -> None:
    """Show what apply would change; writes nothing to the server."""
    preview = Preview(out=out, force=force)
    with shared.output(NAME, files.specs, out=out) as output:
        allowed = parse_allow(allow)
        check_preview(output, preview)
        servers.require_one(preview.out and "--out", "a saved plan is for one server")
        spec = files.load(shared.config)

        def show(output: Output, server: str | None) -> None:
            with api.connect(server, spec=spec, config_path=shared.config) as session:
                output.attach(session)
                made = api.plan(spec, session, realms=realm, secrets=secrets, resolve=not no_secrets, lint=rules)
                finish_with_plan(output, session, made, preview, allowed, spec)

        servers.run(output, shared.config, show)
