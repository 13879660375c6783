"""``rotate``: write the current value of a secret to every realm that uses it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.execute import execute, finish
from ztrust_mail.cli.options import OutputFormat, Preview, WriteFlags
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.preview import check_preview, finish_with_plan
from ztrust_mail.cli.protected_files import ProtectedFiles
from ztrust_mail.planning.safety import Reason

NAME = "rotate"


@options.command(NAME)
@options.argument("reference", "REFERENCE", "The secret reference as plans show it, such as env:SMTP_PASSWORD.")
@options.specs()
@options.server
@options.realm
@options.writing(canary="1")
@options.previewing
@options.result_format
@options.report
@options.config
def command(
    reference: str,
    specs: Sequence[str],
    server: str | None,
    realm: Sequence[str],
    writing: WriteFlags,
    preview: Preview,
    format: OutputFormat,
    report: Sequence[str],
    config: str | None,
) -> None:
    """Write the new value of a secret wherever it is used.

    Writes one realm first, for which the server sends a test mail. At the end, lists realms that may still use the
    old value.
    """
    from ztrust_mail.planning.planners.rotate import check_reference
    from ztrust_mail.reports.text.plan import leftover_lines

    with Output(NAME, format, report, ProtectedFiles(specs, out=preview.out, settings=config)) as output:
        check_reference(reference)
        check_preview(output, preview)
        first = "" if writing.canary == "0" else writing.canary
        flags = replace(writing, canary=first, allow=(*writing.allow, Reason.MASS_CHANGE))
        apply_options = flags.apply_options(NAME)
        spec = api.load_spec(specs)
        apply_options = replace(apply_options, spec_digest=api.spec_digest(spec))
        with api.connect(server, spec=spec, config_path=config) as session:
            make_plan = partial(api.rotate_plan, spec, session, reference, realms=realm, allow=writing.allow)
            if preview.is_wanted:
                output.attach(session)
                api.require_support(session, apply_options)
                finish_with_plan(output, session, make_plan(), preview, apply_options.allow, spec)
            done = execute(output, session, make_plan, apply_options, yes=writing.yes)
            if done.verdict.refusal or done.is_declined:
                finish(output, apply_options, done)
            found = api.leftovers(done.plan, session)
        finish(output, apply_options, done, list(leftover_lines(found, done.plan.reference)), found)
