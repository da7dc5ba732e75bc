"""Channels that answer from a script instead of a network: one for the blocking driver, one for asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from threading import Event
from typing import TYPE_CHECKING, Literal

from bee_core.terms.failures import Failure, cancelled

if TYPE_CHECKING:
    from bee_core.terms.failures import Outcome
    from bee_core.terms.request import Request


class Silence:
    """An answer that never comes: the attempt waits until it is given up or the channel is closed."""


class _Script:
    def __init__(self, *answers: Outcome | Silence) -> None:
        self._answers = deque(answers)
        self.requests: list[Request] = []
        """What was sent, in order."""
        self.cancelled = 0
        """How many requests were given up."""

    def _next(self, request: Request) -> Outcome | Silence:
        self.requests.append(request)
        if not self._answers:
            raise AssertionError(
                f"attempt {len(self.requests)}, and the script has no more answers"
            )
        return self._answers.popleft()

    @property
    def unused(self) -> int:
        """How many answers nobody has asked for."""
        return len(self._answers)


class ScriptedChannel(_Script):
    """A :class:`bee_core.interfaces.Channel`. Each ``start`` uses up one answer; one too many is an ``AssertionError``.

    A failure that says that nothing was sent comes from ``start``, as from a real channel, every other answer from ``wait``.
    """

    def __init__(self, *answers: Outcome | Silence) -> None:
        super().__init__(*answers)
        self._closed = Event()
        self.started = Event()
        """Set once the first request has been sent, for tests that close or interrupt a call under way."""

    def start(self, request: Request) -> ScriptedPending | Failure:
        """See :meth:`bee_core.interfaces.Channel.start`."""
        answer = self._next(request)
        self.started.set()
        if isinstance(answer, Failure) and answer.executed == "no":
            return answer
        return ScriptedPending(self, answer, self._closed)

    def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """See :meth:`bee_core.interfaces.Channel.ping`."""
        return "serving"

    def close(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.close`."""
        self._closed.set()

    def retire(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.retire`."""

    def discard_after_fork(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.discard_after_fork`."""


class ScriptedPending:
    """A request on a :class:`ScriptedChannel`."""

    def __init__(self, channel: ScriptedChannel, answer: Outcome | Silence, closed: Event) -> None:
        self._channel = channel
        self._answer = answer
        self._closed = closed

    def wait(self) -> Outcome:
        """See :meth:`bee_core.interfaces.Pending.wait`."""
        if isinstance(self._answer, Silence):
            self._closed.wait()
            return cancelled("the client was closed", sent=True)
        return self._answer

    def cancel(self) -> None:
        """See :meth:`bee_core.interfaces.Pending.cancel`."""
        self._channel.cancelled += 1


class AsyncScriptedChannel(_Script):
    """A :class:`bee_core.interfaces.AsyncChannel`, like :class:`ScriptedChannel`. Made on a running loop."""

    def __init__(self, *answers: Outcome | Silence) -> None:
        super().__init__(*answers)
        self._open: set[AsyncScriptedPending] = set()
        self.started = asyncio.Event()
        """Set once the first request has been sent."""

    def start(self, request: Request) -> AsyncScriptedPending:
        """See :meth:`bee_core.interfaces.AsyncChannel.start`."""
        pending = AsyncScriptedPending(self)
        answer = self._next(request)
        self.started.set()
        if isinstance(answer, Silence):
            self._open.add(pending)
        else:
            pending.reply.set_result(answer)
        return pending

    async def ping(
        self, timeout: float
    ) -> Literal["serving", "draining"] | Failure:  # the contract's argument
        """See :meth:`bee_core.interfaces.AsyncChannel.ping`."""
        return "serving"

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.close`."""
        while self._open:
            reply = self._open.pop().reply
            if not reply.done():
                reply.set_result(cancelled("the client was closed", sent=True))

    def retire(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.retire`."""


class AsyncScriptedPending:
    """A request on an :class:`AsyncScriptedChannel`."""

    def __init__(self, channel: AsyncScriptedChannel) -> None:
        self._channel = channel
        self.reply: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def cancel(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncPending.cancel`."""
        self._channel.cancelled += 1
        self.reply.cancel()
