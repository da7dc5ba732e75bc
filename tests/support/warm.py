"""Processes that start in milliseconds: forks of one that has imported bee and its plugins.

For tests that need a process of bee's, and for which its start is no matter. Whoever starts an
interpreter waits for its imports, which take half a second of a core.

The forks are children of that one process, which this file is as a program. It is started at the
first use, and ends with the one that has started it. Linux only: elsewhere each is started anew.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

_STATUS = struct.Struct("=i")
_MOST = 1 << 20  # bytes of a request: a command line and an environment
_STREAMS = (("stdin", "rb", "wb"), ("stdout", "wb", "rb"), ("stderr", "wb", "rb"))


class Forked:
    """What tests use of a ``subprocess.Popen``."""

    def __init__(self, pid: int, status: int, pipes: dict[str, IO[Any] | None]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = (pipes.get(name) for name, _, _ in _STREAMS)
        self._status = status

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0.0)
            said = os.read(self._status, _STATUS.size)
            os.close(self._status)
            # Nothing is said when the process ended that knew: it was killed, and this one with it.
            self.returncode = _STATUS.unpack(said)[0] if said else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Nursery:
    """The process that forks. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None

    def start(
        self,
        command: list[str],
        *,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        text: bool = False,
        start_new_session: bool = False,
        **streams: int | None,
    ) -> Forked | subprocess.Popen[Any]:
        """Run ``python COMMAND``: ``["-m", "bee_core", …]`` or a program and its arguments.

        Args:
            command: Without the interpreter.
            cwd: As of ``subprocess.Popen``; ``env``, ``text``, ``start_new_session``, ``stdin``,
                ``stdout`` and ``stderr`` as well.
        """
        from support import processes

        if sys.platform != "linux":
            whole = [sys.executable, *command]
            options = {"text": text, "start_new_session": start_new_session, **streams}
            return processes.start(whole, cwd=cwd, env=env, **options)
        theirs, pipes = _pipes(streams, text)
        status, tell = os.pipe()
        task = {
            "command": command,
            "cwd": str(cwd or Path.cwd()),
            "env": processes.named(env) or dict(os.environ),
            "session": start_new_session,
        }
        try:
            with self._lock:
                link = self._ready()
                socket.send_fds(link, [json.dumps(task).encode()], [*theirs, tell])
                pid = int(link.recv(32))
        finally:
            for fd in (*theirs, tell):
                os.close(fd)
        return Forked(pid, status, pipes)

    def run(
        self,
        command: list[str],
        *,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end: what it printed, as text, and its exit code.

        Args:
            command: See ``start``, as for ``cwd`` and ``env``.
            timeout: Seconds on an idle machine, after which it is killed.
        """
        from support.patience import scaled

        process = self.start(
            command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            with ThreadPoolExecutor(2) as readers:
                pipes = (process.stdout, process.stderr)
                printed = [readers.submit(pipe.read) for pipe in pipes if pipe is not None]
                try:
                    code = process.wait(scaled(timeout))
                except BaseException:
                    process.kill()  # so that the readers end
                    raise
                out, err = (one.result() for one in printed)
        finally:
            for pipe in pipes:
                if pipe is not None:
                    pipe.close()
        return subprocess.CompletedProcess(command, code, out, err)

    def _ready(self) -> socket.socket:
        if self._link is None:
            from support import processes

            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = processes.start(
                    [sys.executable, __file__, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONUNBUFFERED": ""},
                )
            self._link = ours
        return self._link

    def close(self) -> None:
        """End it. Its forks go on."""
        with self._lock:
            if self._link is not None and self._process is not None:
                self._link.close()
                self._process.wait()
            self._link = self._process = None


nursery = Nursery()


def _pipes(streams: dict[str, int | None], text: bool) -> tuple[list[int], dict[str, Any]]:
    """The descriptors for a fork, and this side of its pipes."""
    theirs: list[int] = []
    ours: dict[str, Any] = {}
    for number, (name, their_mode, our_mode) in enumerate(_STREAMS):
        kind = streams.get(name)
        if kind == subprocess.PIPE:
            read, write = os.pipe()
            theirs.append(read if their_mode == "rb" else write)
            mine = write if their_mode == "rb" else read
            ours[name] = os.fdopen(mine, our_mode[0]) if text else os.fdopen(mine, our_mode)
        elif kind == subprocess.DEVNULL:
            theirs.append(os.open(os.devnull, os.O_RDWR))
        else:
            theirs.append(os.dup(number))
    return theirs, ours


# ── the process that forks ───────────────────────────────────────────────────────────────────────


def _warm_up() -> None:
    for name in ("cli.serve_command", "client.asyncio", "client.blocking", "server.server"):
        importlib.import_module(f"bee_core.{name}")
    for entry in importlib.metadata.distribution("bee-rpc").entry_points:
        with contextlib.suppress(ImportError):  # of an extra that is not there
            entry.load()
    gc.collect()
    gc.freeze()


def _serve(link: socket.socket) -> dict[str, Any] | None:
    """Fork until the other side has gone. In a fork: what it has to do."""
    children: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(link, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready != link.fileno():
                pid, tell = children.pop(ready)
                # Said before the pid is free, so that nobody signals one that is somebody else's.
                ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                killed = ended.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
                with contextlib.suppress(BrokenPipeError):  # nobody wants to know
                    os.write(tell, _STATUS.pack(-ended.si_status if killed else ended.si_status))
                os.waitpid(pid, 0)
                poll.unregister(ready)
                os.close(tell)
                os.close(ready)
                continue
            request, fds, _, _ = socket.recv_fds(link, _MOST, 4)
            if not request:
                return None
            *streams, tell = fds
            pid = os.fork()
            if pid == 0:
                link.close()
                for fd in (tell, *children, *(other for _, other in children.values())):
                    os.close(fd)
                for number, fd in enumerate(streams):
                    os.dup2(fd, number)
                    os.close(fd)
                return json.loads(request)
            for fd in streams:
                os.close(fd)
            watch = os.pidfd_open(pid)
            children[watch] = (pid, tell)
            poll.register(watch, select.POLLIN)
            link.send(str(pid).encode())


def _run(task: dict[str, Any]) -> None:
    """As the interpreter does with such a command line."""
    if task["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(task["env"])
    time.tzset()
    os.chdir(task["cwd"])
    program, *arguments = task["command"]
    if program == "-m":
        module, *arguments = arguments
        sys.path[0] = task["cwd"]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    sys.path[0] = str(Path(program).parent)
    sys.argv = [program, *arguments]
    main = types.ModuleType("__main__")
    main.__file__ = program
    sys.modules["__main__"] = main
    exec(compile(Path(program).read_text("utf-8"), program, "exec"), main.__dict__)


if __name__ == "__main__":
    _warm_up()
    task = _serve(socket.socket(fileno=int(sys.argv[1])))
    if task is not None:
        _run(task)
