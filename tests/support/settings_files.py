"""Settings files as tests write them: in the working folder, in the user's folder, or named by the user."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from ztrust_mail import settings as config
from ztrust_mail.core.errors import ConfigError, ExitStatus
from ztrust_mail.settings import Settings, choose_server, load


def entry(**keys: str) -> str:
    """Return a settings file with one server named ``main``."""
    return "[servers.main]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def named(tmp_path: Path, text: str) -> Settings:
    """Return the settings of a file that the user names."""
    path = tmp_path / "named.toml"
    path.write_text(text, encoding="utf-8")
    return load(str(path), {})


def found(text: str) -> Settings:
    """Return the settings of a file that lies in the working folder."""
    Path(config.FILE_NAME).write_text(text, encoding="utf-8")
    return load(None, {})


def refused(
    settings: Settings,
    option: str | None = None,
    guard: tuple[str, ...] = (),
    environ: Mapping[str, str] = {},
) -> ConfigError:
    """Return why no server is chosen."""
    with pytest.raises(ConfigError) as refusal:
        choose_server(settings, option, guard, environ)
    assert refusal.value.hint
    assert refusal.value.exit_status is ExitStatus.USAGE
    return refusal.value


def locals_of(error: BaseException) -> list[str]:
    """Return the repr of every local variable that an exception keeps of this package's functions."""
    frames = [
        frame for frame, _ in traceback.walk_tb(error.__traceback__) if "/ztrust_mail/" in frame.f_code.co_filename
    ]
    assert frames
    return [repr(value) for frame in frames for value in frame.f_locals.values()]
