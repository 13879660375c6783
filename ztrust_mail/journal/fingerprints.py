"""Fingerprints of secrets: they show whether a secret is the one last written, and make guessing it slow."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ztrust_mail.core.secret import Secret

SALT_SIZE: Final = 32
_COST, _BLOCK, _PARALLEL, _SIZE = 2**14, 8, 1, 32
_MAX_THREADS: Final = 8  # each takes 16 MB


def new_salt() -> bytes:
    """Return a salt for a new journal."""
    return secrets.token_bytes(SALT_SIZE)


class Fingerprints:
    """Computes fingerprints, once for each distinct secret. May be used by several threads."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._key = secrets.token_bytes(SALT_SIZE)  # this object must not reveal the secrets either
        self._lock = threading.Lock()
        self._futures: dict[bytes, Future[str]] = {}

    def of(self, secret: Secret) -> str:
        """Return a secret's fingerprint, as hex digits; computing it takes about 50 ms of one processor."""
        value = secret.reveal().encode("utf-8", "surrogatepass")
        known = hashlib.blake2b(value, key=self._key).digest()
        with self._lock:
            if is_new := known not in self._futures:
                self._futures[known] = Future()
            future = self._futures[known]
        if is_new:
            future.set_result(_scrypt(value, self._salt))
        return future.result()

    def of_all(self, several: Iterable[Secret]) -> list[str]:
        """Return the fingerprints of several secrets, computed in parallel."""
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS)) as pool:
            return list(pool.map(self.of, several))


def _scrypt(value: bytes, salt: bytes) -> str:
    return hashlib.scrypt(value, salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=_SIZE).hex()
