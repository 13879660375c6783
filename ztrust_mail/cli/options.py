"""The arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ztrust_mail.sync.compare import SecretMode


class Format(StrEnum):
    """How the result is written to standard output."""

    TEXT = "text"
    JSON = "json"


Specs = Annotated[
    list[str], typer.Argument(metavar="SPEC...", help="Spec files or folders; - is standard input.", show_default=False)
]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="NAME|URL", help="A server of the settings file, or its URL.", show_default=False),
]
RealmGlobs = Annotated[
    list[str],
    typer.Option("--realm", metavar="GLOB", help="Only realms that match; may be given again.", show_default=False),
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="The settings file.", show_default=False)
]
FormatOption = Annotated[Format, typer.Option("--format", help="How the result is written.")]
ReportOption = Annotated[
    list[str],
    typer.Option("--report", metavar="FORMAT=FILE", help="Write a report too: text or json.", show_default=False),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the spec to a file.", show_default=False)
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite the file named by --out.")]
SecretsOption = Annotated[
    SecretMode,
    typer.Option(
        "--secrets",
        help="auto: send a secret with whatever else is written; write: send all; keep: keep the stored ones.",
    ),
]
NoSecretsOption = Annotated[
    bool, typer.Option("--no-secrets", help="Resolve no reference; hidden secrets then cannot be judged.")
]
AllowOption = Annotated[
    list[str],
    typer.Option(
        "--allow",
        metavar="REASON[,REASON...]",
        help="Dangers that are meant: mass-change, needed-mail, weaker-security, lost-secret, or all.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
WaitOption = Annotated[
    str,
    typer.Option(
        "--wait", metavar="TIME", help="Wait for another run on this server, such as 10m.", show_default=False
    ),
]
CanaryOption = Annotated[
    str,
    typer.Option(
        "--canary",
        metavar="N|GLOB",
        help="Write these realms first, and go on when the server's test of them passes.",
        show_default=False,
    ),
]
WaveOption = Annotated[
    int, typer.Option("--wave", metavar="SIZE", min=0, help="Write so many realms at a time; 0 writes all.")
]
StopAfterOption = Annotated[
    int, typer.Option("--stop-after", metavar="K", min=0, help="Stop after so many failed realms; 0 goes on.")
]
