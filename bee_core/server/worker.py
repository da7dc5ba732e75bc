"""The child's side of ``workers``: a forked process that serves until its parent stops it.

It never lives longer than its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import struct
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import attrs

from .event_loop import close_loop, new_event_loop
from .log_lines import log
from .stop_signals import stop_signals

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Mapping

    Serve = Callable[
        [Mapping[str, socket.socket], Callable[[], None], Callable[[], None], asyncio.Event],
        Coroutine[object, object, None],
    ]

NEWS = struct.Struct("=cI")
"""What a worker tells its parent: a kind, and the worker's process. It is far below PIPE_BUF, so
the workers' writes to one pipe do not mix."""
READY, TICK = b"r", b"t"
_PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


@attrs.frozen
class Inheritance:
    """What a worker gets from its parent.

    Attributes:
        serve: Serves on the sockets. It calls the second argument once it serves and the third for
            each tick of its loop, and ends some time after the event.
        sockets: By url, listening.
        life: A pipe whose writing end only the parent keeps: its end of file is the parent's death.
        news: Where to write what the parent must know.
        parent: The parent's process.
        patience: Seconds after the signal to stop when the process leaves in any case.
        mask: The signals to block, as it was before the fork.
    """

    serve: Serve
    sockets: Mapping[str, socket.socket]
    life: tuple[int, int]
    news: int
    parent: int
    patience: float
    mask: set[signal.Signals | int]


def work(inherited: Inheritance) -> NoReturn:
    """Be a worker; never returns to what the parent was doing.

    For the child, right after the fork, with SIGTERM and SIGINT blocked.
    """
    code = 1
    try:
        # The parent's loop was running on this thread, and is the parent's.
        asyncio._set_running_loop(None)  # noqa: SLF001  # documented for frameworks that run loops
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(inherited.life[1])
        _die_with(inherited.parent, inherited.life[0])
        _serve(inherited)
        code = 0
    except BaseException as error:
        log.critical(
            "a worker could not serve: %s: %s",
            type(error).__name__,
            error,
            exc_info=not isinstance(error, OSError),
        )
    finally:
        # Not sys.exit: what the parent has on its stack and in atexit is the parent's.
        with contextlib.suppress(Exception):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _serve(inherited: Inheritance) -> None:
    def tell(kind: bytes) -> None:
        # A full pipe means that the parent does not run; it will find older ticks then.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(inherited.news, NEWS.pack(kind, os.getpid()))

    loop = new_event_loop()
    stopping = asyncio.Event()
    # Ctrl-C reaches the whole group of processes at once. The parent says when to stop, after it
    # has left the registry.
    with stop_signals(loop, stopping, inherited.patience, ignored=(signal.SIGINT,)):
        signal.pthread_sigmask(signal.SIG_SETMASK, inherited.mask)
        loop.run_until_complete(
            inherited.serve(inherited.sockets, lambda: tell(READY), lambda: tell(TICK), stopping)
        )
        close_loop(loop)


def _die_with(parent: int, life: int) -> None:
    """End this process when the parent ends, however it ends.

    Where the system offers that, it works even while this process hangs in C code.
    """

    def watch() -> None:
        while True:
            if not os.read(life, 1):
                os._exit(1)

    threading.Thread(target=watch, name="bee-worker-parent", daemon=True).start()
    with contextlib.suppress(AttributeError, OSError):  # Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it went before we could ask
        os._exit(1)
