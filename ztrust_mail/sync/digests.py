"""Digests of what plans and runs are made of: specs, and the settings that a realm had."""

from __future__ import annotations

from ztrust_mail.dialects.base import Attributes, Dialect
from ztrust_mail.spec.digest import of_bytes, of_json
from ztrust_mail.spec.field_json import to_json
from ztrust_mail.spec.model import Spec
from ztrust_mail.sync.plan import Plan

__all__ = ["of_attributes", "of_bytes", "of_json", "of_plan", "of_spec"]


def of_attributes(attributes: Attributes) -> str:
    """Return the digest of a realm's attributes, which are to be masked before: see ``Dialect.masked``."""
    return of_json(attributes)


def of_spec(spec: Spec) -> str:
    """Return one digest of all that was read, in the order it was; where the files lie does not count."""
    return of_json(list(spec.digests.values()))


def of_plan(plan: Plan, dialect: Dialect) -> str:
    """Return the digest of what a plan writes: to which realms, as they were, and with which settings."""
    return of_json(
        [
            [
                realm.realm,
                of_attributes(dialect.masked(realm.live.attributes)) if realm.live else None,
                None if realm.wanted.disabled else to_json(realm.wanted.fields),
            ]
            for realm in plan.changed
        ]
    )
