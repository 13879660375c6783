"""The keyword arguments that verbs collect: refuses unknown ones, and puts a given login into force."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypedDict, cast

from ztrust_mail.core.errors import ConfigError, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.secrets.sources import GivenSecrets, Secrets
from ztrust_mail.settings import PREFIX, Environment, Server, Settings, Variables

_CREDENTIALS = ("username", "password", "client_secret", "token")
_SHOWN = (
    *("username", "realm", "client_id", "spec", "plan", "config_path"),
    *("defaults", "allow", "wait", "cancel", "message", "test", "wait_for_realm"),
)
"""The keyword arguments of ``connect`` and ``ensure`` that hold no secret."""

Sealed = Mapping[str, object]
"""A login by the keys of the settings, with its secrets wrapped."""


class LoginKeywords(TypedDict, total=False):
    """A login at the server: ``username`` and ``password``, ``client_id`` and ``client_secret``, or a ``token``.

    ``realm`` is the realm of the account, ``master`` unless settings or environment say otherwise.
    """

    username: str
    password: str | Secret
    realm: str
    client_id: str
    client_secret: str | Secret
    token: str | Secret


def refuse_unknown(function: str, given: Mapping[str, object], known: type) -> None:
    """Raise TypeError for a keyword argument that is not a key of the typed dict ``known``, as Python itself does."""
    names: Mapping[str, object] = known.__annotations__
    for name in given:
        if name not in names:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}. {did_you_mean(name, names)}")


def hide(keywords: Mapping[str, object]) -> dict[str, object]:
    """Return keyword arguments with all secrets wrapped, so that no exception holds one as a local of a function.

    Unknown keys are wrapped too, as they may be a misspelt ``password``. Wrapped values are left unchanged.
    """
    return {key: _hide(key, value) for key, value in keywords.items()}


def _hide(key: str, value: object) -> object:
    if key in _SHOWN or isinstance(value, Secret):
        return value
    if key == "environ":
        return Environment(cast("Variables", value))
    return GivenSecrets(cast("Secrets", value)) if key == "secrets" else Secret(str(value or ""))


def check_login(login: Sealed, function: str) -> None:
    """Raise TypeError for an unknown key of a login, and :class:`UsageError` for an empty value."""
    refuse_unknown(function, login, LoginKeywords)
    for key, value in login.items():
        if value is None or value in ("", Secret("")):
            raise UsageError(f"`{key}` of the login is empty", "leave it out, or give its value")


def use_login(settings: Settings, environ: Environment, login: Sealed) -> tuple[Settings, Environment]:
    """Return settings and environment with all their logins replaced by this one."""
    if not login:
        return settings, environ
    dropped = _CREDENTIALS if login.keys() & {*_CREDENTIALS} else ()
    variables = {key: value for key, value in environ.reveal().items() if not _is_variable_of(key, {*dropped, *login})}
    given = {_variable(k): value.reveal() if isinstance(value, Secret) else str(value) for k, value in login.items()}
    servers = {
        name: {**{key: value for key, value in entry.items() if key not in dropped}, **login}
        for name, entry in settings.servers.items()
    }
    return replace(settings, servers=servers), Environment({**variables, **given})


def refuse_untrusted(server: Server, login: Sealed) -> None:
    """Raise :class:`ConfigError` if an untrusted settings file would decide where the login is sent."""
    if login and server.isolated:
        message = f"the given login is not sent to {quoted(server.url)}, which only an untrusted settings file names"
        raise ConfigError(message, "give the server's URL, or name the file by config_path=", "untrusted-settings")


def _is_variable_of(name: str, keys: Collection[str]) -> bool:
    """Tell whether a variable is one of these keys, for all servers or for a single one."""
    return any(name == _variable(key) or (name.startswith(PREFIX) and name.endswith(f"_{key.upper()}")) for key in keys)


def _variable(key: str) -> str:
    return f"{PREFIX}{key.upper()}"
