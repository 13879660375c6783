"""``{command: [argv…]}``: what a command prints, where trusted settings permit commands."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

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
    text, problem = _run(ref.argument, reach)
    if problem:
        rule = "secret-bad" if problem is _NOT_TEXT else "secret-missing"
        raise SecretError(f"the command {name} {problem}", _HINT, rule)
    return text


def _run(argument: Sequence[str], reach: Reach) -> tuple[str, str]:
    """Return what a command prints, or nothing and what is wrong.

    Nothing is raised: an exception would keep the environment and the output in the local variables of this frame.
    """
    environ = {key: value for key, value in reach.environ.items() if not key.upper().startswith(PREFIX)}
    try:
        done = subprocess.run(  # an argument list from trusted ground, and no shell
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


_NOT_TEXT = "printed no UTF-8 text"
_HINT = "run it by hand to see what it says"
