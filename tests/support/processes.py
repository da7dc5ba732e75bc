"""The one place where tests start processes. None of them outlives the run.

Each process of a run carries the run's name in its environment, and so does all that it starts.
Whoever has the name can find them in ``/proc``, whatever sessions and parents they have by now.

- pytest ends what is left when a worker has died and when the run is over (``support.leftovers``).
- A guard, which is this file run as a program, does so when pytest itself is killed.

On Linux. Elsewhere the fixtures alone end what they have started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

RUN = "BEE_TEST_RUN"
"""The variable. ``3f2a/gw0/`` is worker 0 of the run ``3f2a/``. A run in a run has both names."""
_OWN = (__file__, "multiprocessing.resource_tracker")
"""Parts of the command lines of those that end with their parent: the guard is one."""


def start(command: Any, **options: Any) -> subprocess.Popen:
    """Start a process that ends with the run at the latest: ``subprocess.Popen`` otherwise."""
    return subprocess.Popen(command, **_named(options))


def run(
    command: Any, *, timeout: float = 60.0, check: bool = False, **options: Any
) -> subprocess.CompletedProcess:
    """Start a process and wait until it ends: ``subprocess.run`` otherwise.

    The bound means "it hangs", so it follows the machine's load. What the process says is captured
    as text, and its exit code is the caller's to check, if nothing else is asked for.
    """
    from support.patience import scaled  # the guard needs nothing of ours

    if not {"stdout", "stderr"} & options.keys():
        options.setdefault("capture_output", True)
    options = {"text": True, **_named(options)}
    return subprocess.run(command, check=check, timeout=scaled(timeout), **options)


def _named(options: dict[str, Any]) -> dict[str, Any]:
    """The options, whose environment names the run even where a test gives its own."""
    if "env" in options:
        options["env"] = named(options["env"])
    return options


def named(env: dict[str, str] | None) -> dict[str, str] | None:
    """A test's own environment for a process, with the name of the run in it."""
    return env if env is None or RUN not in os.environ else {**env, RUN: os.environ[RUN]}


def end(process: subprocess.Popen) -> None:
    """Kill a process if it still runs, wait for it, and close its pipes. Idempotent."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


# ── what is left of a run ────────────────────────────────────────────────────────────────────────


def left_of(name: str, *, parent: int | None = None) -> dict[int, str]:
    """The processes of a run, or of a worker of it, with their command lines; never this one.

    Args:
        name: Of the run or worker.
        parent: Its children count too. A child forked without a new program has its environment.
    """
    found = {}
    mark = f"{RUN}={name}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with contextlib.suppress(OSError):  # it has ended meanwhile, or belongs to somebody else
            variables = (folder / "environ").read_bytes().split(b"\0")
            state, above = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            marked = any(variable.startswith(mark) for variable in variables)
            if pid != os.getpid() and state != "Z" and (marked or int(above) == parent):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                found[pid] = b" ".join(words).decode(errors="replace").strip()
    return {pid: line for pid, line in found.items() if not any(own in line for own in _OWN)}


def end_all(name: str, *, grace: float = 0.0, parent: int | None = None) -> list[str]:
    """End what is left of a run or of a worker of it.

    Args:
        name: Of the run or worker.
        grace: Seconds that the processes have to end by themselves.
        parent: See :func:`left_of`.

    Returns:
        The command lines of those that were killed.
    """
    until = time.monotonic() + grace
    while left_of(name, parent=parent) and time.monotonic() < until:
        time.sleep(0.02)  # nobody tells when a process of somebody else ends
    killed = {}
    until = time.monotonic() + 10.0
    while (left := left_of(name, parent=parent)) and time.monotonic() < until:
        for pid, command in left.items():  # again, as they may have started others
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                killed[pid] = command
        time.sleep(0.01)
    return list(killed.values())


def guard(name: str) -> None:
    """Start the process that ends all of a run when this one has ended, however that happens."""
    environment = {key: value for key, value in os.environ.items() if key != RUN}
    subprocess.Popen(
        [sys.executable, "-S", "-E", __file__, str(os.getpid()), name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C and the end of a terminal are not for it
        env=environment,
    )


def tie_forks() -> None:
    """From now on a child that the main thread forks is killed when this process ends.

    It has inherited the pipes of pytest-xdist's worker, and pytest would wait for their end.
    """
    prctl, forking = ctypes.CDLL(None).prctl, threading.local()

    def remember() -> None:
        forking.lasts = threading.current_thread() is threading.main_thread()
        forking.parent = os.getpid()

    def tie() -> None:
        if forking.lasts:  # the system ends the child with the thread that forked it
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != forking.parent:  # it ended before this child was tied to it
                os.kill(os.getpid(), signal.SIGKILL)

    os.register_at_fork(before=remember, after_in_child=tie)


_PR_SET_PDEATHSIG = 1


def _wait_for_end(pid: int) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        watch = os.pidfd_open(pid)
        if os.getppid() == pid:  # still the one that is meant
            select.select([watch], [], [])


if __name__ == "__main__":
    _wait_for_end(int(sys.argv[1]))
    end_all(sys.argv[2])
