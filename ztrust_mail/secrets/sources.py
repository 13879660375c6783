"""Fetches the value of each kind of secret reference, within reach of a spec."""

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from ztrust_mail.core.errors import SecretError
from ztrust_mail.core.files import is_inside, read_regular_file
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.settings import PREFIX, Permissions

Secrets = Mapping[str, str | Secret] | Callable[[str], str | Secret | None]
"""Secrets passed by a caller of the library, by the name in an ``env`` reference; None if there is no value."""


class GivenSecrets:
    """Secrets that a caller hands over, wrapped so that no repr shows them."""

    __slots__ = ("__source",)

    def __init__(self, source: "Secrets | GivenSecrets | None") -> None:
        self.__source: Secrets | None = source.__source if isinstance(source, GivenSecrets) else source

    def get(self, name: str) -> Secret | None:
        """Return the value for a name, None if there is none. Raises :class:`SecretError` if the caller's code fails.

        Its exception is not passed on: the message may quote a secret.
        """
        source = self.__source
        if source is None:
            return None
        failure = ""
        try:
            value = source(name) if callable(source) else source.get(name)
        except Exception as e:
            value, failure = None, type(e).__name__
        if failure:
            message = f"the function given as `secrets` raised {failure} for {quoted(name)}"
            raise SecretError(message, "call it with this name to see its error", "secret-missing")
        return value if value is None or isinstance(value, Secret) else Secret(value)

    def __repr__(self) -> str:
        return "GivenSecrets(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("GivenSecrets are not pickled or copied")

    __getstate__ = __reduce__  # the inherited one returns the slots


RUN_SECRETS = "/run/secrets"


@dataclass(frozen=True)
class Reach:
    """The sources that references may use: those of a spec, or with ``trusted`` those of a server's login.

    ``settings_paths`` are the settings files in force, which no spec may read. ``environ`` holds the variables for
    ``env``; names that begin with ``ZTRUST_MAIL_`` are this tool's own and out of reach. If ``isolated``, everything
    is out of reach: an untrusted file chose the server and its login, and the server would receive the values.
    ``given`` are secrets that a caller of the library hands over; ``env`` looks there first. Files in ``run_secrets``,
    where containers get their secrets, are always in reach. ``reserved`` are the references of servers' logins, which
    no spec may use. References of trusted settings reach every variable and file, and commands need no permission.
    """

    permissions: Permissions = field(default_factory=Permissions)
    settings_paths: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    isolated: bool = False
    given: GivenSecrets = field(default_factory=lambda: GivenSecrets(None))
    run_secrets: str = RUN_SECRETS
    reserved: tuple[SecretRef, ...] = ()
    trusted: bool = False


Fetch = Callable[[SecretRef, Reach], str]
"""Returns the value of a reference; raises :class:`SecretError`, which does not quote the error of a library."""


def fetch_env(ref: SecretRef, reach: Reach) -> str:
    """Return the value of a variable; raises :class:`SecretError` if it is unset or out of reach."""
    (name,) = ref.argument
    if name.upper().startswith(PREFIX) and not reach.trusted:
        hint = "a spec cannot use this tool's own credentials; name another variable"
        raise SecretError(f"the variable {quoted(name)} is out of a spec's reach", hint, "secret-out-of-reach")
    if (given := reach.given.get(name)) is not None:
        return given.reveal()
    if name not in reach.environ:
        raise SecretError(f"the environment variable {quoted(name)} is not set", f"export {name}", "secret-missing")
    return reach.environ[name]


MAX_BYTES = 16_384
NEVER = ("/proc", "/sys")
"""Folders without secrets. /proc shows this process's own environment, if the spec's folder is the root."""


def fetch_file(ref: SecretRef, reach: Reach) -> str:
    """Return the text of a file; raises :class:`SecretError` if it is missing or out of reach."""
    (path,), real = ref.argument, real_path(ref)
    if not _is_reachable(real, ref, reach):
        hint = f"move it to the spec's folder, {reach.run_secrets} or $CREDENTIALS_DIRECTORY, or allow its folder"
        hint += " by secret_folders under [allow] in trusted settings"
        raise SecretError(f"the file {quoted(path)} is out of a spec's reach", hint, "secret-out-of-reach")
    try:
        return read_regular_file(real, MAX_BYTES, follow_links=False).decode("utf-8")
    except FileNotFoundError:
        raise SecretError(f"the file {quoted(path)} does not exist", "create it", "secret-missing") from None
    except UnicodeDecodeError:
        pass  # the exception holds the file's content, so no other may have it as its context
    except OSError as e:
        message = f"cannot read the file {quoted(path)}: {e.strerror}"
        raise SecretError(message, "check the path and its permissions", "secret-missing") from None
    raise SecretError(f"the file {quoted(path)} is not UTF-8 text", "save it as text", "secret-bad")


def real_path(ref: SecretRef) -> str:
    """Return the path that a ``file`` reference leads to, links followed."""
    return os.path.realpath(os.path.join(ref.base, ref.argument[0].replace("\0", "\ufffd")))


def _is_reachable(real: str, ref: SecretRef, reach: Reach) -> bool:
    if any(is_inside(real, folder) for folder in NEVER) or any(_is_same(real, path) for path in reach.settings_paths):
        return False
    return reach.trusted or any(is_inside(real, folder) for folder in _folders(ref, reach))


def _folders(ref: SecretRef, reach: Reach) -> Iterator[str]:
    yield ref.base
    yield reach.run_secrets
    if credentials := reach.environ.get("CREDENTIALS_DIRECTORY"):
        yield credentials
    yield from reach.permissions.secret_folders


def _is_same(real: str, path: str) -> bool:
    try:
        return os.path.samefile(real, path)
    except OSError:  # one of the two does not exist
        return False


TIMEOUT_SECONDS = 30.0


def fetch_command(ref: SecretRef, reach: Reach) -> str:
    """Return a command's standard output; it runs without a shell and without this tool's variables.

    Its error output is discarded, since it may quote the secret. Raises :class:`SecretError` if commands are not
    permitted, and if the command fails or takes over 30 s.
    """
    name = quoted(ref.argument[0])
    if not reach.permissions.command and not reach.trusted:
        hint = "set command = true under [allow] in settings named by --config"
        raise SecretError(f"the command {name} was not run: commands are not permitted", hint, "secret-out-of-reach")
    text, problem = _run(ref.argument, reach)
    if problem:
        rule = "secret-bad" if problem is _NOT_TEXT else "secret-missing"
        raise SecretError(f"the command {name} {problem}", _HINT, rule)
    return text


def _run(argument: Sequence[str], reach: Reach) -> tuple[str, str]:
    """Return a command's output, or no output and the problem.

    It raises nothing: an exception would keep the environment and the output in the local variables of this frame.
    """
    environ = {key: value for key, value in reach.environ.items() if not key.upper().startswith(PREFIX)}
    try:
        done = subprocess.run(  # trusted settings permit commands; there is no shell
            argument,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        text = done.stdout.decode("utf-8")
    except subprocess.TimeoutExpired:
        return "", f"took over {TIMEOUT_SECONDS:.0f}s"
    except UnicodeDecodeError:
        return "", _NOT_TEXT
    except (OSError, ValueError):
        return "", "cannot be started"
    return ("", f"ended with status {done.returncode}") if done.returncode else (text, "")


_NOT_TEXT = "printed text that is not UTF-8"
_HINT = "run it by hand to see its error output"


def fetch_keyring(ref: SecretRef, reach: Reach) -> str:
    """Return the value of a keyring entry; raises :class:`SecretError` if there is no entry or no keyring."""
    import keyring

    service, name = ref.argument
    try:
        value = keyring.get_password(service, name)
    except Exception:  # not all backends, which are plug-ins, raise KeyringError
        hint = "unlock it; on a machine without a keyring use env or file"
        raise SecretError("the operating system's keyring cannot be read", hint, "secret-missing") from None
    if value is None:
        message = f"the keyring has no entry {quoted(name)} for service {quoted(service)}"
        raise SecretError(message, f"add it: keyring set {shlex.join([service, name])}", "secret-missing")
    return value
