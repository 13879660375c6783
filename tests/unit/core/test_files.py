"""Files written as a whole: what a killed process, a full disk or another program leaves behind."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import raising

from ztrust_mail.core import files
from ztrust_mail.core.files import (
    PREFIX,
    Changed,
    files_in,
    is_inside,
    read_regular_file,
    remove_leftovers,
    replace_file,
    write_file,
)

OLD, NEW = b"old content\n", b"new content, which is longer\n"
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the old content that everybody may read, alone in its folder."""
    made = tmp_path / "folder" / "file"
    made.parent.mkdir()
    made.write_bytes(OLD)
    made.chmod(0o644)
    return made


@pytest.fixture
def usual_mask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_beside(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path.parent) if name != path.name)


# A process that is killed


def killed_at(call: str, work: str, path: Path) -> list[Path]:
    """Let a process be killed as it makes a call, and return what it left in the folder besides the file."""
    program = f"""
import os, signal, sys
from ztrust_mail.core import files
{call} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
path, old, new = sys.argv[1], {OLD!r}, {NEW!r}
{work}
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    return [path.with_name(name) for name in names_beside(path)]


WORKS = {"replace": "files.replace_file(path, old, new)", "write": "files.write_file(path, new)"}
CALLS = ("files._write", "os.fsync", "os.chown", "files.shutil.copystat", "os.replace")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("work", WORKS)
def test_a_killed_process_leaves_the_file_as_it_was_and_the_next_one_tidies_up(
    path: Path, work: str, call: str
) -> None:
    [temporary] = killed_at(call, WORKS[work], path)
    assert (path.read_bytes(), mode_of(path)) == (OLD, 0o644)
    assert mode_of(temporary) == (0o644 if call == "os.replace" else 0o600)
    assert temporary.read_bytes() == (b"" if call == "files._write" else NEW)

    remove_leftovers(str(path.parent))
    assert names_beside(path) == []


def test_a_killed_process_leaves_no_new_file(tmp_path: Path) -> None:
    path = tmp_path / "new"
    for call in ("os.fsync", "os.link"):
        killed_at(call, "files.write_file(path, new, overwrite=False)", path)
        assert not path.exists()
    write_file(path, NEW, overwrite=False)
    assert os.listdir(tmp_path) == ["new"]


# Leftovers


def test_a_file_that_a_live_process_is_writing_is_no_leftover(path: Path) -> None:
    with files._temporary(str(path.parent)) as (_, temporary):
        write_file(path, NEW)
        remove_leftovers(str(path.parent))
        assert os.path.exists(temporary)
    assert names_beside(path) == []


def test_only_files_with_a_name_of_our_making_are_leftovers(path: Path) -> None:
    made = [PREFIX + end for end in ("settings", "0" * 31, "0" * 33, "g" * 32)]
    for name in made:
        path.with_name(name).write_bytes(b"")
    folder, link, pipe = (path.with_name(PREFIX + digit * 32) for digit in "123")
    folder.mkdir()
    link.symlink_to(path)
    os.mkfifo(pipe)
    path.with_name(PREFIX + "0" * 32).write_bytes(b"")

    remove_leftovers(str(path.parent))
    assert names_beside(path) == sorted([*made, folder.name, link.name, pipe.name])


def test_a_missing_folder_has_no_leftovers(tmp_path: Path) -> None:
    remove_leftovers(str(tmp_path / "none"))


def test_a_temporary_file_removed_before_it_is_locked_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, taken = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not taken:
            taken.append(handle)
            [name] = names_beside(path)
            path.with_name(name).unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write_file(path, NEW)
    assert taken
    assert path.read_bytes() == NEW


def test_a_file_system_without_locks_keeps_its_leftovers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", raising(OSError(errno.ENOTSUP, "Not supported")))
    path.with_name(PREFIX + "0" * 32).write_bytes(b"")
    write_file(path, NEW)
    assert (path.read_bytes(), names_beside(path)) == (NEW, [PREFIX + "0" * 32])


# Writing


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_file_gets_the_usual_mode(tmp_path: Path, usual_mask: None, overwrite: bool) -> None:
    write_file(tmp_path / "new", NEW, overwrite=overwrite)
    assert ((tmp_path / "new").read_bytes(), mode_of(tmp_path / "new")) == (NEW, 0o640)
    assert os.listdir(tmp_path) == ["new"]


def test_a_file_that_is_there_keeps_its_mode_and_its_owner(path: Path, usual_mask: None) -> None:
    path.chmod(0o606)
    if os.getuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    write_file(path, NEW)
    after = path.stat()
    assert path.read_bytes() == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_file_is_overwritten_only_on_request(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to("nowhere")
    for taken in (path, link):
        with pytest.raises(FileExistsError):
            write_file(taken, NEW, overwrite=False)
    assert path.read_bytes() == OLD
    assert names_beside(path) == ["link"]


def test_a_file_system_without_hard_links_takes_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", raising(OSError(errno.EPERM, "Operation not permitted")))
    write_file(tmp_path / "new", NEW, overwrite=False)
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "new", OLD, overwrite=False)
    assert (tmp_path / "new").read_bytes() == NEW


def test_writing_through_a_link_keeps_the_link_and_writes_its_target(path: Path, tmp_path: Path) -> None:
    for target in (path, tmp_path / "folder" / "new"):
        link = tmp_path / f"to-{target.name}"
        link.symlink_to(target)
        write_file(link, NEW)
        assert (link.is_symlink(), target.read_bytes()) == (True, NEW)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_leaves_a_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool) -> None:
    monkeypatch.setattr(os, "fsync", raising(FULL))
    with pytest.raises(OSError, match="No space left"):
        write_file(path if overwrite else path.with_name("new"), NEW, overwrite=overwrite)
    assert (path.read_bytes(), names_beside(path)) == (OLD, [])


@pytest.mark.parametrize("call", ["open", "chown", "replace"])
def test_a_file_is_written_in_place_if_it_cannot_be_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(os, call, raising(PermissionError(errno.EPERM, "Operation not permitted")))
    node = path.stat().st_ino
    write_file(path, NEW)
    assert (path.read_bytes(), path.stat().st_ino, names_beside(path)) == (NEW, node, [])


def test_content_can_be_written_to_a_pipe(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, NEW)
    reader.join()
    assert read == [NEW]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_file_that_changed_meanwhile_is_not_replaced(path: Path) -> None:
    with pytest.raises(Changed):
        replace_file(str(path), b"another content", NEW)
    assert (path.read_bytes(), names_beside(path)) == (OLD, [])


def test_a_regular_file_is_read_up_to_the_limit_and_nothing_else_is_opened(tmp_path: Path) -> None:
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.write_bytes(b"12345")
    link.symlink_to(file)
    os.mkfifo(pipe)
    assert read_regular_file(file, 3) == read_regular_file(link, 3) == b"123"
    with pytest.raises(OSError, match="symbolic link"):
        read_regular_file(link, 3, follow_links=False)
    for other in (pipe, tmp_path, "/dev/zero", "a\0b"):
        with pytest.raises(OSError, match="not a regular file"):
            read_regular_file(other, 3)
    with pytest.raises(FileNotFoundError):
        read_regular_file(tmp_path / "missing", 3)


def test_a_path_is_inside_a_folder_if_its_links_end_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    assert is_inside(folder, folder)
    assert is_inside(folder / "missing" / "file", folder)
    assert not is_inside(folder / "out" / "file", folder)
    assert not is_inside(tmp_path / "folder-2", folder)


def test_a_folder_with_more_files_than_the_limit_is_refused(tmp_path: Path) -> None:
    for name in ("a.x", "b.x", "c.x", "d.y"):
        (tmp_path / name).touch()
    assert files_in(str(tmp_path), (".x",), limit=3)[1] == []
    assert files_in(str(tmp_path), (".x",), limit=2)[1] == [(str(tmp_path), "too-many")]
