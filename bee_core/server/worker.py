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
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ..control.crash_dump import crashed, dump
from ..errors import BeeError
from ..terms.printable import brief
from .event_loop import LEFT, close_loop, ignore_hangup, new_event_loop, stop_signals
from .log_lines import log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Tell = Callable[[], None]
    Serve = Callable[[asyncio.Event, Tell, Tell], Coroutine[object, object, None]]

NEWS = struct.Struct("=cI")
"""What a worker tells its parent: a kind, and the worker's process. It is far below PIPE_BUF, so
the workers' writes to one pipe do not mix."""
READY, TICK = b"r", b"t"
_PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


def work(
    serve: Serve,
    life: tuple[int, int],
    news: int,
    parent: int,
    patience: Callable[[], float],
    mask: set[signal.Signals | int],
) -> NoReturn:
    """Be a worker; never returns to what the parent was doing.

    For the child, right after the fork, with SIGTERM and SIGINT blocked.

    Args:
        serve: Calls the second argument once it serves and the third for each tick of its loop,
            and ends some time after the event.
        life: A pipe whose writing end only the parent keeps: its end of file is the parent's death.
        news: Where to write what the parent must know.
        parent: The parent's process.
        patience: Says the seconds after the signal to stop when the process leaves in any case.
        mask: The signals to block, as it was before the fork.
    """

    def tell(kind: bytes) -> None:
        # A full pipe means that the parent does not run; it will find older ticks then.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(news, NEWS.pack(kind, os.getpid()))

    code = 1
    try:
        # The parent's loop was running on this thread, and is the parent's.
        asyncio._set_running_loop(None)  # noqa: SLF001  # documented for frameworks that run loops
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ignore_hangup()  # until it serves: it has what its parent had just now
        os.close(life[1])
        _die_with(parent, life[0])
        loop = new_event_loop()
        # Ctrl-C reaches the whole group of processes at once. The parent says when to stop, after
        # it has left the registry.
        with stop_signals(
            loop, patience, ignored=(signal.SIGINT,), last_words=partial(dump, LEFT)
        ) as stopping:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            loop.run_until_complete(serve(stopping, partial(tell, READY), partial(tell, TICK)))
            close_loop(loop)
        code = 0
    except BaseException as error:
        log.critical(
            "a worker could not serve: %s",
            brief(error),
            exc_info=_worth_a_traceback(error),
        )
        crashed(error)
    finally:
        # Not sys.exit: what the parent has on its stack and in atexit is the parent's.
        with contextlib.suppress(Exception):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _worth_a_traceback(error: BaseException) -> BaseException | None:
    """Whose traceback says where: of what bee says itself, that of what it says it about."""
    if isinstance(error, BeeError):
        return error.__cause__
    return None if isinstance(error, OSError) else error


def _die_with(parent: int, life: int) -> None:
    """End this process when the parent ends, however it ends.

    Where the system offers that, it works even while this process hangs in C code.
    """

    def watch() -> None:
        os.read(life, 1)  # nobody writes to it
        os._exit(1)

    threading.Thread(target=watch, name="bee-worker-parent", daemon=True).start()
    with contextlib.suppress(AttributeError, OSError):  # Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it went before we could ask
        os._exit(1)
