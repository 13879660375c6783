"""``{keyring: [service, name]}``: an entry of the operating system's keyring."""

from __future__ import annotations

import shlex

from ztrust_mail.errors import SecretError
from ztrust_mail.secrets.base import Reach
from ztrust_mail.sensitive import SecretRef
from ztrust_mail.text import quoted


def fetch(ref: SecretRef, reach: Reach) -> str:
    """Return the entry's value; raises :class:`SecretError` where there is none or no keyring."""
    import keyring

    service, name = ref.argument
    try:
        value = keyring.get_password(service, name)
    except Exception:  # backends are plug-ins: not all keep to KeyringError
        hint = "unlock it, or use env or file on machines without one"
        raise SecretError("the operating system's keyring cannot be read", hint, "secret-missing") from None
    if value is None:
        message = f"the keyring has no entry {quoted(name)} for service {quoted(service)}"
        raise SecretError(message, f"add it: keyring set {shlex.join([service, name])}", "secret-missing")
    return value
