"""Gets the values of references, each distinct one once, and refuses what cannot be a secret."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from ztrust_mail.core.errors import SecretError
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.secrets.sources import Fetch, Reach, fetch_command, fetch_env, fetch_file, fetch_keyring

MAX_LENGTH = 255  # what Keycloak's column holds
VAULT_EXPRESSION = "${vault."

FETCHERS: Mapping[SecretKind, Fetch] = {
    SecretKind.ENV: fetch_env,
    SecretKind.FILE: fetch_file,
    SecretKind.COMMAND: fetch_command,
    SecretKind.KEYRING: fetch_keyring,
}
"""Every kind that has a value on this side; a vault's stays on the server."""


ResolvedSecrets = Mapping[SecretRef, Secret | SecretError]
"""The value of each reference, or the reason why it cannot be resolved."""


def resolve_all(refs: Iterable[SecretRef], reach: Reach) -> dict[SecretRef, Secret | SecretError]:
    """Return each distinct reference's value, or why it has none."""
    found: dict[SecretRef, Secret | SecretError] = {}
    for ref in dict.fromkeys(refs):
        try:
            found[ref] = resolve(ref, reach)
        except SecretError as e:
            found[ref] = e
    return found


def resolve(ref: SecretRef, reach: Reach) -> Secret:
    """Return one reference's value without its one trailing line break.

    Raises :class:`SecretError` where it cannot be had or cannot be a secret.
    """
    if reach.isolated:
        message = f"{quoted(ref)} is not resolved: a settings file in the working folder chose the server and its login"
        hint = "trust the file with --config, or name the server with --server URL and log in from the environment"
        raise SecretError(message, hint, "secret-out-of-reach")
    secret = Secret(FETCHERS[ref.kind](ref, reach).removesuffix("\n").removesuffix("\r"))
    if problem := _problem(secret.reveal()):
        raise SecretError(f"the secret from {quoted(ref)} {problem}", "check what is stored there", "secret-bad")
    if VAULT_EXPRESSION in secret.reveal():  # Keycloak would resolve it, past what a policy says of keycloak_vault
        hint = "store the password itself there, or write {keycloak_vault: KEY} in the spec"
        raise SecretError(f"the secret from {quoted(ref)} holds an expression of Keycloak's vault", hint, "secret-bad")
    return secret


def _problem(value: str) -> str:
    if not value:
        return "is empty"
    if len(value) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    if any(c in value for c in "\r\n\0"):
        return "holds a line break or a null character"
    if not value.strip("*"):
        return "is only asterisks: a mask, not a secret"
    if any("\ud800" <= c <= "\udfff" for c in value):
        return "is not UTF-8 text"
    return ""


class SecretStore:
    """Resolves references within one reach; may be shared by threads. A reference that failed is tried anew.

    The redactor learns every value.
    """

    def __init__(self, reach: Reach, redactor: Redactor | None = None) -> None:
        self._reach = reach
        self._redactor = redactor or Redactor()
        self._lock = threading.Lock()
        self._held: dict[SecretRef, Secret] = {}

    def get(self, refs: Iterable[SecretRef]) -> dict[SecretRef, Secret | SecretError]:
        """Return each distinct reference's value, or why it has none."""
        with self._lock:
            wanted = dict.fromkeys(refs)
            fetched = resolve_all((ref for ref in wanted if ref not in self._held), self._reach)
            self._redactor.add(fetched.values())
            self._held.update({ref: value for ref, value in fetched.items() if isinstance(value, Secret)})
            return {ref: self._held[ref] if ref in self._held else fetched[ref] for ref in wanted}
