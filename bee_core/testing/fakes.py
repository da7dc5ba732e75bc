"""A clock that moves when it is told to, randomness that repeats, channels that follow a script."""

from __future__ import annotations

import asyncio
from collections import deque
from io import UnsupportedOperation
from random import Random
from threading import Event
from typing import TYPE_CHECKING, Literal

import attrs

from bee_core.terms.causes import cancelled
from bee_core.terms.failures import Failure, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.terms.criticality import Criticality
    from bee_core.terms.metadata import Metadata
    from bee_core.terms.request import Request


class FakeClock:
    """Call it for the time in seconds, as ``time.monotonic``. Not thread-safe.

    It stands in wherever bee takes a ``clock``.

    Args:
        now: Where it begins. Not 0: so a test fails where code takes a time for a truth value.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: It would go backwards, which a monotonic clock never does.
        """
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot be advanced by {seconds} s")
        self.now += seconds


@attrs.frozen
class AnyCall:
    """A call as a limiter sees it; see :class:`bee_core.interfaces.AnyRequest`."""

    service: str
    method: str
    metadata: Metadata = attrs.field(factory=dict)
    baggage: Metadata = attrs.field(factory=dict)
    deadline: float | None = None
    criticality: Criticality = "critical"


def seeded_random(seed: int = 0) -> Random:
    """What bee takes as ``rng``, the same numbers each time."""
    return Random(seed)  # noqa: S311  # repeatable is the point


def seeded_bytes(seed: int = 0) -> Callable[[int], bytes]:
    """What bee takes as ``random_bytes``, the same bytes each time."""
    return Random(seed).randbytes  # noqa: S311  # repeatable is the point


class Silence:
    """An answer that never comes: the attempt is given up, or ends when the channel is closed."""


class _Script:
    """What both channels have.

    Attributes:
        requests: What was sent, in order.
        cancelled: How many requests were given up.
    """

    def __init__(self, *answers: Outcome | Silence) -> None:
        self._answers = deque(answers)
        self.requests: list[Request] = []
        self.cancelled = 0

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

    def retire(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.retire`."""


class ScriptedChannel(_Script):
    """A channel for the blocking client.

    Each ``start`` uses up one answer; one too many is an ``AssertionError``. A failure that says
    that nothing was sent comes from ``start``, as from a real channel. Every other answer comes
    from ``wait``.

    Attributes:
        started: Set once the first request was sent, for tests that close or interrupt a call.
    """

    def __init__(self, *answers: Outcome | Silence) -> None:
        super().__init__(*answers)
        self._closed = Event()
        self.started = Event()

    def start(self, request: Request) -> ScriptedPending | Failure:
        """See :meth:`bee_core.interfaces.Channel.start`."""
        answer = self._next(request)
        self.started.set()
        if isinstance(answer, Failure) and answer.executed == "no":
            return answer
        pending = request.pending = ScriptedPending(self, request, answer, self._closed)
        return pending

    def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """See :meth:`bee_core.interfaces.Channel.ping`."""
        return "serving"

    def close(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.close`."""
        self._closed.set()

    def discard_after_fork(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.discard_after_fork`."""


class ScriptedPending:
    """A request on a :class:`ScriptedChannel`."""

    def __init__(
        self, channel: ScriptedChannel, request: Request, answer: Outcome | Silence, closed: Event
    ) -> None:
        self._channel = channel
        self._request = request
        self._answer = answer
        self._closed = closed

    def wait(self, seconds: float | None = None) -> Outcome | None:
        """See :meth:`bee_core.interfaces.Pending.wait`."""
        answer: Outcome | Silence = self._answer
        if isinstance(answer, Silence):
            if not self._closed.wait(seconds):
                return None
            answer = cancelled("the client was closed", sent=True)
        self._request.pending = None
        return answer

    def fileno(self) -> int:
        """Raise: there is nothing to poll."""
        raise UnsupportedOperation("a scripted reply has no descriptor")

    def cancel(self) -> None:
        """See :meth:`bee_core.interfaces.Pending.cancel`."""
        self._request.pending = None
        self._channel.cancelled += 1


class AsyncScriptedChannel(_Script):
    """A channel for the asyncio client, like :class:`ScriptedChannel`. Made on a running loop."""

    def __init__(self, *answers: Outcome | Silence) -> None:
        super().__init__(*answers)
        self._open: set[AsyncScriptedPending] = set()
        self.started = asyncio.Event()

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

    async def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """See :meth:`bee_core.interfaces.AsyncChannel.ping`."""
        return "serving"

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.close`."""
        while self._open:
            reply = self._open.pop().reply
            if not reply.done():
                reply.set_result(cancelled("the client was closed", sent=True))


class AsyncScriptedPending:
    """A request on an :class:`AsyncScriptedChannel`."""

    def __init__(self, channel: AsyncScriptedChannel) -> None:
        self._channel = channel
        self.reply: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def cancel(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncPending.cancel`."""
        self._channel.cancelled += 1
        self.reply.cancel()
