"""The options that choose the servers of a run, for commands that work on several."""

from __future__ import annotations

from dataclasses import dataclass

import click

from ztrust_mail.cli import completion, options
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import quoted
from ztrust_mail.settings.fleet import ServerSelection

MOST_PARALLEL = 64
Stage = tuple[str, str]
"""A label's name and its value."""


@dataclass(frozen=True)
class ServerFlags:
    """The servers as a person typed them, how many to work on at once, and the order of the stages to write."""

    server: tuple[str, ...]
    label: tuple[str, ...]
    all_servers: bool
    parallel: int
    order: str | None = None

    @property
    def selection(self) -> ServerSelection:
        """The servers that were asked for."""
        return ServerSelection(self.server, self.label, self.all_servers)

    @property
    def are_several(self) -> bool:
        """Whether there may be several, also where it happens to be one."""
        return self.selection.is_several

    @property
    def only(self) -> str | None:
        """The server of a run on one, None where the settings choose it."""
        return self.server[0] if self.server else None

    def parse_order(self) -> tuple[Stage, ...]:
        """Return the stages of ``--order``.

        Raises :class:`UsageError` for another form, a stage named twice, and a run on one server.
        """
        if self.order is not None and not self.are_several:
            raise UsageError("--order needs several servers", "add --all-servers, or --server for each of them")
        stages: list[Stage] = []
        for one in self.order.split(",") if self.order is not None else ():
            name, equals, value = one.partition("=")
            if not (name and equals and value):
                hint = "write labels with their values, in order: --order stage=dev,stage=prod"
                raise UsageError(f"--order has {quoted(one)}, which is not NAME=VALUE", hint)
            if (name, value) in stages:
                raise UsageError(f"--order names {quoted(one)} twice", "name each stage once")
            stages.append((name, value))
        return tuple(stages)


selecting = options.gather(
    "servers",
    ServerFlags,
    (
        click.option(
            "--server", metavar="NAME|GLOB|URL", multiple=True,
            help="Servers of the settings file, or a URL; repeatable.", shell_complete=completion.server_names,
        ),
        options.texts(
            "--label", "NAME=VALUE", "Only servers with this label; repeatable, all have to match.",
            suggest=completion.server_labels,
        ),
        options.flag("--all-servers", help="All servers of the settings file."),
        options.number("--parallel", "N", 4, 1, MOST_PARALLEL, "How many servers to work on at once."),
    ),
)  # fmt: skip
"""Declare which servers to work on; the function gets a ``servers`` of type :class:`ServerFlags`."""

order = options.text(
    "--order", metavar="STAGE,STAGE...", help="Write stage by stage, such as stage=dev,stage=prod; stop at a failure."
)


def refuse_several(servers: ServerFlags, option: object, why: str) -> None:
    """Raise :class:`UsageError` where an option that fits one server was given with several."""
    if option and servers.are_several:
        raise UsageError(
            f"{option} needs one server: {why}", "run the command once for each server, with --server NAME"
        )
