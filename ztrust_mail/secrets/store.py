"""Resolves references to secrets, each distinct reference once, and refuses values that cannot be a secret.

Those of a server's login are resolved when the login is needed.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ztrust_mail.core.errors import ConfigError, SecretError
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.secrets.sources import Fetch, Reach, fetch_command, fetch_env, fetch_file, fetch_keyring, real_path
from ztrust_mail.settings import Server

MAX_LENGTH = 255  # the width of Keycloak's column
MAX_TOKEN = 16_384
VAULT_EXPRESSION = "${vault."

FETCHERS: Mapping[SecretKind, Fetch] = {
    SecretKind.ENV: fetch_env,
    SecretKind.FILE: fetch_file,
    SecretKind.COMMAND: fetch_command,
    SecretKind.KEYRING: fetch_keyring,
}
"""The kinds resolved on this machine; the value of a vault's key stays on the server."""


ResolvedSecrets = Mapping[SecretRef, Secret | SecretError]
"""The value of each reference, or the reason why it cannot be resolved."""


def resolve_all(refs: Iterable[SecretRef], reach: Reach) -> dict[SecretRef, Secret | SecretError]:
    """Return the value of each distinct reference, or the error."""
    found: dict[SecretRef, Secret | SecretError] = {}
    for ref in dict.fromkeys(refs):
        try:
            found[ref] = resolve(ref, reach)
        except SecretError as e:
            found[ref] = e
    return found


def resolve(ref: SecretRef, reach: Reach) -> Secret:
    """Return the value of a reference without one trailing line break.

    Raises :class:`SecretError` if the reference cannot be resolved, or if the value cannot be a secret.
    """
    if reach.isolated:
        message = f"{quoted(ref)} was not resolved: an untrusted settings file chose the server and its login"
        hint = "trust the file with --config, or name the server with --server URL and log in from the environment"
        raise SecretError(message, hint, "secret-out-of-reach")
    if any(_is_same_source(ref, own) for own in reach.reserved):
        message = f"{quoted(ref)} is out of a spec's reach: the settings use it as the login of a server"
        raise SecretError(message, "keep the relay's secret in a place of its own", "secret-out-of-reach")
    secret = _fetch(ref, reach)
    if problem := find_problem(secret.reveal()):
        raise SecretError(f"the secret from {quoted(ref)} {problem}", "check what is stored there", "secret-bad")
    if VAULT_EXPRESSION in secret.reveal():  # Keycloak would resolve it, and bypass a policy on keycloak_vault
        hint = "store the password itself there, or write {keycloak_vault: KEY} in the spec"
        raise SecretError(
            f"the secret from {quoted(ref)} contains an expression of Keycloak's vault", hint, "secret-bad"
        )
    return secret


def _fetch(ref: SecretRef, reach: Reach) -> Secret:
    """Return what the source of a reference holds, without one trailing line break."""
    return Secret(FETCHERS[ref.kind](ref, reach).removesuffix("\n").removesuffix("\r"))


def _is_same_source(ref: SecretRef, other: SecretRef) -> bool:
    if ref.kind is not other.kind:
        return False
    return real_path(ref) == real_path(other) if ref.kind is SecretKind.FILE else ref.argument == other.argument


def find_problem(value: str, longest: int = MAX_LENGTH) -> str:
    """Return why a value cannot be a secret, an empty text if it can."""
    if not value:
        return "is empty"
    if len(value) > longest:
        return f"is longer than {longest:,} characters"
    if any(c in value for c in "\r\n\0"):
        return "contains a line break or a null character"
    if not value.strip("*"):
        return "has only asterisks: it is a mask, not a secret"
    if any("\ud800" <= c <= "\udfff" for c in value):
        return "is not UTF-8 text"
    return ""


class SecretStore:
    """Resolves references within one reach, and caches the values; may be shared by threads.

    A reference that failed is tried again. The redactor learns every value.
    """

    def __init__(self, reach: Reach, redactor: Redactor | None = None) -> None:
        self._reach = reach
        self._redactor = redactor or Redactor()
        self._lock = threading.Lock()
        self._resolved: dict[SecretRef, Secret] = {}

    def get(self, refs: Iterable[SecretRef]) -> dict[SecretRef, Secret | SecretError]:
        """Return the value of each distinct reference, or the error."""
        with self._lock:
            wanted = dict.fromkeys(refs)
            fetched = resolve_all((ref for ref in wanted if ref not in self._resolved), self._reach)
            self._redactor.add(fetched.values())
            self._resolved.update({ref: value for ref, value in fetched.items() if isinstance(value, Secret)})
            return {ref: self._resolved[ref] if ref in self._resolved else fetched[ref] for ref in wanted}

    def redact(self, text: str) -> str:
        """Return a text without the secrets resolved so far."""
        return self._redactor.redact(text)


def resolve_login(server: Server) -> Server:
    """Return a server with the values of its login's references. Raises :class:`ConfigError` if there is none.

    The references come from trusted settings, so they may use every variable and file, and commands need no permission.
    """
    if not server.login.refs:
        return server
    reach = Reach(settings_paths=server.login.settings_paths, environ=server.login.environ.reveal(), trusted=True)
    values = {key: _resolve_key(server.name, key, ref, reach) for key, ref in server.login.refs.items()}
    return replace(
        server,
        password=values.get("password", server.password),
        client_secret=values.get("client_secret", server.client_secret),
        token=values.get("token", server.token),
        login=replace(server.login, refs={}),
    )


def _resolve_key(name: str, key: str, ref: SecretRef, reach: Reach) -> Secret:
    where = quoted(f"servers.{name}.{key}")
    try:
        value = _fetch(ref, reach)
        message, hint, rule = "", "check what is stored there", "secret-bad"
    except SecretError as e:
        value, message, hint, rule = Secret(""), e.message, e.hint, e.rule
    if message:
        raise ConfigError(f"{where} cannot be resolved: {message}", hint, rule)
    if problem := find_problem(value.reveal(), MAX_TOKEN):
        raise ConfigError(f"{where}: the secret from {quoted(ref)} {problem}", hint, rule)
    return value
