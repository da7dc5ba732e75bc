"""The registry ``local`` between processes that are killed, stopped and forked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node
from bee_core.testing.registry_contract import Watching
from bee_plugins.registries.local.registry import LocalRegistry
from support import processes
from support.patience import PATIENCE

PROGRAM = Path(__file__).with_name("program.py")


class Program:
    def __init__(self, root, *, name="a", act="serve", heartbeat=0.5):
        self.process = processes.start(
            [sys.executable, str(PROGRAM), str(root), str(heartbeat), name, act],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lines = b""

    def expect(self, word, timeout=PATIENCE):
        """The rest of the next line that begins with a word."""
        until = time.monotonic() + timeout
        while True:
            line, end, rest = self._lines.partition(b"\n")
            if end:
                self._lines = rest
                if line.split()[0] == word.encode():
                    return line.decode().removeprefix(word).strip()
                continue
            fd = self.process.stdout.fileno()
            assert select.select([fd], [], [], max(0.0, until - time.monotonic()))[0], (
                f"it did not say {word!r}"
            )
            data = os.read(fd, 65536)
            assert data, f"it ended without saying {word!r}"
            self._lines += data

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def root(tmp_path):
    return tmp_path / "bee"


@pytest.fixture
def programs(root):
    made = []

    def start(**settings):
        made.append(Program(root, **settings))
        return made[-1]

    yield start
    for program in made:
        program.end()


def watch(root, scenario):
    """Run a scenario with a watcher of the service."""

    async def whole():
        watcher = Watching(LocalRegistry(RegistrySettings((str(root),))), "calc")
        try:
            await scenario(watcher)
        finally:
            await watcher.close()

    asyncio.run(whole())


async def seconds_until(watcher, ids):
    start = time.monotonic()
    await watcher.until_ids(ids)
    return time.monotonic() - start


def test_a_process_that_is_killed_is_gone_within_a_second_and_its_file_too(root, programs):
    first, second = programs(name="a", heartbeat=60), programs(name="b", heartbeat=60)
    first.expect("registered")
    second.expect("registered")

    async def scenario(watcher):
        await watcher.until_ids(["a", "b"])
        first.process.kill()
        assert await seconds_until(watcher, ["b"]) < 1.0

    watch(root, scenario)
    assert files(root / "calc") == ["b.json"]


def test_the_id_of_a_process_that_was_killed_can_be_registered_at_once(root, programs):
    first = programs(heartbeat=60)
    first.expect("registered")
    first.kill()
    again = programs(heartbeat=60)
    again.expect("registered")


def test_a_process_that_is_stopped_is_gone_with_its_lease_and_back_when_it_goes_on(root, programs):
    program = programs(heartbeat=0.5)
    program.expect("registered")

    async def scenario(watcher):
        await watcher.until_ids(["a"])
        program.process.send_signal(signal.SIGSTOP)
        gone = await seconds_until(watcher, [])
        # Three beats from the last renewal, which was up to one before the signal; then a look
        # every half second.
        assert 0.9 < gone < 1.5 + 1.0
        program.process.send_signal(signal.SIGCONT)
        assert await seconds_until(watcher, ["a"]) < 2.0

    watch(root, scenario)


def test_a_forked_child_neither_keeps_its_parents_registration_nor_ends_it(root, programs):
    program = programs(act="fork", heartbeat=60)
    child = int(program.expect("child"))
    try:

        async def scenario(watcher):
            await watcher.until_ids(["a"])  # although the child has revoked what it inherited
            program.process.kill()
            assert await seconds_until(watcher, []) < 1.0
            os.kill(child, 0)  # it lives

        watch(root, scenario)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_of_processes_that_want_one_id_each_gets_it_alone_in_turn(root, programs):
    # A process whose registration another one took would fail to renew, and end without a word.
    contenders = [programs(act="contend") for _ in range(3)]

    async def scenario(watcher):
        for contender in contenders:
            await asyncio.to_thread(contender.expect, "done")
        await watcher.until_ids([])
        assert all(len(snapshot.nodes) <= 1 for snapshot in watcher.seen)

    watch(root, scenario)
    assert files(root / "calc") == []


def test_what_a_process_left_that_died_while_it_registered_is_cleared_by_the_next(root):
    folder = root / "calc"
    folder.mkdir(parents=True, mode=0o700)
    root.chmod(0o700)
    (folder / ".a.0123456789ab").write_text("{")

    asyncio.run(
        LocalRegistry(RegistrySettings((str(root),))).register(
            Instance("calc", Node("a", "tcp://127.0.0.1:9000"))
        )
    )
    assert files(folder) == ["a.json"]


def test_watchers_follow_every_one_of_many_processes(root, programs):
    names = [f"n{number}" for number in range(6)]
    running = {name: programs(name=name, heartbeat=60) for name in names}
    for program in running.values():
        program.expect("registered")

    async def scenario(watcher):
        await watcher.until_ids(names)
        for number, name in enumerate(names):
            running[name].process.kill()
            await watcher.until_ids(names[number + 1 :])
        assert [len(snapshot.nodes) for snapshot in watcher.seen][-6:] == [5, 4, 3, 2, 1, 0]

    watch(root, scenario)
