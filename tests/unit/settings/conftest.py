"""Folders for settings files."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an empty folder for the user's own settings, which is returned."""
    folder, work = tmp_path / "user-config", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(folder))
    return folder
