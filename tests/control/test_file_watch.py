from __future__ import annotations

import asyncio
import contextlib
from hashlib import blake2b

import pytest

from bee_core.control.file_watch import FileWatch
from support.patience import scaled

PATIENCE = scaled(10.0)


def digest(text):
    return blake2b(text.encode(), digest_size=16).digest()


class Watched:
    """A watch of files, which counts what it says and goes on with the same files."""

    def __init__(self, *paths):
        self.paths = paths
        self.news = asyncio.Queue()
        files = {str(path): digest(path.read_text()) if path.exists() else b"" for path in paths}
        self.watch = FileWatch(files, self.changed, interval=0.01, settled=0.005)

    async def changed(self):
        await self.news.put([path.read_text() if path.exists() else None for path in self.paths])
        return {str(path): b"" for path in self.paths}

    async def next(self):
        return await asyncio.wait_for(self.news.get(), PATIENCE)

    @contextlib.asynccontextmanager
    async def running(self):
        task = asyncio.ensure_future(self.watch.run())
        try:
            yield self
        finally:
            task.cancel()


def test_a_change_is_said_once(tmp_path):
    file = tmp_path / "a"
    file.write_text("one")

    async def run():
        async with Watched(file).running() as watched:
            file.write_text("two")
            assert await watched.next() == ["two"]
            file.write_text("three")
            assert await watched.next() == ["three"]
            assert watched.news.empty()

    asyncio.run(run())


def test_what_changed_before_the_watch_began_is_said(tmp_path):
    file = tmp_path / "a"
    file.write_text("one")

    async def run():
        watched = Watched(file)
        file.write_text("two")
        async with watched.running():
            assert await watched.next() == ["two"]

    asyncio.run(run())


def test_a_file_that_is_touched_or_written_alike_is_no_news(tmp_path):
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("one")

    async def run():
        async with Watched(file, other).running() as watched:
            file.touch()
            file.write_text("one")
            other.write_text("it came")
            assert await watched.next() == ["one", "it came"]
            assert watched.news.empty()

    asyncio.run(run())


def test_files_that_come_go_and_are_replaced_by_links_are_seen(tmp_path):
    link, first, second = tmp_path / "link", tmp_path / "1", tmp_path / "2"
    first.write_text("one")
    second.write_text("two")
    link.symlink_to(first)

    async def run():
        async with Watched(link).running() as watched:
            new = tmp_path / "new"
            new.symlink_to(second)
            new.replace(link)
            assert await watched.next() == ["two"]
            link.unlink()
            assert await watched.next() == [None]
            link.write_text("three")
            assert await watched.next() == ["three"]

    asyncio.run(run())


@pytest.mark.parametrize("path", ["gone/file", "a\0b"])
def test_a_path_that_cannot_be_read_is_as_one_that_is_not_there(tmp_path, path):
    async def run():
        watch = FileWatch({str(tmp_path / path): b""}, None, interval=0.01, settled=0.01)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(watch.run(), 0.1)

    asyncio.run(run())
