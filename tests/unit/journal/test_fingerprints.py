"""Fingerprints distinguish secrets and reveal nothing else."""

from __future__ import annotations

import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.journal import Fingerprints
from ztrust_mail.journal.opening import new_salt

SALT = b"s" * 32


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that computed a fingerprint, one for each computation."""
    original, calls = hashlib.scrypt, []

    def scrypt(*arguments: object, **options: object) -> bytes:
        calls.append(threading.current_thread().name)
        return original(*arguments, **options)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    return calls


def test_the_same_secret_has_the_same_fingerprint() -> None:
    assert Fingerprints(SALT).of(Secret("geheim")) == Fingerprints(SALT).of(Secret("geheim"))


def test_a_fingerprint_is_computed_by_scrypt() -> None:
    expected = hashlib.scrypt(b"geheim", salt=SALT, n=2**14, r=8, p=1, dklen=32).hex()
    assert Fingerprints(SALT).of(Secret("geheim")) == expected


@pytest.mark.parametrize("other", ["Geheim", "geheim ", "", "\udcff", "пароль"])
def test_another_secret_has_another_fingerprint(other: str) -> None:
    fingerprints = Fingerprints(SALT)
    taken = fingerprints.of(Secret(other))
    assert taken != fingerprints.of(Secret("geheim"))
    assert re.fullmatch("[0-9a-f]{64}", taken)


def test_another_journal_has_other_fingerprints() -> None:
    assert Fingerprints(new_salt()).of(Secret("geheim")) != Fingerprints(new_salt()).of(Secret("geheim"))


def test_each_distinct_secret_is_computed_once(computed: list[str]) -> None:
    fingerprints = Fingerprints(SALT)
    for _ in range(3):
        assert len({fingerprints.of(Secret("a")), fingerprints.of(Secret("b"))}) == 2
    assert len(computed) == 2


def test_threads_that_need_a_fingerprint_at_once_compute_it_once(computed: list[str]) -> None:
    fingerprints, start = Fingerprints(SALT), threading.Barrier(8)

    def ask(_: int) -> str:
        start.wait(30)
        return fingerprints.of(Secret("geheim"))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert len(computed) == 1


def test_several_fingerprints_are_returned_in_the_order_of_their_secrets(computed: list[str]) -> None:
    fingerprints = Fingerprints(SALT)
    texts = ["a", "b", "a", "c"]
    taken = fingerprints.of_all(Secret(text) for text in texts)
    assert taken == [fingerprints.of(Secret(text)) for text in texts]
    assert len(computed) == 3
    assert threading.current_thread().name not in computed


def test_no_secrets_have_no_fingerprints() -> None:
    assert Fingerprints(SALT).of_all([]) == []


def test_the_memory_of_fingerprints_holds_no_secret() -> None:
    fingerprints = Fingerprints(SALT)
    fingerprints.of(Secret("geheim"))
    kept = repr(vars(fingerprints))
    assert "geheim" not in kept
    assert hashlib.sha256(b"geheim").hexdigest() not in kept
    assert hashlib.blake2b(b"geheim").digest() not in fingerprints._futures
