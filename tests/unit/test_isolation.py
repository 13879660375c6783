"""No test reaches the folders of the person who runs it."""

from pathlib import Path

import platformdirs
import pytest
from support.cli import Cli


@pytest.mark.parametrize("kind", ["state", "config", "cache", "data"])
def test_every_users_folder_is_inside_the_folder_of_the_test(tmp_path: Path, kind: str) -> None:
    folder = getattr(platformdirs, f"user_{kind}_dir")("ztrust-mail", appauthor=False)
    assert Path(folder).is_relative_to(tmp_path)


def test_the_command_line_has_an_empty_home_inside_the_folder_of_the_test(tmp_path: Path, cli: Cli) -> None:
    assert Path.home().is_relative_to(tmp_path)
    assert Path.cwd().is_relative_to(tmp_path)
    assert list(Path.home().iterdir()) == []
