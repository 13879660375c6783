"""A product's own page: how it takes its settings, what it calls them, and what it asks that no spec says."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from ztrust_mail.dialects.codecs import Unsaid

if TYPE_CHECKING:
    from ztrust_mail.dialects.base import Dialect
    from ztrust_mail.dialects.row import Row


class Shape(StrEnum):
    """How a product takes its settings: an object of attributes, a list of keys and values, or a page to type into."""

    MAP = "map"
    PAIRS = "pairs"
    FORM = "form"


def labels_of(dialect: Dialect) -> Mapping[str, str]:
    """Return every attribute with what the page calls it, in the page's order; without a label it keeps its name."""
    return {native: label for row in dialect.rows for native, label in _labels(row)}


def unsaid_by(dialect: Dialect) -> Mapping[str, str]:
    """Return the attributes that a spec means without saying them."""
    return {row.natives[0]: row.codec.text for row in dialect.rows if isinstance(row.codec, Unsaid)}


def _labels(row: Row) -> list[tuple[str, str]]:
    shown = row.shown or row.natives
    words = row.label.split(", ") if len(row.natives) > 1 else [row.label]
    labels = dict(zip(shown, words, strict=False))
    return [(native, labels.get(native) or native) for native in dict.fromkeys((*shown, *row.natives))]
