"""The values of references, each fetched once for as long as a connection lives. They stay in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ztrust_mail.errors import SecretError
from ztrust_mail.redaction import Redactor
from ztrust_mail.secrets.base import Reach
from ztrust_mail.secrets.resolution import resolve_all
from ztrust_mail.sensitive import Secret, SecretRef


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
