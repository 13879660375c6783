"""``{command: [argv…]}``: what a command prints, where trusted settings permit commands."""

from __future__ import annotations

import subprocess

from ztrust_mail.config import PREFIX
from ztrust_mail.errors import SecretError
from ztrust_mail.secrets.base import Reach
from ztrust_mail.sensitive import SecretRef
from ztrust_mail.text import quoted

TIMEOUT_SECONDS = 30.0


def fetch(ref: SecretRef, reach: Reach) -> str:
    """Return the command's standard output; it runs without a shell and without this tool's variables.

    Its error output is thrown away, since it may quote the secret. Raises :class:`SecretError` where
    commands are not permitted, and where this one fails or takes over 30 s.
    """
    name = quoted(ref.argument[0])
    if not reach.permissions.command:
        hint = "set command = true under [allow] in settings named by --config"
        raise SecretError(f"the command {name} is not run: commands are not permitted", hint, "secret-out-of-reach")
    environ = {key: value for key, value in reach.environ.items() if not key.upper().startswith(PREFIX)}
    try:
        done = subprocess.run(  # an argument list from trusted ground, and no shell
            ref.argument,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        text = done.stdout.decode("utf-8")
    except subprocess.TimeoutExpired:
        raise SecretError(f"the command {name} took over {TIMEOUT_SECONDS:.0f}s", _HINT, "secret-missing") from None
    except UnicodeDecodeError:
        raise SecretError(f"the command {name} printed no UTF-8 text", _HINT, "secret-bad") from None
    except (OSError, ValueError):
        raise SecretError(f"the command {name} cannot be started", _HINT, "secret-missing") from None
    if done.returncode:
        message = f"the command {name} ended with status {done.returncode}"
        raise SecretError(message, _HINT, "secret-missing")
    return text


_HINT = "run it by hand to see what it says"
