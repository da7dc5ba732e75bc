"""The folder of sockets and dumps: this user's alone, and tidied."""

from __future__ import annotations

import os
import socket

import pytest

from bee_core.control.recent_folder import (
    MOST_DUMPS,
    UnusableFolderError,
    default_folder,
    dumps,
    prepared,
    short_path,
    sockets,
    tidy,
    write_dump,
)


@pytest.fixture
def folder(tmp_path):
    return prepared(tmp_path / "r")


def listen(path):
    sock = socket.socket(socket.AF_UNIX)
    with short_path(path) as short:
        sock.bind(short)
    sock.listen()
    return sock


def test_the_variable_comes_first_then_the_users_runtime_folder(tmp_path):
    assert default_folder({"BEE_RECENT_DIR": str(tmp_path)}) == tmp_path
    assert default_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "bee-recent"
    assert default_folder({}).name == f"bee-recent-{os.geteuid()}"
    assert default_folder({"XDG_RUNTIME_DIR": "/proc/1/nothing"}) == default_folder({})


def test_the_folder_is_made_for_its_owner_alone(folder):
    assert folder.stat().st_mode & 0o777 == 0o700
    assert prepared(folder) == folder


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_folder_that_is_open_to_others_is_not_used(folder, mode):
    folder.chmod(mode)
    with pytest.raises(UnusableFolderError, match="chmod 700"):
        prepared(folder)
    with pytest.raises(UnusableFolderError, match="open to other users"):
        sockets(folder)


def test_a_link_in_its_place_is_not_used(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UnusableFolderError, match="not a folder"):
        prepared(tmp_path / "link")


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path):
    with pytest.raises(UnusableFolderError, match="BEE_RECENT_DIR"):
        prepared(tmp_path / "missing" / "folder")


@pytest.mark.parametrize("part", ["r", "r" * 120])
def test_sockets_of_dead_processes_are_removed_and_others_stay(tmp_path, part):
    folder = prepared(tmp_path / part)
    dead = folder / "999999999-1.sock"
    listen(dead).close()
    alive = folder / f"{os.getpid()}-2.sock"
    elsewhere = folder / "999999998-1.sock"  # of another container: it listens
    (folder / "notes.txt").write_text("not ours")
    with listen(alive), listen(elsewhere):
        assert set(sockets(folder)) == {alive, elsewhere, dead}
        tidy(folder)
        assert set(sockets(folder)) == {alive, elsewhere}
    assert (folder / "notes.txt").exists()


def test_a_folder_that_is_not_there_has_no_sockets(tmp_path):
    assert sockets(tmp_path / "nothing") == []
    tidy(tmp_path / "nothing")


def test_a_dump_is_whole_and_for_this_user_alone_and_old_ones_go(folder):
    for number in range(MOST_DUMPS + 3):
        path = write_dump(folder, f"1-{number:03d}", b"{}")
        os.utime(path, (number, number))
    left = [path.name for path in dumps(folder)]
    assert left[-1] == f"1-{MOST_DUMPS + 2:03d}.json"
    assert len(left) == MOST_DUMPS
    assert dumps(folder)[-1].stat().st_mode & 0o777 == 0o600
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
