"""The futures of the blocking client: any number of calls in flight on one thread.

The calls run on an event loop of their own, with the asyncio driver and one shared connection a
node. So a thousand calls in flight cost one thread and not a thousand. See
``docs/decisions/futures.md``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextvars import Context, copy_context
from functools import partial
from threading import Lock, current_thread, main_thread
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from ..calls.picking import Repeating
from ..contracts.effects import Attempt
from ..control.plane import ControlPlane
from ..errors import BeeError, CallCancelled
from ..terms.loggers import logger
from .asyncio_driver import drive
from .future_flow import flow_on
from .open_connections import ask_on_loop
from .overdue import Overdue
from .unanswered_futures import closed, no_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..calls.call import Call
    from ..calls.service import Service
    from ..contracts.channels import AsyncChannel, Channel
    from ..contracts.effects import Effect
    from ..errors import CallError
    from ..terms.failures import Failure
    from ..terms.node import Node
    from .discoveries import Discoveries

T = TypeVar("T")

log = logger("bee.client")


_inherited: list[object] = []
"""In a forked child: channels of the parent. Kept, so that no destructor of a transport runs."""


class CallFuture(Future[T]):
    """The result of a call that was begun by :func:`bee_core.future`.

    It can be cancelled as long as there is no result, unlike a future of an executor.
    :meth:`cancel` gives the call up, on the wire as well, and returns True. So it never says that
    it is running. Callbacks run on the client's one thread for futures, or on the thread that
    cancels. They must be quick, and must not wait for another future.
    """

    def __init__(self, calls: FutureCalls) -> None:
        super().__init__()
        self._calls = calls
        self.given_up = False

    def cancel(self) -> bool:
        """Give the call up.

        A call that was not sent yet is not sent. If it was sent, the server is told that nobody
        waits for it, and whether it ran is not known.

        Returns:
            False where the call has ended already.
        """
        return super().cancel() and self._calls.give_up(self)

    def result(self, timeout: float | None = None) -> T:
        """What the method returned; waits for it.

        Args:
            timeout: Seconds to wait for, or None: the call ends by its own deadline.

        Raises:
            CallError: What the call would have raised.
            concurrent.futures.CancelledError: It was cancelled.
            concurrent.futures.TimeoutError: Not within ``timeout``; the call goes on.
            BeeError: From a callback, on the thread that would have to bring the result.
        """
        self._calls.forbid_to_wait(self)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error of the call, or None; otherwise like :meth:`result`."""
        self._calls.forbid_to_wait(self)
        return super().exception(timeout)

    def end(self, value: T | None, error: BaseException | None) -> None:
        """Set the result or the error, unless it was cancelled."""
        try:
            if error is None:
                # Without an error there is a value.
                self.set_result(value)  # type: ignore[arg-type]
            else:
                self.set_exception(error)
        except InvalidStateError:
            return
        except BaseException:  # of a callback, as sys.exit(); an Exception does not come here
            if current_thread() is main_thread():
                raise  # it may be an interruption
            # It would end the loop, and with it all other calls.
            log.exception("a callback of a future raised what ends a thread")


class FutureCalls:
    """The calls in flight of one client. Thread-safe.

    Its thread starts with the first call and ends with :meth:`close`.

    Args:
        name: For the thread.
        make_channel: Makes a channel to a node of a service on the running loop.
        discoveries: Find the nodes of a service whose first call this is.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        make_channel: Callable[[Service[Any], Node], AsyncChannel],
        discoveries: Discoveries[Channel],
        clock: Callable[[], float],
    ) -> None:
        self.plane = ControlPlane(name)
        self.plane.at_stop(self._wind_up)
        self._over = False
        self._make_channel = make_channel
        self._discoveries = discoveries
        self._clock = clock
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._begun: deque[tuple[Call, CallFuture[Any], Context]] = deque()
        self._told = False
        # What follows is of the loop's thread.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._overdue = Overdue(self._clock)
        self._tasks: dict[CallFuture[Any], tuple[Call, asyncio.Task[None]]] = {}
        self.attempts: dict[Channel, Attempt] = {}
        # Channels whose nodes have left. The calls that are still on them keep them alive.
        self._retired: WeakSet[AsyncChannel] = WeakSet()

    def start(self, call: Call) -> CallFuture[Any]:
        """Make a call, in the context that is current. Does not wait."""
        future: CallFuture[Any] = CallFuture(self)
        self._begun.append((call, future, copy_context()))
        if self._over:  # looked at behind `append`: whoever sets it ends what was begun before
            self._end_begun(closed)
        elif not self._told:
            self._told = True  # one wake-up for all that are begun until the loop has its turn
            try:
                if not self.plane.call_soon(self._take):
                    self._end_begun(closed)
            except RuntimeError as error:  # the system gives no thread; the next call tries again
                self._told = False
                self._end_begun(partial(no_thread, error))
        return future

    def failed(self, error: BaseException) -> CallFuture[Any]:
        """The future of a call that could not begin."""
        future: CallFuture[Any] = CallFuture(self)
        future.set_exception(error)
        return future

    def give_up(self, future: CallFuture[Any]) -> bool:
        """A future was cancelled. True, for :meth:`CallFuture.cancel`."""
        with self._lock:
            again, future.given_up = future.given_up, True
        if not again:
            future.set_running_or_notify_cancel()  # tells wait() and as_completed()
            self.plane.call_soon(lambda: self._cancel(future))
        return True

    def forbid_to_wait(self, future: CallFuture[Any]) -> None:
        """Refuse a wait that would never end."""
        if (
            self._loop is not None
            and asyncio._get_running_loop() is self._loop  # noqa: SLF001  # documented
            and not future.done()
        ):
            raise BeeError(
                "a callback of a future would wait for another future of this client, on the very"
                " thread that has to bring it: look at done(), or wait elsewhere"
            )

    def drop(self, channel: Channel) -> None:
        """The node of this channel has left the list. From any thread."""
        if channel in self.attempts:
            self.plane.call_soon(lambda: self._retire(channel))

    async def ask_open(self, channel: Channel, timeout: float) -> str | Failure | None:
        """Ping on the open connection of the futures to a node; from another loop.

        Args:
            channel: The blocking channel to the same node.
            timeout: Seconds.

        Returns:
            The answer, or None where there is no connection.
        """
        attempt = self.attempts.get(channel)
        return None if attempt is None else await ask_on_loop(self._loop, attempt.channel, timeout)

    def close(self) -> None:
        """End all calls with CallCancelled, and the thread. Idempotent."""
        self._over = True
        self.plane.stop()
        self._end_all()

    def after_fork(self) -> None:
        """In a forked child: forget the parent's calls in flight, and their sockets."""
        futures = [*self._tasks, *(future for _, future, _ in self._begun)]
        for channel in self._channels():
            _inherited.append(channel)
            discard = getattr(channel, "discard_after_fork", None)
            if discard is not None:
                discard()
        self._forget()
        for future in futures:
            # Anew: a thread of the parent may hold its lock. The parent calls its callbacks.
            Future.__init__(future)
            future.set_exception(
                CallCancelled(
                    "the process was forked: the call goes on in the parent, and its result is"
                    " there",
                    executed="maybe",
                )
            )

    # On the loop's thread.

    def _take(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._told = False
        begun = self._begun
        while begun:
            try:
                call, future, context = begun.popleft()
            except IndexError:  # another thread has ended them
                return
            if not future.cancelled():
                task = context.run(loop.create_task, self._run(call, future))
                self._tasks[future] = call, task

    def _end_all(self) -> None:
        """End the calls that have not begun, and those whose task was ended before it ran."""
        self._end_begun(closed)
        for future, (call, _) in tuple(self._tasks.items()):
            future.end(None, closed(call))

    def _end_begun(self, why: Callable[[Call], CallError]) -> None:
        """End the calls that have not begun."""
        while self._begun:
            try:
                call, future, _ = self._begun.popleft()
            except IndexError:  # another thread that found the client closed
                return
            future.end(None, why(call))

    async def _run(self, call: Call, future: CallFuture[Any]) -> None:
        service = call.plan.service
        error: BaseException | None
        try:
            if service.undiscovered is not None:
                await self._discoveries.wait_async(service, call.started, call.deadline)
            error = await drive(call, self._closing, self._overdue, self._flow)
        except asyncio.CancelledError:
            error = closed(call)  # or the future was cancelled, and takes no error any more
        except Exception as raised:  # from a plugin; the caller of an ordinary call sees it too
            error = raised
        finally:
            del self._tasks[future]
        future.end(call.value, error)

    def _flow(self, call: Call) -> Generator[Effect, Any, Failure | None]:
        return flow_on(call, self._attempt, self._clock)

    def _attempt(self, call: Call, node: Node, channel: Channel) -> Attempt:
        """An attempt on a channel of this loop to the same node."""
        if isinstance(channel, Repeating):
            return Attempt(Repeating(self._attempt(call, node, channel.channel).channel))
        attempt = self.attempts.get(channel)
        if attempt is not None:
            return attempt
        service = call.plan.service
        attempt = self.attempts[channel] = Attempt(self._make_channel(service, node))
        current, retired = service.nodes.states.get(node.id), service.nodes.retired
        attempted = None if current is None or retired else current.attempt
        if attempted is None or attempted.channel is not channel:
            # The node, or the service, has left just now, so no call of `drop` will follow.
            asyncio.get_running_loop().call_soon(self._retire, channel)
        return attempt

    def _retire(self, channel: Channel) -> None:
        attempt = self.attempts.pop(channel, None)
        if attempt is not None:
            self._retired.add(attempt.channel)
            attempt.channel.retire()

    def _cancel(self, future: CallFuture[Any]) -> None:
        begun = self._tasks.get(future)
        if begun is not None:
            # A task that is cancelled before its first step never runs a line of `_run`.
            begun[1].add_done_callback(lambda _: self._tasks.pop(future, None))
            begun[1].cancel()

    async def _wind_up(self) -> None:
        """The plane ends, and its tasks have ended; also where the client was only dropped."""
        self._over = True
        self._end_all()
        channels = self._channels()
        self.attempts = {}
        if channels:
            await asyncio.gather(*(channel.close() for channel in channels))

    def _channels(self) -> list[AsyncChannel]:
        return [*(attempt.channel for attempt in self.attempts.values()), *self._retired]
