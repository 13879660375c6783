"""How settings files are read: within bounds, without waiting, and never taken for absent when they are there."""

from __future__ import annotations

import os
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.settings_files import locals_of, named

from ztrust_mail import settings as config
from ztrust_mail.core.errors import ConfigError, ExitStatus, NoServerChosen
from ztrust_mail.settings import Settings, choose_server, load
from ztrust_mail.settings.inputs import MAX_BYTES, MAX_KEY_PARTS

HIDDEN = "S3cr3t-w0rd"
POLICY = '[policy]\nrelays = ["smtp.example.com"]\n'


@pytest.fixture(params=["working folder", "user's folder"])
def place(request: pytest.FixtureRequest, user_folder: Path) -> Path:
    """Each place where settings are looked for."""
    return Path(config.FILE_NAME) if request.param == "working folder" else user_folder / config.FILE_NAME


def refusal_of(given: str | None = None) -> ConfigError:
    """Return why settings are not read, or their only server not used."""
    with pytest.raises(ConfigError) as refusal:
        choose_server(load(given, {}), environ={})
    assert not isinstance(refusal.value, NoServerChosen)
    assert refusal.value.exit_status is ExitStatus.USAGE
    assert refusal.value.hint
    assert refusal.value.__context__ is None  # the standard library's exceptions hold the file's text
    return refusal.value


# What is there and cannot be read


@pytest.mark.parametrize(
    "make",
    [
        Path.mkdir,
        lambda path: path.symlink_to("nowhere.toml"),
        lambda path: path.symlink_to(path.name),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/dev/null"),
    ],
    ids=["folder", "dangling link", "link to itself", "pipe", "device"],
)
def test_a_settings_path_that_is_not_a_file_is_an_error(place: Path, make: Callable[[Path], None]) -> None:
    make(place)
    refusal = refusal_of()
    assert refusal.message.startswith(f"cannot read the settings file {place}: ")
    assert "--config" in refusal.hint


def test_a_settings_file_without_read_permission_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_text(POLICY, encoding="utf-8")
    monkeypatch.setattr(os, "open", closed)
    assert refusal_of().message == f"cannot read the settings file {place}: Permission denied"


def test_a_settings_folder_without_search_permission_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_text(POLICY, encoding="utf-8")
    is_closed, look = os.fspath(place), os.lstat

    def lstat(path: str | Path) -> os.stat_result:
        return closed() if os.fspath(path) == is_closed else look(path)

    monkeypatch.setattr(os, "lstat", lstat)
    refusal = refusal_of()
    assert refusal.message == f"cannot tell whether there is a settings file {place}: Permission denied"
    assert "--config" in refusal.hint


def closed(*_: object, **__: object) -> os.stat_result:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("levels", [1, 2])
def test_a_dangling_link_in_place_of_the_users_folder_is_an_error(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    folder = user_folder / "etc" / "ztrust-mail" if levels == 2 else user_folder / "etc"
    (user_folder / "etc").symlink_to("not-mounted")
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(folder))
    assert refusal_of().message.startswith("cannot read the settings file ")


@pytest.mark.parametrize("folder", ["missing", "missing/deeper", "file"])
def test_a_missing_users_folder_means_no_settings(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (user_folder / "file").touch()
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(user_folder / folder))
    assert load(None, {}) == Settings()


def test_a_link_to_a_file_is_followed(place: Path, tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text(POLICY, encoding="utf-8")
    place.symlink_to(tmp_path / "real.toml")
    assert str(place) in load(None, {}).paths


# A pipe that the user names, as a shell makes of <(command)


def test_a_named_pipe_is_read(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    late = threading.Timer(0.01, lambda: (os.write(writing, POLICY.encode()), os.close(writing)))
    late.start()
    try:
        for _ in range(2):  # a run reads its settings several times, and a pipe gives its text once
            assert load(f"/dev/fd/{reading}", {}).policy.relays == ("smtp.example.com",)
    finally:
        late.join()
        os.close(reading)


def test_a_named_pipe_without_a_writer_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    assert refusal_of(str(pipe)).message.endswith("the pipe is empty")


# What costs too much


def test_a_file_up_to_the_limit_is_read_and_a_larger_one_is_not(place: Path) -> None:
    place.write_text(POLICY + "#" * (MAX_BYTES - len(POLICY)), encoding="utf-8")
    assert load(None, {}).paths
    with place.open("a", encoding="utf-8") as file:
        file.write("#")
    assert refusal_of().message.endswith("it is larger than 1 MB, the limit for settings")


def test_an_endless_file_that_the_user_names_is_refused() -> None:
    assert "not a regular file" in refusal_of("/dev/zero").message


LONG = ".".join("a" * (MAX_KEY_PARTS + 1))


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG} = 1",
        "a." * 400_000 + "b = 1",
        f"[{LONG}]",
        f"[[{LONG}]]",
        LONG.replace(".", " . ") + " = 1",
        LONG.replace("a", '"a"') + " = 1",
        LONG.replace("a", "'a.b'") + " = 1",
        LONG.replace("a", '""') + " = 1",
        f"x = {{ {LONG} = 1 }}",
        f'x = {{ a = """b"""", {LONG} = 1 }}',
        f'x = {{ a = """b""""", {LONG} = 1 }}',
        f"x = {{ a = '''b'''', {LONG} = 1 }}",
        f"x = {{ a = '''b''''', {LONG} = 1 }}",
        f'x = {{ a = "\\\\", {LONG} = 1 }}',
        f"x = {{ a = '\\', {LONG} = 1 }}",
        f'x = "#"\n{LONG} = 1 # "',
        f"# '''\r\n{LONG} = 1",
        f'x = """\n\\""" """\n{LONG} = 1',
    ],
)
def test_a_key_of_many_parts_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(tomllib, "loads", None)
    with pytest.raises(ConfigError, match=f"a key has more than {MAX_KEY_PARTS} parts") as refusal:
        named(tmp_path, text)
    assert refusal.value.hint


@pytest.mark.parametrize(
    "text",
    [
        'x = "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18"',
        'x = """\n1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18"""',
        "x = '1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18'",
        "x = 1 # 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18",
        "x = [1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]",
        ".".join("a" * MAX_KEY_PARTS) + " = 1",
    ],
)
def test_dots_elsewhere_are_no_parts_of_a_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        named(tmp_path, text)


@pytest.mark.parametrize("text", ["x = " + "9" * 4301, "servers = [" + "9" * 5000 + "]"])
def test_a_number_that_python_refuses_is_an_error_of_the_settings(place: Path, text: str) -> None:
    place.write_text(text, encoding="utf-8")
    assert refusal_of().message == f"{place}: a number is too long"


MISPLACED = [
    'password = "{}"',
    '[servers.main.password]\nvalue = "{}"',
    '[servers.main.password]\nenv = {{name = "{}"}}',
    '[servers.main.pasword]\nx = ["{}"]',
    '[servers]\npassword = "{}"',
    '[servers.main]\npassword = ["{}"]',
    '[servers.main.login]\npassword = "{}"',
    '[policy]\npassword = "{}"',
    '[journal]\nurl = ["{}"]',
]
"""Settings that are wrong, with a password where no rule expects one."""


@pytest.mark.parametrize(
    "content",
    [
        b"password = '" + HIDDEN.encode() + b"\n",
        HIDDEN.encode() + b"\xff",
        *(text.format(HIDDEN).encode() for text in MISPLACED),
    ],
)
def test_an_error_does_not_hold_the_files_text(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    refusal = refusal_of()
    assert HIDDEN not in refusal.message
    assert not any(HIDDEN in text for text in locals_of(refusal))
