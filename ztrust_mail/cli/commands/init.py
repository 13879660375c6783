"""``init``: write a first spec, as an example or from a live realm."""

from pathlib import Path

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.output import Output, exit_with, write_output
from ztrust_mail.core.errors import ExitStatus
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


@options.command(NAME)
@options.text("--realm", metavar="REALM", help="Start from the settings of this realm.")
@options.server
@options.out
@options.force
@options.config
def command(realm: str | None, server: str | None, out: Path | None, force: bool, config: str | None) -> None:
    """Write a first spec, as an example or from a realm."""
    with Output(NAME) as output:
        status, content = ExitStatus.OK, MODELINE + TEMPLATE
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
