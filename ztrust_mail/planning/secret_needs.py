"""Says at a plan which changes make the server drop a stored secret, where the secret cannot be written with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ztrust_mail.core.errors import RealmError, ServerError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.row import Version
from ztrust_mail.gateways.gateway import Gateway
from ztrust_mail.model.fields import HOST, PORT, SECURITY, SENDER_ADDRESS, USERNAME
from ztrust_mail.planning.compare import SecretMode, masked_secrets
from ztrust_mail.planning.plan import RealmPlan

CONNECTION_FIELDS = (SENDER_ADDRESS, HOST, PORT, SECURITY, USERNAME)
"""The fields whose change makes the server drop a masked secret, unless the secret itself comes with it."""

DROPS_SINCE: Version = (26, 8)
"""The version of Keycloak that does so."""


def note_needed_secrets(planned: Sequence[RealmPlan], gateway: Gateway, mode: SecretMode) -> list[RealmPlan]:
    """Return the realms with a note at those that need a secret which cannot be written.

    The server's version is asked for only if there is such a realm; an unknown one counts as new.
    """
    can = gateway.capabilities
    needs = {realm.realm: found for realm in planned if (found := _find_needed(realm, gateway, mode))}
    if not needs or not (can.keep_secrets and can.test) or _is_older(gateway):
        return list(planned)
    return [
        replace(realm, findings=(*realm.findings, *(_note(realm, name) for name in needs.get(realm.realm, ()))))
        for realm in planned
    ]


def _find_needed(realm: RealmPlan, gateway: Gateway, mode: SecretMode) -> tuple[str, ...]:
    """Return the fields of masked secrets that a change of a realm drops and that cannot be written with it."""
    if realm.live is None or not _changes(realm):
        return ()
    masked = masked_secrets(gateway.dialect, realm.wanted, realm.attributes)
    return tuple(name for name in masked if mode is SecretMode.KEEP or name in realm.unresolved)


def _changes(realm: RealmPlan) -> list[str]:
    return [change.field for change in realm.changes if change.field in CONNECTION_FIELDS]


def _is_older(gateway: Gateway) -> bool:
    try:
        version = gateway.version()
    except (RealmError, ServerError):
        return False
    return bool(version) and version < DROPS_SINCE


def _note(realm: RealmPlan, name: str) -> Finding:
    fields = " and ".join(map(quoted, _changes(realm)))
    message = f"the change of {fields} needs the value of {quoted(name)}: Keycloak drops the stored one from 26.8 on"
    hint = "set what its reference names, and leave out --secrets keep"
    return Finding(Severity.NOTE, "secret-needed", message, hint, realm.wanted.origins.get(name), realm.realm, name)
