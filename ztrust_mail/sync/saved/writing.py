"""Writes a plan as the text that is reviewed and applied later."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ztrust_mail._version import __version__
from ztrust_mail.dialects.base import Dialect
from ztrust_mail.findings import Severity
from ztrust_mail.spec.digest import Json
from ztrust_mail.spec.field_json import to_json
from ztrust_mail.spec.fields import Masked
from ztrust_mail.spec.model import Spec
from ztrust_mail.sync.compare import told
from ztrust_mail.sync.digests import of_attributes, of_json
from ztrust_mail.sync.plan import Plan, RealmPlan, Status
from ztrust_mail.sync.saved.records import SCHEMA

_PLANNED = (Status.CHANGED, Status.IN_SYNC)
_HELD_BACK = "its glob matched too few realms"


def to_text(plan: Plan, spec: Spec, *, dialect: Dialect, issuer: str, created: str) -> str:
    """Return the plan as JSON in ASCII, by ``schemas/plan.schema.json``.

    ``created`` is the time in UTC, such as ``2026-01-31T12:00:00Z``. What is wanted of a realm stands there as it was
    resolved, with references in place of secrets; of what the realm had, only a digest of the masked attributes and
    what the changes say. Realms in sync are counted, those that could not be planned are named with the reason.
    """
    content: dict[str, Json] = {
        "schema": SCHEMA,
        "tool_version": __version__,
        "created": created,
        "server": {"url": plan.url, "issuer": issuer},
        "account": {"name": plan.account.name, "realm": plan.account.realm},
        "secrets": plan.secrets.value,
        "spec": [{"path": path, "digest": digest} for path, digest in spec.digests.items()],
        "folders": list(spec.folders),
        "realms": [_realm(realm, dialect) for realm in plan.changed],
        "in_sync": sum(realm.status is Status.IN_SYNC for realm in plan.realms),
        "uncovered": list(plan.uncovered),
        "left_out": [_left_out(realm) for realm in plan.realms if realm.status not in _PLANNED],
    }
    return json.dumps({**content, "digest": of_json(content)}, indent=2, ensure_ascii=True) + "\n"


def digest_of(text: str) -> str:
    """Return the digest in the text of a plan just made: what ``--expect-digest`` takes."""
    return str(json.loads(text)["digest"])


def _realm(realm: RealmPlan, dialect: Dialect) -> Mapping[str, Json]:
    assert realm.live is not None  # a changed realm was read
    masked = {change.field for change in realm.changes if isinstance(change.before, Masked)}
    return {
        "realm": realm.realm,
        "entry": realm.wanted.entry.name,
        "disabled": realm.wanted.disabled,
        "settings": to_json(realm.wanted.fields),
        "live_digest": of_attributes(dialect.masked(realm.live.attributes)),
        "hidden": sorted({*realm.difference.incomparable, *masked}),
        "needs_mail": list(realm.live.needs_mail),
        "changes": [told(change) for change in realm.changes],
    }


def _left_out(realm: RealmPlan) -> Mapping[str, Json]:
    said = next((f for f in realm.findings if f.severity is Severity.ERROR), None)
    return {
        "realm": realm.realm,
        "status": realm.status.value,
        "rule": said.rule if said else "left-out",
        "why": said.message if said else _HELD_BACK,
        "hint": said.hint if said else "",
    }
