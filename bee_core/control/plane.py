"""The control plane's thread and its event loop.

It is asyncio's own loop and not uvloop. A forked child shares the descriptors of an inherited loop
with its parent, and must let go of them. For that the selector must be ours to close. Nothing here
is hot, so a faster loop would gain nothing.
"""

from __future__ import annotations

import asyncio
import selectors
from concurrent.futures import ThreadPoolExecutor
from threading import Event, RLock, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..terms.loggers import logger
from ..terms.printable import brief
from . import fork

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    MakeCoroutine = Callable[[], Coroutine[Any, Any, object]]

log = logger("bee.control")

STOP_TIMEOUT = 2.0
"""Seconds that ``stop`` gives tasks to end.

A revoked lease takes one round trip, and nobody waits longer for a program to leave.
"""

_FILE_THREADS = 4
"""For files and name resolution, both rare. With four, one slow disk does not delay the rest."""

_inherited: list[object] = []
"""In a forked child: what the parent's plane left behind.

The child keeps it, so that no destructor runs: a generator's ``finally`` could write to a socket of
the parent.
"""


class Handle:
    """A task of the control plane. Thread-safe."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._task: asyncio.Task[object] | None = None
        self._over = Event()
        self.error: BaseException | None = None
        """What the task raised, once it is over; None where it ended well or was cancelled."""

    def wait(self, timeout: float) -> bool:
        """Wait until the task is over, ``timeout`` seconds at most; not on the plane's thread."""
        return self._over.wait(timeout)

    def cancel(self) -> None:
        """Cancel the task. Idempotent; does not wait."""
        self._plane.call_soon(self._cancel_now)

    async def end(self, timeout: float) -> None:
        """Cancel the task and wait for it, ``timeout`` seconds at most; on the plane's loop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=timeout)

    def _cancel_now(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _begin(self, make_coroutine: MakeCoroutine) -> None:
        self._task = asyncio.get_running_loop().create_task(_made(make_coroutine))
        self._task.add_done_callback(self._ended)
        # asyncio holds its tasks weakly, so a task that nobody else holds could be collected.
        self._plane._tasks.add(self._task)  # noqa: SLF001  # two halves of one thing

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._plane._tasks.discard(task)  # noqa: SLF001  # two halves of one thing
        if not task.cancelled() and (error := task.exception()) is not None:
            self.error = error
            log.error(
                "a task of the control plane %s ended with %s",
                self._plane.name,
                brief(error),
                exc_info=error,
            )
        self._over.set()


async def _made(make_coroutine: MakeCoroutine) -> object:
    # Made on the plane, so that a factory that raises ends its own task and nothing else.
    return await make_coroutine()


class ControlPlane:
    """Runs tasks on one daemon thread with an event loop of its own. Thread-safe.

    The thread starts with the first task. :meth:`stop` is final. A forked child starts anew by
    itself and forgets the tasks of the parent.

    Args:
        name: For the thread and for log lines.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._at_stop: list[MakeCoroutine] = []
        self._forget()
        self._stopping = False
        fork.watch(self)

    def _forget(self) -> None:
        # The garbage collector may drop the client, and stop the plane, while this thread has it.
        self._lock = RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._selector: selectors.BaseSelector | None = None
        self._thread: Thread | None = None
        self._gone = Event()
        self._tasks: set[asyncio.Task[object]] = set()  # on the plane's thread only

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def spawn(self, make_coroutine: MakeCoroutine) -> Handle:
        """Run a coroutine on the plane's loop. From any thread; does not wait.

        An exception that it raises is logged, stands in the handle, and harms no other task.

        Args:
            make_coroutine: Called on the plane's thread.

        Returns:
            The task. Over already where the plane was stopped.
        """
        handle = Handle(self)
        if not self.call_soon(lambda: handle._begin(make_coroutine)):  # noqa: SLF001  # as above
            handle._over.set()  # noqa: SLF001
        return handle

    def call_soon(self, function: Callable[[], object]) -> bool:
        """Call a quick function on the plane's loop. From any thread; does not wait.

        Returns:
            False where the plane was stopped; the function is not called then.

        Raises:
            RuntimeError: The plane does not run yet, and the system gives no thread now.
        """
        with self._lock:
            if self._stopping:
                return False
            loop = self._loop or self._start()
            loop.call_soon_threadsafe(function)
        return True

    def at_stop(self, make_coroutine: MakeCoroutine) -> None:
        """Run a coroutine when the plane stops and its tasks have ended, to close what they shared.

        It is not called where the plane never ran.
        """
        self._at_stop.append(make_coroutine)

    def stop(self, timeout: float = STOP_TIMEOUT) -> bool:
        """Cancel all tasks, wait for them, end the thread. Idempotent.

        It may be called from any thread. On the plane's own thread it does not wait.

        Args:
            timeout: Seconds for tasks that clean up.

        Returns:
            Whether the thread is gone. False, with a warning, where a task blocks its loop.
        """
        thread = self.begin_stop(timeout)
        if thread is None:
            return True
        if thread is current_thread():
            return False
        thread.join(timeout + _GRACE)
        return self._is_gone(thread)

    async def stop_async(self, timeout: float = STOP_TIMEOUT) -> bool:
        """Like :meth:`stop`, from another event loop, which goes on meanwhile."""
        thread = self.begin_stop(timeout)
        if thread is None:
            return True
        until = monotonic() + timeout + _GRACE
        # Rare and short, so this is cheaper than a thread that waits for a thread.
        while not self._gone.is_set() and monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
        thread.join(_GRACE)
        return self._is_gone(thread)

    def after_fork_in_child(self) -> None:
        """Forget the parent's thread and loop; the next task starts new ones.

        See :class:`bee_core.control.fork.Forkable`.
        """
        loop, selector = self._loop, self._selector
        _inherited.append(self._tasks)
        self._forget()
        if loop is None or loop.is_closed():
            return
        _inherited.append(loop)
        for task in asyncio.all_tasks(loop):
            # The task is the parent's, and goes on there.
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
            _inherited.append(task)
        # Not loop.close(): it would remove descriptors from an epoll set of the parent.
        if selector is not None:
            selector.close()
        for name in ("_ssock", "_csock"):
            sock = getattr(loop, name, None)
            if sock is not None:
                sock.close()

    def _start(self) -> asyncio.AbstractEventLoop:
        selector = selectors.DefaultSelector()
        loop = asyncio.SelectorEventLoop(selector)
        thread = Thread(
            target=self._work, args=(loop,), name=f"bee-control-{self.name}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system gives no thread; the next task tries again
            loop.close()
            raise
        self._selector, self._loop, self._thread = selector, loop, thread
        return loop

    def begin_stop(self, timeout: float = STOP_TIMEOUT) -> Thread | None:
        """Like :meth:`stop`, without waiting. Returns the thread that is about to end."""
        with self._lock:
            first, self._stopping = not self._stopping, True
            thread, loop = self._thread, self._loop
            if first and loop is not None:
                loop.call_soon_threadsafe(lambda: loop.create_task(self._leave(timeout)))
        return thread

    def _is_gone(self, thread: Thread) -> bool:
        alive = thread.is_alive()
        if alive:
            log.warning(
                "the control plane %s did not stop in time: a plugin blocks its event loop; "
                "its thread ends with the process",
                self.name,
            )
        return not alive

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        executor = ThreadPoolExecutor(
            _FILE_THREADS, thread_name_prefix=f"bee-control-{self.name}-files"
        )
        loop.set_default_executor(executor)
        loop.set_exception_handler(self._complain)
        asyncio.set_event_loop(loop)
        gone = self._gone
        try:
            loop.run_forever()
        finally:
            # On a thread of its own: a file or a resolver may hang for ever.
            ending = Thread(
                target=executor.shutdown, name=f"bee-control-{self.name}-ending", daemon=True
            )
            try:
                ending.start()
                ending.join(_GRACE)
            except RuntimeError:  # the system gives no thread
                executor.shutdown(wait=False)
            asyncio.set_event_loop(None)
            loop.close()
            gone.set()

    async def _leave(self, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                _, stubborn = await asyncio.wait(tasks, timeout=timeout)
                if stubborn:
                    log.warning(
                        "the control plane %s left %d tasks "
                        "that did not end when they were cancelled",
                        self.name,
                        len(stubborn),
                    )
            for make_coroutine in self._at_stop:
                await self._close(make_coroutine, max(0.1, until - loop.time()))
            # What ended may have begun tasks to clean up, such as requests that lost a race.
            if late := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in late:
                    task.cancel()
                await asyncio.wait(late, timeout=max(0.1, until - loop.time()))
            await asyncio.wait_for(loop.shutdown_asyncgens(), max(0.1, until - loop.time()))
        finally:
            loop.stop()

    async def _close(self, make_coroutine: MakeCoroutine, timeout: float) -> None:
        try:
            await asyncio.wait_for(make_coroutine(), timeout)
        except Exception as error:  # what is closed is a plugin's; the rest is closed all the same
            log.warning("the control plane %s could not close all: %s", self.name, brief(error))

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.error("the control plane %s: %s", self.name, context.get("message"), exc_info=error)


_GRACE = 1.0  # seconds for the thread itself, once its tasks are over
_POLL = 0.002  # seconds between two looks at a thread that is about to end
