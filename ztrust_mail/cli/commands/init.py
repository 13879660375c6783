"""``init``: a first spec, from a live realm or from nothing."""

from __future__ import annotations

from pathlib import Path

from ztrust_mail import api
from ztrust_mail.cli import options
from ztrust_mail.cli.output import Output, exit_with, save_product
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.reports.style import line
from ztrust_mail.reports.text.findings import finding_lines
from ztrust_mail.specfile.export import to_yaml

NAME = "init"

TEMPLATE = """\
# E-mail settings of identity servers as code. Check it offline with: ztrust-mail validate FILE
version: 1

defaults:                      # what every entry starts from
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
A first spec from a live realm: see what it says of the server with
  ztrust-mail plan FILE
and add realms, globs and defaults as you go (ztrust-mail schema spec explains every field)."""


@options.command(NAME)
@options.text("--realm", metavar="REALM", help="Begin with what this realm has.")
@options.server
@options.out
@options.force
@options.config
def command(realm: str | None, server: str | None, out: Path | None, force: bool, config: str | None) -> None:
    """Write a first spec: an example, or what a live realm has."""
    with Output(NAME) as output:
        status, content = ExitStatus.OK, TEMPLATE
        if realm is not None:
            with api.connect(server, config_path=config) as connection:
                output.connected(connection)
                pulled = api.pull(connection, [realm])
            output.tell(finding_lines(pulled.findings))
            status, content = pulled.exit_status, to_yaml(pulled.realms, {}, HEAD)
        if status is ExitStatus.OK:
            save_product(out, content, force=force, settings=config)
            if out is not None:
                output.tell([line(f"Wrote {out}. Check it with: ztrust-mail validate {out}")])
        exit_with(status)
