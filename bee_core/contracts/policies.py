"""What balancers, fault tolerances, breakers, limiters and fallbacks implement.

They decide; drivers carry their decisions out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from ..errors import CallError
    from ..terms.failures import Failure, Outcome
    from ..terms.node import Node


class Balancer(Protocol):
    """Picks the node of an attempt.

    One object a service; the factory gets the options. Thread-safe; ``pick`` should not lock.

    A balancer that keeps an order or counts may define ``twin()``. It returns a copy as it is now,
    on which ``bee explain`` picks without any effect on calls. Without it a new balancer is asked
    instead.
    """

    def update(self, ready: Sequence[Node]) -> None:
        """Take a new set of nodes that may be picked. Called on a change, never for a pick."""

    def pick(self, key: str | None, tried: Collection[str], rng: Random) -> Node | None:
        """A node among the ready ones whose id is not in ``tried``.

        Args:
            key: The call's routing key (``with_options(key=…)``), or None.
            tried: Ids of nodes that this call has tried or that gave no permit.
            rng: The source of randomness.

        Returns:
            A node, or None when none is left.
        """

    settle: Callable[[Node, Outcome | None, float], None] | None
    """``settle(node, outcome, now)`` is told how each pick ended; the outcome None is *given up*.
    A balancer that does not need it has None here, and nothing is called."""


@attrs.frozen
class Again:
    """Try again.

    Attributes:
        where: ``same``: the node of the last attempt. ``other``: a node that was not tried.
        delay: Seconds to wait before.
    """

    where: Literal["same", "other"]
    delay: float = 0.0


class Tried(NamedTuple):
    """One failed attempt of the call at hand."""

    node: Node
    failure: Failure


class FaultTolerance(Protocol):
    """Decides what follows a failed attempt. Stateless, thread-safe. The factory gets the options.

    The core asks only when a retry is allowed at all: the failure permits it, ``retries`` are left,
    and the method is idempotent where nobody knows whether it ran. After the answer it still checks
    the deadline and the budget.
    """

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """What to do after the last attempt of ``history``; None gives up."""


class Permit(Protocol):
    """The permission to make one attempt or one call. Opaque to the core."""


BreakerState = Literal["closed", "open", "half-open"]
"""``closed``: calls pass. ``open``: the node is cut off and pinged.

``half-open``: it answers pings, and shows with single calls whether it works.
"""


class Breaker(Protocol):
    """Watches one node. One object a node; the factory gets the options. Thread-safe."""

    state: BreakerState
    """Read without a lock. An ``open`` node is not in the ready set."""

    def admit(self, now: float) -> Permit | None:
        """The permission for one attempt, or None."""

    def settle(self, permit: Permit, outcome: Outcome | None, now: float) -> bool:
        """Take the verdict on an attempt; None counts as none. True when ``state`` changed."""

    def probed(self, ok: bool, now: float) -> bool:
        """Take the answer of a ping to a node that is cut off. True when ``state`` changed."""


class Ticket(Protocol):
    """A place in a limiter's queue."""

    timeout: float | None
    """Seconds that the caller may wait with it, or None: until the call's deadline."""

    def on_admitted(self, callback: Callable[[], None]) -> None:
        """Call back once, from any thread, as soon as the permit is there."""

    def leave(self) -> bool:
        """Give the place up.

        False when the permit was granted meanwhile: then the caller must release it.
        """


class Limiter(Protocol):
    """Bounds the calls of one service that run at a time.

    One object a service; the factory gets the options. Thread-safe.
    """

    def admit(self, now: float) -> Ticket | Literal[True] | Failure:
        """One permit for one call.

        Returns:
            True at once, a ticket to wait with, or a failure (``overloaded``) when the queue is
            full.
        """

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """Give a permit back. Exactly once for each permit. ``seconds`` is how long it was held."""


class Fallback(Protocol):
    """Answers when a call could not. The factory gets the options. Thread-safe."""

    def answer(
        self,
        service: str,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: CallError,
    ) -> Any:
        """The value to return instead of raising ``error``.

        It may also raise ``error`` or another exception.
        """
