"""Chooses the server that a saved plan is applied to: the plan's URL is compared, never trusted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress

from ztrust_mail import config
from ztrust_mail.errors import ConfigError, NoServerChosen, Unsafe
from ztrust_mail.sync.saved.checks import PLAN_SERVER
from ztrust_mail.sync.saved.records import SavedPlan
from ztrust_mail.text import printable, quoted


def choose_server_of(
    plan: SavedPlan,
    settings: config.Settings,
    server: str | None,
    guard: Sequence[str],
    environ: config.Variables,
) -> config.Server:
    """Return the server chosen by the option, the settings or the environment, if it is the plan's.

    Where these leave several settings entries, the one for the plan's server is chosen, but only of trusted settings. A
    plan whose digest was expected may choose where nothing else does.

    Raises :class:`Unsafe` for another server or none, else as :func:`~ztrust_mail.config.choose_server` does.
    """
    environ = config.Environment(environ)
    named = _entries_of(plan, settings, environ)
    try:
        chosen = config.choose_server(settings, server, guard, environ)
    except NoServerChosen as e:
        if len(named) != 1 and (named or not plan.expected):
            raise _not_chosen(plan, named, e) from None
        chosen = config.choose_server(settings, named[0] if named else plan.url, guard, environ)
    if chosen.url != plan.url:
        raise _other_server(plan, named, chosen.url)
    return chosen


def _not_chosen(plan: SavedPlan, named: Sequence[str], e: NoServerChosen) -> Unsafe:
    message = f"the plan was made for the server {_shown(plan.url)}, and a plan file chooses no server: {e.message}"
    meant = f"one of {', '.join(quoted(name) for name in named)}" if named else "that server"
    hint = f"if you mean {meant}, name it yourself: {_command(plan, named[0] if named else plan.url)}"
    return Unsafe(message, hint, PLAN_SERVER)


def _other_server(plan: SavedPlan, named: Sequence[str], url: str) -> Unsafe:
    message = f"the plan was made for the server {_shown(plan.url)}, and the server chosen is {_shown(url)}"
    hint = f"make a plan for the chosen server: ztrust-mail plan SPEC... --server {_word(url)} --out FILE"
    if named:
        hint += f"; or apply this one to its own server: {_command(plan, named[0])}"
    return Unsafe(message, hint, PLAN_SERVER)


def _entries_of(plan: SavedPlan, settings: config.Settings, environ: config.Variables) -> list[str]:
    """Return the names of the trusted settings' entries for the plan's server."""
    found = []
    for name in settings.servers:
        with suppress(ConfigError):  # a broken entry is reported to whoever chooses it
            if config.choose_server(settings, name, (), environ).url == plan.url:
                found.append(name)
    return found


def _command(plan: SavedPlan, server: str) -> str:
    return f"ztrust-mail apply --plan {_word(plan.path)} --server {_word(server)}"


def _word(text: str) -> str:
    """Return a text as one word of a shell command: the URL in a plan is an untrusted author's."""
    return shlex.quote(printable(text))


def _shown(url: str) -> str:
    return quoted(url, 255)
