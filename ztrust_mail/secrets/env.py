"""``{env: NAME}``: an environment variable."""

from __future__ import annotations

from ztrust_mail.config import PREFIX
from ztrust_mail.errors import SecretError
from ztrust_mail.secrets.base import Reach
from ztrust_mail.sensitive import SecretRef
from ztrust_mail.text import quoted


def fetch(ref: SecretRef, reach: Reach) -> str:
    """Return the variable's value; raises :class:`SecretError` where it is unset or out of reach."""
    (name,) = ref.argument
    if name.upper().startswith(PREFIX):
        hint = "a spec cannot use this tool's own credentials; name another variable"
        raise SecretError(f"the variable {quoted(name)} is out of a spec's reach", hint, "secret-out-of-reach")
    if name not in reach.environ:
        raise SecretError(f"the environment variable {quoted(name)} is not set", f"export {name}", "secret-missing")
    return reach.environ[name]
