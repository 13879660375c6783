"""Reads what settings are made of: TOML tables, of which it checks the keys and types, and environment variables."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.secret import Secret, SecretKind
from ztrust_mail.core.text import did_you_mean, quoted

PREFIX = "ZTRUST_MAIL_"

SERVER_VARIABLES = ("url", "username", "password", "client_id", "client_secret", "token")
"""The keys of a server's entry for which the environment may have a variable of the server's own."""

_SECRET_KEYS = frozenset({"password", "client_secret", "token"})


def variable_of(server: str, key: str) -> str:
    """Return the name of the variable for a key of one server: ``ZTRUST_MAIL_PROD_EU_PASSWORD`` for ``prod-eu``."""
    return f"{PREFIX}{re.sub('[^A-Za-z0-9]', '_', server).upper()}_{key.upper()}"


class Environment:
    """Environment variables, of which only this tool's own are read.

    An exception keeps the local variables of every function it left, and error collectors store their repr. Some of
    them also store the items of every mapping, so this class is not a mapping.
    """

    __slots__ = ("__variables",)

    def __init__(self, variables: Mapping[str, str] | Environment) -> None:
        self.__variables = variables.reveal() if isinstance(variables, Environment) else variables

    def get(self, key: str) -> str:
        """Return the variable of a settings key, such as ``ZTRUST_MAIL_REALM`` for ``realm``; empty if unset."""
        return self.__variables.get(f"{PREFIX}{key.upper()}", "")

    def secret(self, key: str) -> Secret | None:
        """Return the variable of a settings key as a secret without its one trailing line break, None if empty."""
        text = Secret(self.get(key).removesuffix("\n").removesuffix("\r"))
        return None if text == Secret("") else text

    def has_login(self) -> bool:
        """Tell whether the variables hold a part of a login."""
        return any(self.get(key) for key in ("username", "password", "client_secret", "token"))

    def keys_of_server(self, name: str) -> frozenset[str]:
        """Return the settings keys for which the environment has a variable of this server alone."""
        return frozenset(key for key in SERVER_VARIABLES if self.__variables.get(variable_of(name, key)))

    def of_server(self, name: str) -> Environment:
        """Return an environment in which the server's own variables replace the general ones.

        A secret of its own replaces all general secrets, as they belong to another login.
        """
        own = self.keys_of_server(name)
        dropped = _SECRET_KEYS if own & _SECRET_KEYS else frozenset()
        kept = {
            key: text for key, text in self.__variables.items() if key not in {f"{PREFIX}{k.upper()}" for k in dropped}
        }
        return Environment(kept | {f"{PREFIX}{key.upper()}": self.__variables[variable_of(name, key)] for key in own})

    def limited_to(self, keys: Iterable[str]) -> Environment:
        """Return an environment that holds the variables of these settings keys only."""
        return Environment({f"{PREFIX}{key.upper()}": self.get(key) for key in keys})

    def reveal(self) -> Mapping[str, str]:
        """Return all variables, this tool's own and others."""
        return self.__variables

    def __repr__(self) -> str:
        return "Environment(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Environment is not pickled or copied")

    __getstate__ = __reduce__  # the inherited one returns the slots


Variables = Mapping[str, str] | Environment
PROCESS: Variables = Environment(os.environ)
"""The variables of this process."""

Table = Mapping[str, object]
Keys = Mapping[str, type]
"""The keys of a table, each with the type of its value; a ``list`` contains texts."""

_WORDS = {str: "text", Secret: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


def check_keys(path: Path, prefix: str, table: Table, known: Keys, *, empty_items: bool = False) -> None:
    """Raise :class:`ConfigError` for an unknown key, and for a value that is empty or of another type.

    ``prefix`` comes before the keys in messages, as in ``servers.main.``; ``empty_items`` permits ``[""]``.
    """
    for key, value in table.items():
        name = quoted(prefix + key)
        if key not in known:
            hint = did_you_mean(key, known) or f"known here: {', '.join(known)}"
            raise ConfigError(f"{path}: unknown key {name}", hint)
        if type(value) is not known[key]:
            raise ConfigError(f"{path}: {name} must be {_WORDS[known[key]]}", "see ztrust-mail schema settings")
        if isinstance(value, list) and not all(isinstance(item, str) and (item or empty_items) for item in value):
            raise ConfigError(f"{path}: {name} must be a list of texts", 'write ["one", "another"]')
        if value in ("", Secret("")):
            raise ConfigError(f"{path}: {name} is empty", "give it a value, or leave it out")


def seal(table: object, known: Keys) -> None:
    """Replace the passwords in a table by secrets, which no message, repr or traceback shows.

    All texts below an unknown key are replaced too: one may be a password under a misspelt name. So are those of a
    table in the place of a secret, unless they are references. A value that is not a table is left unchanged.
    """
    if not isinstance(table, dict):
        return
    for key, value in table.items():
        if known.get(key, Secret) is Secret:
            table[key] = _seal(value, [*SecretKind] if key in known else ())


def _seal(value: object, kinds: Collection[str] = ()) -> object:
    """Return a value with all of its texts as secrets, but those of references of these kinds."""
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, dict):
        return {k: v if k in kinds and isinstance(v, str | list) else _seal(v) for k, v in value.items()}
    return [_seal(item) for item in value] if isinstance(value, list) else value


MAX_BYTES = 1_000_000
MAX_KEY_PARTS = 16
"""Settings need 4, as in ``servers.main.labels.region``. The time and memory tomllib takes grow with their square."""

# Each alternative also matches text that is not closed, so that no character is scanned twice. A text ends at the same
# quote as in tomllib: else a key could be hidden in what looks like a text.
_TEXT_OR_COMMENT = re.compile(
    r"""\"{3}[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:"{3,5}|\\?\Z)"""
    r"""|'{3}[^']*(?:'(?!'')[^']*)*(?:'{3,5}|\Z)"""
    r"""|"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*(?:"|\\?$)"""
    r"""|'[^'\n]*(?:'|$)"""
    r"""|\#[^\n]*""",
    re.DOTALL | re.MULTILINE,
)
_BETWEEN_KEYS = re.compile(r"[\n=,\[\]{}]")


def is_there(path: Path) -> bool:
    """Tell whether there is anything at the path of a settings file, readable or not.

    A broken link counts, also in place of a folder. Raises :class:`ConfigError` if this cannot be determined, since the
    file may contain a policy.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return any(os.path.islink(folder) and not os.path.exists(folder) for folder in path.parents)
    except OSError as e:
        reason = e.strerror
    else:
        return True
    hint = "make its folder readable, or name the settings with --config or ZTRUST_MAIL_CONFIG"
    raise ConfigError(f"cannot tell whether there is a settings file {path}: {reason}", hint)


def read_toml(path: Path, *, named: bool) -> dict[str, object]:
    """Return the content of a settings file. Raises :class:`ConfigError` if it is unreadable or takes too much time.

    A file that the user named may be a pipe, as in ``--config <(sops decrypt settings.toml)``. Errors are raised
    outside of the ``except`` clauses: the exceptions of the standard library contain the text, and so passwords.
    """
    text = _read_text(path, named=named)
    if _most_parts(text) > MAX_KEY_PARTS:
        message = f"{path}: a key has more than {MAX_KEY_PARTS} parts joined by dots"
        raise ConfigError(message, "settings need 4 at most, as in servers.main.labels.region")
    where = str(path)
    try:
        return tomllib.loads(text.reveal())
    except tomllib.TOMLDecodeError as e:
        at = re.search(r"line (\d+), column (\d+)", str(e))
        where = f"{path}:{at[1]}:{at[2]}" if at else where
        problem, hint = "not valid TOML", "write texts in quotes and the names of tables in [brackets]"
    except RecursionError:
        problem, hint = "nested too deeply", "settings are texts, numbers and lists in tables"
    except ValueError:  # Python refuses numbers of more than 4,300 digits
        problem, hint = "a number is too long", "no number in settings has more than 4 digits"
    raise ConfigError(f"{where}: {problem}", hint)


def _read_text(path: Path, *, named: bool) -> Secret:
    hint = "check --config" if named else "correct or remove it, or name other settings with --config"
    try:
        return Secret(_read_bytes(path, pipes=named).decode("utf-8").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        problem, hint = f"the settings file {path} is not UTF-8", "save it as UTF-8"
    except OSError as e:
        problem = f"cannot read the settings file {path}: {e.strerror}"
    raise ConfigError(problem, hint)


def _read_bytes(path: Path, *, pipes: bool) -> bytes:
    """Return the bytes of a file, without waiting for the writer of a pipe. Raises :class:`OSError`."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        mode, pipe = found.st_mode, (found.st_dev, found.st_ino)
        is_pipe = pipes and stat.S_ISFIFO(mode)
        if is_pipe:
            os.set_blocking(file.fileno(), True)
        elif not stat.S_ISREG(mode):
            raise OSError(0, "it is not a regular file")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(0, f"it is larger than {MAX_BYTES // 10**6} MB, the limit for settings")
    if not is_pipe:
        return data
    if data:
        _PIPES[pipe] = Secret(data.decode("latin-1"))
    elif pipe not in _PIPES:  # a failed command must not mean settings without a policy
        raise OSError(0, "the pipe is empty")
    return _PIPES[pipe].reveal().encode("latin-1")


_PIPES: dict[tuple[int, int], Secret] = {}
"""What pipes gave, by device and inode: a run reads its settings several times, and a pipe gives its text once."""


def _most_parts(text: Secret) -> int:
    """Return an upper bound for the number of parts of the longest dotted key."""
    keys = _BETWEEN_KEYS.split(_TEXT_OR_COMMENT.sub('""', text.reveal()))
    return max(key.count(".") for key in keys) + 1
