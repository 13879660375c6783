"""``init``: write a first spec: an example, one with a preset, or from a live realm."""

from pathlib import Path

from ztrust_mail import api
from ztrust_mail.cli import completion, options, parameters
from ztrust_mail.cli.output import Output, exit_with, write_output
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.core.text import shell_word
from ztrust_mail.reports.style import line
from ztrust_mail.specfile.export import MODELINE, to_yaml

NAME = "init"

TEMPLATE = """\
# E-mail settings of identity servers as code. Check it offline with: ztrust-mail validate FILE
version: 1

defaults:                      # inherited by every entry
  relay:
    host: smtp.example.com
    security: starttls         # starttls (port 587), tls (465) or none (25)
    auth:
      username: apikey
      password: {env: SMTP_PASSWORD}   # where the secret comes from; never the secret itself
  sender:
    address: no-reply@{realm.slug}.example.com

realms:
  acme:                        # a realm by its name
    sender: {name: Acme Corp}
    reply_to: {address: help@acme.example, name: Acme Help}
  "tenant-*":                  # every live realm that matches and has no entry of its own
    expect: {min: 1}           # the entry fails when fewer realms match
  retired: {disabled: true}    # no e-mail at all
"""

HEAD = """\
A first spec from a live realm. Compare it with the server:
  ztrust-mail plan FILE
Then add realms, globs and defaults (`ztrust-mail schema spec` describes every field)."""


@parameters.command(NAME)
@parameters.text("--realm", metavar="REALM", help="Start from the settings of this realm.")
@parameters.text(
    "--preset", metavar="NAME", help="Start with this mail provider; see presets.", suggest=completion.preset_names
)
@options.server
@options.out
@options.force
@options.config
def command(
    realm: str | None, preset: str | None, server: str | None, out: Path | None, force: bool, config: str | None
) -> None:
    """Write a first spec, as an example or from a realm.

    Without --realm, nothing is sent.
    """
    with Output(NAME) as output:
        if realm is not None and preset is not None:
            hint = "`init --realm` names the preset by itself where the realm's relay is one"
            raise UsageError("--realm and --preset exclude each other", hint)
        status, content = ExitStatus.OK, MODELINE + (TEMPLATE if preset is None else _with_preset(preset))
        if realm is not None:
            with api.connect(server, config_path=config) as session:
                output.attach(session)
                pulled = api.pull(session, [realm])
            output.print_findings(pulled.findings)
            status, content = pulled.exit_status, to_yaml(pulled.realms, {}, HEAD)
        if status is ExitStatus.OK:
            write_output(out, content, force=force, settings=config)
            if out is not None:
                output.print_note([line(f"Wrote {out}. Check it with: ztrust-mail validate {shell_word(str(out))}")])
        exit_with(status)


def _with_preset(name: str) -> str:
    from ztrust_mail.providers.example import example_spec
    from ztrust_mail.providers.presets import explain_unknown, find_preset

    if not (preset := find_preset(name)):
        problem, hint = explain_unknown(name)
        raise UsageError(f"--preset {problem}", hint)
    return example_spec(preset)
