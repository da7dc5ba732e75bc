"""The event loop of a server: which one, how it ends, on a thread, and what signals stop it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

from .announcement import DEREGISTER_TIMEOUT, WATCH_GRACE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import FrameType

    from ..config.server_model import ServerConfig

    Serve = Callable[[asyncio.Event, Callable[[], None]], Coroutine[object, object, None]]

HUNG_LOOP_SECONDS = 5.0 + 2 * DEREGISTER_TIMEOUT + WATCH_GRACE
"""How long past drain_timeout a signalled process waits for its registry and its own event loop,
before it leaves without them."""


def patience(settings: ServerConfig) -> float:
    """Seconds after the signal when a server leaves in any case, with what may hang in it."""
    return settings.drain_timeout + settings.stop_timeout + HUNG_LOOP_SECONDS


LEFT = "the server left without waiting for what was in flight"
"""Why a process that leaves at once writes its last calls."""
_FLUSH_SECONDS = 0.2
"""How long a process that leaves at once waits for its last lines to be written."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest loop there is: uvloop where it is installed.

    It is imported here, so that a process that only forks workers never touches it.
    """
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left on it, and close it."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def run_until_signal(
    serve: Serve,
    patience: Callable[[], float],
    last_words: Callable[[], object],
    also: Callable[
        [asyncio.AbstractEventLoop, Callable[[], object]], contextlib.AbstractContextManager[None]
    ],
) -> None:
    """Serve on a new loop of this thread, the main one, until a signal asks to leave.

    Args:
        serve: Ends some time after the event; what it calls once it serves is for others.
        patience: As for :func:`stop_signals`.
        last_words: As for :func:`stop_signals`.
        also: Makes what is entered as well, of the loop and of what asks to leave.
    """
    loop = new_event_loop()
    try:
        with (
            stop_signals(loop, patience, last_words=last_words) as stopping,
            also(loop, stopping.set),
        ):
            loop.run_until_complete(serve(stopping, lambda: None))
    finally:
        close_loop(loop)


async def unless_stopped(stopping: asyncio.Event, work: Coroutine[object, object, None]) -> bool:
    """Run something to its end, or cancel it when an event is set before.

    Returns:
        Whether it has ended by itself.

    Raises:
        BaseException: What it raised.
    """
    working = asyncio.ensure_future(work)
    asked = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
        ended = working.done()
        if not ended:
            working.cancel()
        with contextlib.suppress(*(() if ended else (asyncio.CancelledError,))):
            await working
        return ended
    finally:
        asked.cancel()


@contextlib.contextmanager
def run_in_thread(serve: Serve, name: str) -> Iterator[None]:
    """Serve on a new thread, with a loop of its own, while the block runs.

    Args:
        serve: Calls its second argument once it serves, and ends some time after the event.
        name: For the thread's name.

    Raises:
        BaseException: What ``serve`` raised.
    """
    loop = new_event_loop()
    stopping = asyncio.Event()
    started = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            loop.run_until_complete(serve(stopping, started.set))
        except BaseException as error:  # handed to the thread that waits
            failed.append(error)
        finally:
            started.set()
            close_loop(loop)

    # What the program has set in its context reaches the handlers, as it does without a thread.
    thread = threading.Thread(
        target=copy_context().run, args=(work,), name=f"bee-server-{name}", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # the system gives no thread
        close_loop(loop)
        raise
    started.wait()
    try:
        if not failed:
            yield
    finally:
        if not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it closed in this very moment
                loop.call_soon_threadsafe(stopping.set)
        thread.join()
    if failed:
        raise failed[0]


@contextlib.contextmanager
def stop_signals(
    loop: asyncio.AbstractEventLoop,
    patience: Callable[[], float],
    ignored: tuple[signal.Signals, ...] = (),
    last_words: Callable[[], object] = lambda: None,
) -> Iterator[asyncio.Event]:
    """While the block runs, a first SIGTERM or SIGINT asks the server to leave: it sets the event.

    A second one makes the process leave. The loop's own signal handlers are not used. They run only
    while the loop runs, so a handler that hangs on the loop would make the process deaf.

    Args:
        loop: Where the event belongs.
        patience: Says the seconds after the first signal when the process leaves in any case.
        ignored: Signals to take without doing anything.
        last_words: Called, on any thread and not for long, before the process leaves at once.
    """
    stopping = asyncio.Event()
    asked = False
    words = [last_words]  # said once: a third signal may come in the middle of them

    def leave(code: int) -> None:
        _leave_now(code, words.pop() if words else _nothing)

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            leave(128 + number)
        asked = True
        loop.call_soon_threadsafe(stopping.set)
        watchdog = threading.Timer(patience(), leave, (1,))
        watchdog.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread can be started; a second signal helps
            watchdog.start()

    before = {
        number: signal.signal(number, _ignore if number in ignored else on_signal)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def on_hangup(
    loop: asyncio.AbstractEventLoop, reload: Callable[[], object], leave: Callable[[], object]
) -> Iterator[None]:
    """While the block runs, SIGHUP calls a function on the loop. For the main thread.

    Args:
        loop: The serving loop.
        reload: What to do.
        leave: What to do instead when the terminal, from which the process was started, has gone:
            the system sends the same signal then.
    """
    number = getattr(signal, "SIGHUP", None)
    if number is None:  # Windows
        yield
        return
    attached = has_terminal()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(leave if attached and not has_terminal() else reload)

    before = signal.signal(number, on_signal)
    try:
        yield
    finally:
        signal.signal(number, before)


def has_terminal() -> bool:
    """Whether standard input is this process's terminal, and that terminal is still there."""
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False
    return True


def ignore_hangup() -> None:
    """Not SIG_IGN, which programs that a handler starts would inherit."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN, which programs that a handler starts would inherit."""


def _nothing() -> None:
    pass


def _leave_now(code: int, last_words: Callable[[], object]) -> None:
    """End the process without waiting for anything but its last lines, and for those not long."""
    # The signal may have come in the middle of a write to these streams, which cannot be flushed
    # then. The reader of the streams may hang, too. Neither keeps the process.
    flush = threading.Thread(target=_flush_output, args=(last_words,), daemon=True)
    with contextlib.suppress(RuntimeError):  # no thread can be started
        flush.start()
        flush.join(_FLUSH_SECONDS)
    os._exit(code)


def _flush_output(last_words: Callable[[], object]) -> None:
    last_words()
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(Exception):
            stream.flush()
