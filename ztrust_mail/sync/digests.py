"""Digests of what plans and runs are made of: specs, and the settings that a realm had."""

from __future__ import annotations

from ztrust_mail.dialects.base import Attributes
from ztrust_mail.spec.digest import of_bytes, of_json
from ztrust_mail.spec.model import Spec

__all__ = ["of_attributes", "of_bytes", "of_json", "of_spec"]


def of_attributes(attributes: Attributes) -> str:
    """Return the digest of a realm's attributes, which are to be masked before: see ``Dialect.masked``."""
    return of_json(attributes)


def of_spec(spec: Spec) -> str:
    """Return one digest of all that was read, in the order it was; where the files lie does not count."""
    return of_json(list(spec.digests.values()))
