"""Fixtures for all tests, most of them from the modules of ``support``."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # where the tests run in the background it is ignored, here too

pytest.register_assert_rewrite("support")
pytest_plugins = [
    "support.cli",
    "support.canaries",
    "support.distributions",
    "support.fixtures",
    "support.fleets",
    "support.journals",
    "support.kit",
    "support.postfix",
    "support.queued",
    "support.relays",
    "support.waiting",
    "ztrust_mail.sandbox.pytest_plugin",
]


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of the test's own for journal, settings and cache, and wide output; that of the journal is returned."""
    for name in ("STATE", "CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("COLUMNS", "1000")  # so that every message is one line
    return tmp_path / "state"
