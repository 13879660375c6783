"""``plan``: show what an apply would change."""

from collections.abc import Sequence
from pathlib import Path

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.execute import plan_report
from ztrust_mail.cli.options import OutputFormat
from ztrust_mail.cli.output import Output, check_output_file, write_output
from ztrust_mail.cli.protected_files import ProtectedFiles, check_plan_file
from ztrust_mail.core.text import quoted
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.safety import parse_allow
from ztrust_mail.planning.saved import digest_of
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text import Text

NAME = "plan"


@options.command(NAME)
@options.specs()
@options.server
@options.realm
@options.secrets
@options.no_secrets
@options.allow
@options.file("--out", "Save the plan for apply --plan.", with_result=True)
@options.force
@options.result_format
@options.report
@options.config
def command(
    specs: Sequence[str],
    server: str | None,
    realm: Sequence[str],
    secrets: SecretMode,
    no_secrets: bool,
    allow: Sequence[str],
    out: Path | None,
    force: bool,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Show what apply would change; writes nothing to the server."""
    own = ProtectedFiles(specs, out=out, settings=config)
    with Output(NAME, format, report, own) as output:
        allowed = parse_allow(allow)
        if out:
            check_plan_file(out, own)
            check_output_file(out, force=force)
        spec = api.load_spec(specs)
        with api.connect(server, spec=spec, config_path=config) as session:
            output.attach(session)
            made = api.plan(spec, session, realms=realm, secrets=secrets, resolve=not no_secrets)
            saved = api.save_plan(made, spec, session) if out else None
        notes = []
        if out and saved:
            write_output(out, saved, force=force)
            notes = [line(f"Saved to {quoted(out)}; its digest is {digest_of(saved)}")]
        verdict = api.judge(made, allowed)
        output.finish_report(plan_report(output, NAME, made, verdict, allowed, out), more=Text(notes))
