"""Pipes in the place of files: they are read, and nobody waits for ever."""

from __future__ import annotations

import os
import threading

import pytest

from bee_core.config import files, load_config
from bee_core.control import file_watch
from bee_core.errors import ConfigError

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
TEXT = "bee:\n  application:\n    name: piped\n"


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe.yml"
    os.mkfifo(path)
    return path


def test_what_is_written_to_a_pipe_is_read(pipe):
    writer = threading.Thread(target=pipe.write_text, args=(TEXT,))
    writer.start()
    assert load_config(str(pipe)).application.name == "piped"
    writer.join()


def test_a_pipe_that_nobody_writes_to_is_an_error(pipe, monkeypatch):
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.05)
    with pytest.raises(ConfigError, match="it is a pipe, and had no end within 0"):
        load_config(str(pipe))


def test_an_included_pipe_is_an_error_as_well(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.05)
    top = tmp_path / "bee.yml"
    top.write_text("bee:\n  application:\n    include: pipe.yml\n")
    with pytest.raises(ConfigError, match="it is a pipe"):
        load_config(str(top))


def test_a_watch_of_files_does_not_wait_for_a_pipe(pipe):
    assert file_watch.digest_of(str(pipe)) == b""
