"""An event loop whose time is virtual: it never waits, and jumps to the next timer instead.

Minutes pass in milliseconds, and a run repeats exactly. :class:`bee_core.testing.FakeClock` holds
the time, so that what takes a ``clock`` and what sleeps on the loop agree.

Programs that are killed or frozen run on it as *parties*: what a party began (its tasks, their
timers, their subtasks) runs as long as the party does. A frozen party's timers that are due run
late, when it is thawed, as those of a process do after SIGSTOP. A party that is killed runs nothing
any more, no ``finally`` either, as after SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Literal

from bee_core.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

_PARTY: contextvars.ContextVar[Party | None] = contextvars.ContextVar("party", default=None)


class Standstill(AssertionError):
    """Everything waits for something that no timer and no callback will bring."""


class Party:
    """A program on the loop; see :meth:`VirtualLoop.party`.

    Attributes:
        name: For messages.
        state: Whether it runs, stands still, or has been killed.
    """

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self._loop = loop
        self.name = name
        self.state: Literal["runs", "frozen", "killed"] = "runs"
        self._held: list[asyncio.Handle] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as a task of this party."""
        context = contextvars.Context()
        context.run(_PARTY.set, self)
        task = context.run(self._loop.create_task, work)
        task.add_done_callback(self._ended, context=_NOBODY)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            message = f"a task of {self.name} has failed"
            self._loop.call_exception_handler({"message": message, "exception": error})

    def freeze(self) -> None:
        """As SIGSTOP."""
        if self.state == "runs":
            self.state = "frozen"

    def thaw(self) -> None:
        """As SIGCONT: what was due meanwhile runs now."""
        if self.state == "frozen":
            self._go_on()

    def kill(self) -> None:
        """As SIGKILL."""
        self.state = "killed"

    async def clean_up(self) -> None:
        """Cancel its tasks, also those of a killed one, when a test ends."""
        self._go_on()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self, handle: asyncio.Handle) -> None:
        """Keep it until the party runs again."""
        self._held.append(handle)

    def _go_on(self) -> None:
        self.state = "runs"
        held, self._held = self._held, []
        self._loop.put(held)


class VirtualLoop(asyncio.BaseEventLoop):
    """See above. Single-threaded: ``run_in_executor`` runs its function at once.

    Args:
        clock: The time.

    Attributes:
        clock: The time.
        before_time_passes: Called with the moment to which time is about to jump. What it sees
            stays as it is until then: nothing else happens between two jumps.
    """

    def __init__(self, clock: FakeClock | None = None) -> None:
        super().__init__()
        self.clock = clock or FakeClock()
        self.before_time_passes: Callable[[float], None] | None = None
        self._soon: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self.clock.now

    def put(self, handles: Iterable[asyncio.Handle]) -> None:
        """Run these after what is ready."""
        self._soon.extend(handles)

    def _run_once(self) -> None:
        """Run what is ready; where nothing is, jump to the next timer first."""
        timers, soon = self._timers, self._soon
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not soon and not self._stopping:
            if not timers:
                raise Standstill("no timer is left, and the loop was not told to stop")
            then = timers[0][0]
            if then > self.clock.now:
                if self.before_time_passes is not None:
                    self.before_time_passes(then)
                self.clock.now = then
        while timers and timers[0][0] <= self.clock.now:
            soon.append(heappop(timers)[2])
        for _ in range(len(soon)):
            handle = soon.popleft()
            if handle.cancelled():
                continue
            party = handle._context.get(_PARTY)  # noqa: SLF001  # a loop and its handles
            if party is None or party.state == "runs":
                handle._run()  # noqa: SLF001
            else:
                party.hold(handle)

    def run_for(self, seconds: float) -> None:
        """Let time pass, and all that happens in it."""
        self.run_until_complete(asyncio.sleep(seconds))

    def party(self, name: str) -> Party:
        """A program that can be frozen and killed."""
        return Party(self, name)

    def call_soon(self, callback, *args, context=None):
        """As asyncio's, held back while the party is frozen."""
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    def call_at(self, when, callback, *args, context=None):
        """As asyncio's, held back while the party is frozen."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._count), timer))
        return timer

    def call_soon_threadsafe(self, callback, *args, context=None):
        """As :meth:`call_soon`, of nobody: what another party says is not held by its freezing."""
        return self.call_soon(callback, *args, context=context or _NOBODY)

    def run_in_executor(self, executor, func, *args):
        """Run it at once, in no time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _timer_handle_cancelled(self, handle):
        """It is passed over when its time comes."""

    def _write_to_self(self):
        """There is no other thread that would have to wake this one."""

    def carry(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run what the network carries: it arrives although its sender is frozen or killed."""
        return contextvars.Context().run(self.create_task, work)


_NOBODY = contextvars.Context()


def run_virtually(scenario: Coroutine[Any, Any, Any]) -> Any:
    """As ``asyncio.run``, on a virtual loop."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(scenario)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
