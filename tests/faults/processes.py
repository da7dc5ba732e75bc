"""Servers in processes of their own, which can be killed and frozen."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

from faults.services import server_config
from support import processes
from support.patience import PATIENCE
from support.warm import nursery


class ServingProcess:
    """Runs ``serving_program.py``.

    Args:
        log: Where ``write`` appends ids.
        settings: Of the server.
    """

    PROGRAM = Path(__file__).with_name("serving_program.py")
    PREFIX: tuple[str, ...] = ()
    """The command line up to the program, for one that is started anew and not forked."""

    def __init__(self, *, log: Path | None = None, **settings: Any) -> None:
        self._arguments = [json.dumps(server_config(**settings)), str(log or os.devnull)]
        self._settings = settings
        self.start()

    def start(self) -> None:
        """Start the process, and wait until it serves."""
        self._buffer = b""
        # Buffered output, as servers have it: the buffer's lock is among what can go wrong.
        environment = {**os.environ, "PYTHONUNBUFFERED": ""}
        program = [str(self.PROGRAM), *self._arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        if self.PREFIX:
            self.process = processes.start([*self.PREFIX, *program], env=environment, **pipes)
        else:
            self.process = nursery.start(program, env=environment, **pipes)
        self.url = self.expect("listening on ").partition("listening on ")[2].split()[0]

    def restart(self) -> None:
        """Start it again after it has ended; give it a fixed address for that."""
        self.close_pipes()
        self.start()

    def expect(self, start: str, timeout: float = PATIENCE) -> str:
        """The next line of its output that starts so."""
        until = time.monotonic() + timeout
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        while True:
            line, end, rest = self._buffer.partition(b"\n")
            if end:
                self._buffer = rest
                if line.decode().startswith(start):
                    return line.decode()
                continue
            assert select.select([fd], [], [], max(0.0, until - time.monotonic()))[0], (
                f"the server did not say {start!r} within {timeout} s"
            )
            data = os.read(fd, 65536)
            assert data, f"the server ended without saying {start!r}"
            self._buffer += data

    def release(self) -> None:
        """Let one ``hold`` go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def await_full_output(self) -> None:
        """Wait until its standard output holds no more, so that whoever writes to it waits."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        capacity = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
        until = time.monotonic() + PATIENCE
        while int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder) < capacity:
            assert time.monotonic() < until, "the output did not fill up"
            time.sleep(0.005)

    def peak_memory(self) -> int:
        """The most memory that it has had, in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def terminate(self, timeout: float = PATIENCE) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, at whatever it does. Nothing when it has ended."""
        self.process.kill()
        self.process.wait()
        self.close_pipes()

    def close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
