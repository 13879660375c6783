"""``revert``: restore the state before a run."""

from dataclasses import replace
from functools import partial

from ztrust_mail import api
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.execute import (
    Preview,
    WriteFlags,
    check_preview,
    execute,
    finish,
    finish_with_plan,
    previewing,
    writing,
)
from ztrust_mail.planning.compare import SecretMode

NAME = "revert"


@parameters.command(NAME)
@parameters.number_argument("run", "[RUN]", "The run to revert [default: the newest that wrote].")
@options.server
@options.realm
@options.secrets
@writing()
@previewing
@options.shared
def command(
    run: int | None,
    server: str | None,
    realm: tuple[str, ...],
    secrets: SecretMode,
    writing: WriteFlags,
    preview: Preview,
    shared: options.SharedFlags,
) -> None:
    """Restore the settings of realms from before a run.

    A realm that changed since the run is skipped, unless both the run and the realm are named.
    """
    with shared.output(NAME, out=preview.out) as output:
        apply_options = writing.apply_options(NAME)
        check_preview(output, preview)
        with api.connect(server, config_path=shared.config) as session:
            chosen = api.run_to_revert(session, run, realms=realm)
            apply_options = replace(apply_options, command=f"{NAME} {chosen.number}")
            make_plan = partial(api.revert_plan, chosen, session, realms=realm, secrets=secrets, insist=run is not None)
            if preview.is_wanted:
                output.attach(session)
                api.require_support(session, apply_options)
                finish_with_plan(output, session, make_plan(), preview, apply_options.allow)
            done = execute(output, session, make_plan, apply_options, yes=writing.yes)
        finish(output, apply_options, done)
