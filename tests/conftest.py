"""Fixtures for all tests."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # where the tests run in the background it is ignored, here too

pytest_plugins = ["support.fixtures", "support.journals", "ztrust_mail.sandbox.pytest_plugin"]


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for the journal."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder
