"""What begins and ends with a server: objects that are context managers, start and stop hooks.

All of it begins in the order in which it was given to the server, and ends in reverse order. One
task enters and leaves, so what must be left in the task that entered it can be (task groups, cancel
scopes). What is plain ``def`` runs on one thread of its own, for the same reason, and because the
loop may serve others meanwhile.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import BeeError
from ..terms.printable import brief, name_of
from .log_lines import log, say

if TYPE_CHECKING:
    from collections.abc import Callable

_GRACE = 0.5
"""Seconds that a task which was cancelled may take to end, before it is left behind."""


@attrs.frozen(eq=False)
class _Part:
    """Something that begins, ends, or both.

    Attributes:
        label: What it is, for people.
        begin: Begins it; None for a stop hook.
        end: Ends it; None for a start hook.
        threaded: Whether both are plain ``def``.
    """

    label: str
    begin: Callable[[], Any] | None
    end: Callable[[], Any] | None
    threaded: bool


class Life:
    """The parts that live as long as a server serves. Used on one loop at a time.

    Args:
        service: For the name of the thread.
        start_timeout: Seconds that all parts may take to begin, together.
        stop_timeout: Seconds that all parts may take to end, together.
    """

    def __init__(self, service: str, start_timeout: float, stop_timeout: float) -> None:
        self._service = service
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._parts: list[_Part] = []
        self._objects: set[int] = set()  # ids: the server keeps the objects alive
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._doing = ""
        self._over = False

    def add_object(self, target: Any) -> None:
        """Enter an object at start and leave it at the end, if it is a context manager.

        An object that is given twice is entered once. One that can be entered in both ways is
        entered by ``async with``.
        """
        cls = type(target)
        enter, leave = getattr(cls, "__aenter__", None), getattr(cls, "__aexit__", None)
        threaded = enter is None or leave is None
        if threaded:
            enter, leave = getattr(cls, "__enter__", None), getattr(cls, "__exit__", None)
        if enter is None or leave is None or id(target) in self._objects:
            return
        self._objects.add(id(target))
        self._parts.append(
            _Part(
                f"the object {cls.__qualname__}",
                partial(enter, target),
                partial(leave, target, None, None, None),
                threaded,
            )
        )

    def add_start(self, hook: Callable[[], Any]) -> None:
        """Call a hook at start.

        Raises:
            TypeError: It cannot be called without arguments.
        """
        label = f"the start hook {_checked(hook)}"
        self._parts.append(_Part(label, hook, None, not _is_async(hook)))

    def add_stop(self, hook: Callable[[], Any]) -> None:
        """Call a hook at the end, if the start has come as far as this.

        Raises:
            TypeError: It cannot be called without arguments.
        """
        label = f"the stop hook {_checked(hook)}"
        self._parts.append(_Part(label, None, hook, not _is_async(hook)))

    async def start(self) -> None:
        """Begin all parts. If one fails, those that had begun are ended.

        Raises:
            BeeError: A part raised, which is the cause, or they took longer than ``start_timeout``.
        """
        if not self._parts:
            return
        self._ending = asyncio.Event()
        self._over = False
        loop = asyncio.get_running_loop()
        begun: asyncio.Future[None] = loop.create_future()
        task = self._task = loop.create_task(self._live(begun))
        try:
            await asyncio.wait((begun,), timeout=self._start_timeout)
            if begun.done() and begun.exception() is None:
                return
            failure = begun.exception() if begun.done() else self._too_slow()
        except asyncio.CancelledError as error:
            failure = error
        if begun.cancel():  # it has not ended by itself
            task.cancel()
        await self.stop()  # what had begun
        raise failure  # type: ignore[misc]  # there is one

    def _too_slow(self) -> BeeError:
        return BeeError(
            f"{self._doing} did not end within start_timeout ({self._start_timeout:g} s)"
        )

    async def stop(self) -> None:
        """End all parts that have begun, within ``stop_timeout``. Idempotent; never raises.

        What a part raises is logged, and the others are ended all the same.
        """
        task, self._task = self._task, None
        if task is None:
            return
        self._ending.set()
        await asyncio.wait((task,), timeout=self._stop_timeout)
        if task.done():
            return
        self._over = True
        task.cancel()
        await asyncio.wait((task,), timeout=_GRACE)

    async def _live(self, begun: asyncio.Future[None]) -> None:
        """Begin the parts, wait for the end, end them. One task for all."""
        thread = _Steps(self._service)
        living: list[_Part] = []
        try:
            for part in self._parts:
                self._doing = part.label
                if part.begin is not None:
                    await thread.do(part.begin, threaded=part.threaded)
                living.append(part)
            begun.set_result(None)
            await self._ending.wait()
        except BaseException as error:  # whatever a hook raises; the caller of start() gets it
            if not begun.done():
                failed = BeeError(f"{self._doing} failed: {brief(error)}")
                failed.__cause__ = error
                begun.set_exception(failed)
        await self._end(living, thread)
        thread.close()

    async def _end(self, living: list[_Part], thread: _Steps) -> None:
        while living:
            part = living.pop()
            if part.end is None:
                continue
            try:
                await thread.do(part.end, threaded=part.threaded)
            except BaseException as error:  # one that fails keeps no other from its end
                if self._over:
                    _say_late(part, living, self._stop_timeout)
                    return
                log.error(
                    "%s failed as the server stopped: %s",
                    part.label,
                    brief(error),
                    exc_info=error,
                    extra={"bee_event": "stop_failed", "bee_fields": {"part": part.label}},
                )


def _say_late(part: _Part, rest: list[_Part], seconds: float) -> None:
    skipped = [one.label for one in reversed(rest) if one.end is not None]
    more = f"; never begun to end: {', '.join(skipped)}" if skipped else ""
    say(
        "stop_timeout",
        f"{part.label} did not end within stop_timeout ({seconds:g} s){more}",
        level=logging.WARNING,
        part=part.label,
        skipped=skipped,
    )


class _Steps:
    """Runs what is plain ``def`` on one daemon thread and in one context, step by step."""

    def __init__(self, service: str) -> None:
        self._name = f"bee-{service}-life"
        self._jobs: SimpleQueue[Callable[[], None] | None] | None = None
        self._context = copy_context()

    async def do(self, function: Callable[[], Any], *, threaded: bool) -> None:
        """Run a step, and wait for what it returns if that is awaitable."""
        result = await self._on_thread(function) if threaded else function()
        if inspect.isawaitable(result):
            await result

    async def _on_thread(self, function: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if not done.done():  # nobody waits any more
                done.set_result((result, error))

        def job(context: Any = self._context) -> None:
            result = error = None
            try:
                result = context.run(function)
            except BaseException as raised:  # handed to the task that waits
                error = raised
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(settle, result, error)

        if self._jobs is None:
            self._jobs = SimpleQueue()
            Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True).start()
        self._jobs.put(job)
        try:
            result, error = await done
        except asyncio.CancelledError:
            # The thread may hang for ever, and it has the context. The next step gets others.
            self.close()
            self._context = self._context.copy()
            raise
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Let the thread end after its step."""
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            jobs.put(None)


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    inner = function if inspect.isroutine(function) else type(function).__call__
    return inspect.iscoroutinefunction(inner)


def _checked(hook: Any) -> str:
    """The name of a hook that can be called without arguments."""
    name = getattr(hook, "__qualname__", None) or name_of(hook)
    if not callable(hook):
        raise TypeError(f"a hook is a function without arguments, not {name}")
    try:
        inspect.signature(hook).bind()
    except TypeError as error:
        raise TypeError(f"the hook {name} is called without arguments: {error}") from None
    except ValueError:  # a function in C has no signature
        pass
    return str(name)
