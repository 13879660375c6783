"""One row of a product's table: which of its attributes hold a field, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ztrust_mail.dialects.codecs import Codec
from ztrust_mail.spec.fields import FieldValue

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """Return ``(26, 7, 4)`` for ``26.7.4`` or ``26.7.4.redhat-1``; empty where there is no number."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", text.partition("-")[0])[:3])


@dataclass(frozen=True)
class Row:
    """One field in one product.

    ``absent`` is what the server takes when the attribute is not there. ``since`` lists the first
    version of every release line that has the attribute, oldest first; the last holds for all newer
    lines. ``label`` is what the product's own console calls it; of several attributes it has the labels, parted by
    commas, of ``shown`` if they stand in another order on the page.

    ``reads`` are attributes of other rows that the codec reads after its own and never writes: a row
    without attributes of its own follows from them. ``mandatory`` says that the product takes no
    settings without the field, ``default`` is what it fills in by itself. ``on_page_only`` says that no
    API of the product is known to take it.
    """

    field: str
    natives: tuple[str, ...]
    codec: Codec
    absent: FieldValue | None = None
    since: tuple[Version, ...] = ()
    label: str = ""
    reads: tuple[str, ...] = ()
    mandatory: bool = False
    default: FieldValue | None = None
    shown: tuple[str, ...] = ()
    on_page_only: bool = False

    def known_to(self, version: Version) -> bool:
        """Tell whether a server of this version has the attribute; an unknown version has it."""
        if not self.since or not version or version >= self.since[-1]:
            return True
        return any(line[:2] == version[:2] and version >= line for line in self.since)
