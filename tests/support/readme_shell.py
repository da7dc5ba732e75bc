"""Runs what a README says: its blocks of commands, typed one by one into one bash."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """One ``sh`` block of a page, and the ``text`` block behind it: what the commands print."""

    commands: list[str]
    prints: list[str]
    soon: bool  # the page says that the output comes soon, so the last command may be repeated


def blocks(text: str, language: str) -> list[str]:
    """The contents of all fenced blocks of one language."""
    return [content for kind, content in BLOCK.findall(text) if kind == language]


def files(text: str) -> dict[str, str]:
    """The Python and YAML blocks of a page; each begins with the name of its file."""
    named = {}
    for language in ("python", "yaml"):
        for block in blocks(text, language):
            first = block.split("\n", 1)[0]
            assert re.fullmatch(r"# [\w.]+", first), f"a snippet does not say its file: {first}"
            named[first[2:]] = block
    return named


def steps(text: str) -> list[Step]:
    """The ``sh`` blocks of a page, in order."""
    found: list[Step] = []
    end = 0
    for block in BLOCK.finditer(text):
        kind, content = block.groups()
        soon = re.search(r"\bsoon\b", text[end : block.start()]) is not None
        if kind == "sh":
            found.append(Step(content.splitlines(), [], soon))
        elif kind == "text" and found:
            found[-1].prints.extend(content.splitlines())
        end = block.end()
    return found


class Shell:
    """A bash that gets commands one after the other, as a reader types them."""

    def __init__(self, folder: Path, environment: Mapping[str, str], until: str) -> None:
        """Start it; a command in the background has started when it prints ``until``."""
        self._until = until
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line)

    def type(self, command: str, within: float = 120) -> tuple[str, int]:
        """Run a command: what was printed until it ended, and its exit code.

        A command that ends in ``&`` is a server: this returns when the server has started.
        """
        assert self._shell.stdin is not None
        starts = command.endswith("&")
        self._shell.stdin.write(command + "\n" + ("" if starts else 'echo "ended with $?"\n'))
        self._shell.stdin.flush()
        said = ""
        deadline = time.monotonic() + within
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"`{command}` takes too long; it said:\n{said}") from None
            if not starts and line.startswith("ended with "):
                return said, int(line.split()[-1])
            said += line
            if starts and self._until in line:
                return said, 0

    def close(self) -> None:
        """End it and whatever it has started."""
        os.killpg(self._shell.pid, signal.SIGKILL)  # not waited for yet, so the id is still its own
        self._shell.wait(20)
        self._reader.join(20)
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None:
                pipe.close()
