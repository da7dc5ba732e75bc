"""Runs commands: in this process, or in one of their own where signals matter."""

from __future__ import annotations

import queue
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import bee_core
from bee_core.cli import main
from support.patience import scaled
from support.warm import nursery

DEADLINE = scaled(15.0)
"""Seconds for what takes well under one."""

APP = """
import sys, threading, time
import bee_core

class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b
    def metadata(self) -> dict[str, str]:
        return dict(bee_core.current_call().metadata)
    def call(self, x: int) -> int:
        return -x
    def boom(self) -> None:
        raise KeyError("no such order")
    def pause(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds
    def hang(self) -> None:
        print("hanging", file=sys.stderr, flush=True)
        threading.Event().wait()

class Stats:
    def mean(self, xs: list[float]) -> float:
        return sum(xs) / len(xs)

class NeedsArguments:
    def __init__(self, url): ...
    def ping(self) -> int: return 1

class Broken:
    def __init__(self): raise OSError("no database")
    def ping(self) -> int: return 1

class Empty: ...

def greet(name: str) -> str:
    return "hello " + name

CONFIG = {"bee": {"rpc": {"server": {"name": "ready-made", "version": "3.1.4"}}}}
SERVER = bee_core.build_server(CONFIG)
SERVER.add(Calculator())
"""

SERVER_YAML = """
bee:
  rpc:
    server: {name: calc, version: 1.2.3, address: "127.0.0.1:0", drain_timeout: 30}
"""


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capfd):
    """Run a command in this process: ``run("check", "bee.yml").code``."""

    def command(*args):
        capfd.readouterr()
        code = main([str(arg) for arg in args])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project, as the current folder: app.py and a bee.yml with a server.

    What a command imports is forgotten afterwards.
    """
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "bee.yml").write_text(SERVER_YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEE_CONFIG", raising=False)
    monkeypatch.delenv("BEE_DISABLE_PLUGINS", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if name not in known and str(getattr(module, "__file__", None) or "").startswith(
            str(tmp_path)
        ):
            del sys.modules[name]


class Process:
    """A ``bee`` of its own, forked. Lines of its stderr are read as they come."""

    def __init__(self, args, cwd):
        self.process = nursery.start(
            ["-m", "bee_core", *args],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines = []
        self._queue = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, text):
        """The next line with this text in it."""
        deadline = time.monotonic() + DEADLINE
        while True:
            line = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            assert line is not None, f"it ended without {text!r}: {self.lines}"
            if text in line:
                return line

    def address(self):
        return self.wait_for("listening on").partition("listening on ")[2].split()[0]

    def signal(self, number):
        self.process.send_signal(number)

    def exit_code(self, timeout=DEADLINE):
        code = self.process.wait(timeout)
        self._reader.join(DEADLINE)
        return code

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()
        self.process.stdout.close()


@pytest.fixture
def start(folder):
    """Start a command in a process of its own: ``start("serve", "app:greet").address()``."""
    started = []

    def command(*args):
        process = Process([str(arg) for arg in args], folder)
        started.append(process)
        return process

    yield command
    for process in started:
        process.stop()


def client_config(address, **keys):
    return {"bee": {"rpc": {"client": {"calc": {"address": address, **keys}}}}}


@pytest.fixture
def connect():
    """A client of a server: ``connect(address, fail="failfast").add(1, 2)``."""
    clients = []

    def make(address, **keys):
        client = bee_core.build_client(client_config(address, **keys))
        clients.append(client)
        return client.service("calc")

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def write(folder):
    """Write a file of the project."""

    def to(name, text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return to
