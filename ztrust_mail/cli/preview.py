"""Shows a plan without applying it, and saves it: ``plan``, and what writes with ``--dry-run`` or ``--out``."""

from typing import NoReturn

from ztrust_mail import api
from ztrust_mail.api import Session
from ztrust_mail.cli.execute import plan_report
from ztrust_mail.cli.options import Preview
from ztrust_mail.cli.output import Output, check_output_file, write_output
from ztrust_mail.cli.protected_files import check_plan_file
from ztrust_mail.core.text import quoted
from ztrust_mail.planning.plan import Plan
from ztrust_mail.planning.safety import Reason
from ztrust_mail.planning.saved import APPLY, digest_of
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text import NOTHING, TextReport
from ztrust_mail.specfile.entries import Spec


def check_preview(output: Output, preview: Preview) -> None:
    """Raise :class:`UsageError` before any work is done where the plan could not be saved."""
    if preview.out:
        check_plan_file(preview.out, output.own)
        check_output_file(preview.out, force=preview.force)


def finish_with_plan(
    output: Output, session: Session, made: Plan, preview: Preview, allow: frozenset[Reason], spec: Spec | None = None
) -> NoReturn:
    """Show a plan, save it where a file is named, and exit. ``spec`` is what it was made from, None for a revert."""
    more = NOTHING
    if preview.out:
        made = api.fit_to_file(made, session)
        text = api.save_plan(made, spec, session)
        write_output(preview.out, text, force=preview.force)
        more = TextReport([line(f"Saved to {quoted(preview.out)}; its digest is {digest_of(text)}")])
    command = "plan" if made.command == APPLY else made.command
    report = plan_report(output, command, made, api.judge(made, allow), allow, preview.out)
    output.finish_report(report, more=more)
