"""Resolves the references of a server's login when the login is needed."""

from __future__ import annotations

from dataclasses import replace

from ztrust_mail.core.errors import ConfigError, SecretError
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import FETCHERS, find_problem
from ztrust_mail.settings import Server

MAX_TOKEN = 16_384


def resolve_login(server: Server) -> Server:
    """Return a server with the values of its login's references. Raises :class:`ConfigError` if there is none.

    The references stand in trusted settings, so they reach every variable and file, and commands need no permission.
    """
    if not server.login.refs:
        return server
    reach = Reach(settings_paths=server.login.settings_paths, environ=server.login.environ.reveal(), trusted=True)
    values = {key: _resolve(server.name, key, ref, reach) for key, ref in server.login.refs.items()}
    return replace(
        server,
        password=values.get("password", server.password),
        client_secret=values.get("client_secret", server.client_secret),
        token=values.get("token", server.token),
        login=replace(server.login, refs={}),
    )


def _resolve(name: str, key: str, ref: SecretRef, reach: Reach) -> Secret:
    """Return the value of a reference without one trailing line break."""
    where = quoted(f"servers.{name}.{key}")
    try:
        value = Secret(FETCHERS[ref.kind](ref, reach).removesuffix("\n").removesuffix("\r"))
        message, hint, rule = "", "check what is stored there", "secret-bad"
    except SecretError as e:
        value, message, hint, rule = Secret(""), e.message, e.hint, e.rule
    if message:
        raise ConfigError(f"{where} cannot be resolved: {message}", hint, rule)
    if problem := find_problem(value.reveal(), MAX_TOKEN):
        raise ConfigError(f"{where}: the secret from {quoted(ref)} {problem}", hint, rule)
    return value
