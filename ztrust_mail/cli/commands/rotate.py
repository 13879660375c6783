"""``rotate``: write the current values of secrets to every realm that uses them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ztrust_mail import api
from ztrust_mail.cli import options, parameters
from ztrust_mail.cli.execute import (
    Preview,
    WriteFlags,
    check_preview,
    execute,
    finish,
    finish_with_plan,
    prepare,
    previewing,
    require_terminal_or_yes,
    writing,
)
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.workers import submit
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.secret import SecretKind, has_kind
from ztrust_mail.core.text import closest_word, quoted
from ztrust_mail.planning.planners.rotate import RelayLogin, check_references
from ztrust_mail.planning.safety import Reason
from ztrust_mail.reports.text.plan import leftover_lines

if TYPE_CHECKING:
    from ztrust_mail.applying.options import ApplyOptions
    from ztrust_mail.specfile.entries import Spec
    from ztrust_mail.specfile.load import SpecFiles

NAME = "rotate"

_NOT_CARRIED = {
    "--wait": "requests always wait for other runs",
    "--dry-run": "it plans on this machine",
    "--out": "it plans on this machine",
}
"""The options that requests do not support, and why."""


@dataclass(frozen=True)
class RotateFlags:
    """The options of one call. ``words`` are the references and the spec files."""

    words: Sequence[str]
    relay: str | None
    user: str | None
    files: options.SpecFlags
    servers: options.ServerFlags
    realm: Sequence[str]
    writing: WriteFlags
    preview: Preview
    detach: bool
    shared: options.SharedFlags

    def apply_options(self) -> ApplyOptions:
        """Return how the rotation is applied: with canaries of each login, and as the mass change that it is."""
        first = "" if self.writing.canary == "0" else self.writing.canary
        allow = (*self.writing.allow, Reason.MASS_CHANGE)
        given = replace(self.writing, canary=first, allow=allow).apply_options(NAME)
        return replace(given, waves=replace(given.waves, per_credential=True))


@parameters.command(NAME)
@options.references_and_specs
@parameters.text(
    "--relay", metavar="HOST", help="Rotate the secrets of this relay's realms, instead of naming references."
)
@parameters.text("--user", metavar="NAME", help="With --relay: only realms that log in as this user.")
@options.spec_variables
@options.selecting
@options.order
@options.realm
@writing(canary="1")
@previewing
@submit.detaching
@options.shared
@parameters.gather("flags", RotateFlags)
def command(flags: RotateFlags) -> None:
    """Write the new values of secrets wherever they are used.

    For each login (relay, user, reference), writes one realm first and has the server send a test mail for it;
    --canary changes the number. At the end, lists realms that may still use an old value.
    """
    files, servers, preview, detach = flags.files, flags.servers, flags.preview, flags.detach
    config, yes = flags.shared.config, flags.writing.yes
    with flags.shared.output(NAME, files.specs, out=preview.out) as output:
        chosen = _parse_scope(flags.words, files.specs, flags.relay, flags.user)
        check_preview(output, preview)
        apply_options, stages = flags.apply_options(), servers.parse_order()
        servers.require_one(preview.out and "--out", "a saved plan is for one server")
        if detach or (not preview.is_wanted and submit.is_for_workers(config, detach=False)):
            given = {"--wait": flags.writing.wait, "--dry-run": preview.dry_run, "--out": preview.out}
            submit.refuse_options(given, _NOT_CARRIED, detach=detach)
            submission = _submission(flags, chosen, submit.load_for_workers(files, config))
            submit.confirm_or_end(output, yes=yes, detach=detach)
            submit.submit_on_servers(output, servers, config, replace(submission, detach=detach, order=stages))
        if servers.are_several and not preview.is_wanted:
            require_terminal_or_yes(NAME, yes=yes)
        work = partial(_rotate, flags, files.load(config), chosen, apply_options)
        servers.run(output, config, work, yes=yes, order=stages)


def _rotate(
    flags: RotateFlags,
    spec: Spec,
    chosen: Sequence[str] | RelayLogin,
    apply_options: ApplyOptions,
    output: Output,
    server: str | None,
) -> NoReturn:
    yes, allow = flags.writing.yes, flags.writing.allow
    with api.connect(server, spec=spec, config_path=flags.shared.config) as session:
        fitted = api.fit_spec(spec, session)
        apply_options = replace(apply_options, spec_digest=api.spec_digest(fitted))
        make_plan = partial(api.rotate_plan, fitted, session, chosen, realms=flags.realm, allow=allow)
        if flags.preview.is_wanted:
            output.attach(session)
            api.require_support(session, apply_options)
            made = make_plan()
            apply_options.waves.check(made.changed)
            finish_with_plan(output, session, made, flags.preview, apply_options.allow, fitted)
        prepare(output, session, apply_options, yes=yes)
        with session.lock(wait=apply_options.wait):  # until the search for old values has ended
            output.add_findings(one.finding for one in api.settle(session))
            done = execute(output, session, make_plan, apply_options, yes=yes)
            if done.verdict.refusal or done.is_declined:
                finish(output, apply_options, done)
            found = api.leftovers(done.plan, session)
    finish(output, apply_options, done, list(leftover_lines(found, done.plan.references)), found)


def _submission(
    flags: RotateFlags, chosen: Sequence[str] | RelayLogin, loaded: tuple[Spec, SpecFiles]
) -> submit.Submission:
    """Return the submission; ``loaded`` has the spec and the data of its files."""
    from ztrust_mail.fleet import RotateSecrets

    (spec, data), writing = loaded, flags.writing
    work = RotateSecrets(data, flags.realm, flags.files.variables, writing.allow, flags.apply_options().waves)
    if isinstance(chosen, RelayLogin):
        work = replace(work, relay=chosen.host, user=chosen.user)
    else:
        work = replace(work, references=chosen)
    return submit.Submission(work, spec.servers, message=writing.message)


def _parse_scope(
    words: Sequence[str], specs: Sequence[str], relay: str | None, user: str | None
) -> Sequence[str] | RelayLogin:
    """Return the references or the login named on the command line. Raises :class:`UsageError`."""
    references = [word for word in words if has_kind(word)]
    for spec in specs:
        kind, colon, rest = spec.partition(":")
        is_bare = not colon and kind.isidentifier() and not (relay or references)
        if (colon or is_bare) and not os.path.lexists(spec):
            meant, rest = (SecretKind.ENV, spec) if is_bare else (closest_word(kind, SecretKind), rest)
            hint = f"did you mean `{meant}:{rest}`?" if meant else f"kinds of references: {', '.join(SecretKind)}"
            raise UsageError(f"{quoted(spec)} is neither a reference nor a file", hint)
    if relay == "" or user == "":
        raise UsageError(f"{'--relay' if relay == '' else '--user'} is empty", "give a name, or leave the option out")
    if user and not relay:
        raise UsageError("--user needs --relay", "name the relay that this user logs in to: --relay HOST")
    if relay and references:
        raise UsageError("references cannot be combined with --relay", "give one of them; --realm limits either")
    if not relay:
        if not references:
            hint = "name them as plans show them, such as env:SMTP_PASSWORD, or their relay: --relay HOST"
            raise UsageError("no reference to rotate was given", hint)
        check_references(references)
    if not specs:
        named = [word for word in references if os.path.lexists(word)]
        hint = f"for a file with that name, write ./{named[0]}" if named else "add it after the references"
        raise UsageError("no spec was given", hint)
    return RelayLogin(relay, user or "") if relay else references
