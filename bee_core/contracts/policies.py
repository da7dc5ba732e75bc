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
    from ..terms.criticality import Criticality
    from ..terms.failures import Failure, Outcome
    from ..terms.metadata import Metadata
    from ..terms.node import Node


class Balancer(Protocol):
    """Picks the node of an attempt.

    One object a service; the factory gets the options. Thread-safe; ``pick`` should not lock.

    More is optional; bee asks for it once, when it makes the balancer:

    - ``twin()`` returns a copy as it is now, on which ``bee explain`` picks without any effect on
      calls. Without it a new balancer is asked instead. ``zone`` needs it of the balancer within.
    - ``after_fork()``: for one that holds a lock, or counts what is under way.
    - ``start_slowly(window)``: called once, before the first ``update``, where ``slow_start`` is
      set. A node that comes later gets ``max(10 %, age / window)`` of its weight, for ``window``
      seconds. Without this method ``slow_start`` is a ``ConfigError``.
    - ``listed(nodes)``: told of all nodes of the list, ready or not, before each ``update``. One
      that has it cannot be within another balancer of bee.
    - ``remark(node, now)`` returns what ``bee explain`` says of a node, in a few words: why it is
      preferred or not.
    - ``wants_load``: true where each reply is to carry the server's ``load``.
    - ``wants_method``: true where ``settle`` takes a fifth argument, with a default: the method's
      name. It is left out for a pick that was not used.
    - ``key_argument``: the argument whose value is the key of a call that states none, or None. Its
      text is that of a text or a whole number, ``true`` or ``false``; of bytes it is their hex
      digits. Any other value is an ``InvalidArgument``, and None is no key.
    """

    def update(self, ready: Sequence[Node]) -> None:
        """Take a new set of nodes that may be picked. Called on a change, never for a pick."""

    def pick(self, key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
        """A node among the ready ones whose id is not in ``tried``.

        Any other node ends the call with a ``PluginFault`` that names the balancer.

        Args:
            key: The call's routing key (``with_options(key=…)``), or None.
            tried: Ids of nodes that this call has tried or that gave no permit.
            now: Seconds of the calls' monotonic clock. For the first pick it is the start of the
                call, so it may lie a little before a ``now`` that ``settle`` has seen.
            rng: The source of randomness.

        Returns:
            A node, or None when none is left.
        """

    settle: Callable[[Node, Outcome | None, float, float], None] | None
    """``settle(node, outcome, seconds, now)`` is told how each pick ended.

    The outcome None is *given up*. ``seconds`` is how long the attempt took, 0 where none was made.
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
    """Decides what follows a failed attempt. Thread-safe. The factory gets the options.

    The core asks only when a retry is allowed at all: the failure permits it, ``retries`` are left,
    and the method is idempotent where nobody knows whether it ran. After the answer it still checks
    the deadline and the budget.

    More methods are optional. One that sends a second attempt beside a slow one defines ``hedge``,
    and may define ``may_hedge`` and ``settle``. They are asked for idempotent calls only.

    - ``hedge(history, now)`` returns the seconds after which a second attempt begins, or None. It
      is asked once an attempt; ``history`` is empty at the first.
    - ``may_hedge(now)`` is asked when they are over: it returns True, or False for no second
      attempt. So a policy can bound how many there are.
    - ``settle(outcome, seconds, now)`` is told how long each attempt took. The outcome None is
      *given up*: the other attempt was first.

    One that sends a call to several nodes defines ``targets``, and may define ``tolerates``.

    - ``targets(ready, rng)`` returns the ids of the nodes that the call goes to, or None for one
      node that the balancer picks.
    - ``tolerates(failed, of)`` says whether the call has a result though so many of its nodes
      failed. Without it, no node may.
    """

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """What to do after the last attempt of ``history``; None gives up.

        ``history`` has the attempts of one call, or those at one node where the call goes to
        several.
        """


class Permit(Protocol):
    """The permission to make one attempt or one call. Opaque to the core."""


BreakerState = Literal["closed", "open", "half-open"]
"""``closed``: calls pass. ``open``: the node is cut off and pinged.

``half-open``: it answers pings, and shows with single calls whether it works.
"""


class Change(NamedTuple):
    """A breaker's change of state."""

    node: Node
    before: BreakerState
    after: BreakerState


class Breaker(Protocol):
    """Watches one node; made by :meth:`Breakers.node`. Thread-safe.

    It may have an attribute ``standing: Permit | None``, read without a lock. While it is a permit,
    every attempt has this permit without ``admit``, and no attempt that is a success while it still
    stands is settled. So a breaker with nothing to count costs a call nothing. It is None as soon
    as the breaker wants to hear of successes.

    A breaker that counts successes need not give that up. Where its :class:`Breakers` have
    ``counting``, it has an attribute ``succeeded: Callable[[], object]``, and each success under
    the permit that stands is one call of it. It must be quick and must not lock:
    ``itertools.count().__next__`` is both. A oneway call that was sent is no success.

    It may define ``why(now)``: what cut the node off, in one sentence for people, and the empty
    text while it is closed. ``bee explain``, ``bee nodes`` and the log show it.
    """

    state: BreakerState
    """Read without a lock. An ``open`` node is not in the ready set."""

    def admit(self, now: float) -> Permit | None:
        """The permission for one attempt, or None."""

    def settle(
        self, permit: Permit, outcome: Outcome | None, seconds: float, now: float
    ) -> Change | None:
        """Take the verdict on an attempt.

        Args:
            permit: From :meth:`admit`; each one comes back once.
            outcome: How the attempt ended; None counts as no verdict.
            seconds: How long the attempt took.
            now: Seconds of the calls' monotonic clock.

        Returns:
            The change of ``state`` that the verdict made, or None.
        """

    def probed(self, ok: bool, now: float) -> Change | None:
        """Take the answer of a ping to a node that is cut off; the change of ``state`` or None."""


class Breakers(Protocol):
    """The breakers of one service's nodes. Thread-safe. The factory gets the options.

    One object a service, so that it can compare nodes and bound how many are cut off at a time. It
    may define ``forget(node)``, called when a node has left the list, and ``after_fork()``. It may
    also have:

    - ``resize(nodes)``, called with the number of the service's nodes after each change of the
      list, once ``forget`` has been called for those that left. It returns the changes that it
      made, such as nodes that come back because too few others are left.
    - ``counting = True``: its breakers count successes, see :class:`Breaker`.
    """

    def node(self, node: Node) -> Breaker:
        """A new breaker for a node, at the first call that goes there."""

    def sweep(self, now: float) -> tuple[Sequence[Change], float | None]:
        """What time alone decides, and decisions that compare nodes.

        Called once at build, and then by the control plane at the time that it asked for; never by
        a call.

        Returns:
            The changes that it made, and the moment of the next sweep; None: there is none.
        """


class AnyRequest(Protocol):
    """What a limiter sees of a call: the same at the client and at the server."""

    @property
    def service(self) -> str:
        """The service's name."""

    @property
    def method(self) -> str:
        """The method's full name."""

    @property
    def metadata(self) -> Metadata:
        """What the caller sends along, by name."""

    @property
    def baggage(self) -> Metadata:
        """The metadata that travels on with the calls that a handler makes."""

    @property
    def criticality(self) -> Criticality:
        """How important the call is. The least important calls are turned away first."""

    @property
    def deadline(self) -> float | None:
        """When the caller gives up, in seconds of the monotonic clock; None without a bound."""


class Ticket(Protocol):
    """A place in a limiter's queue.

    A limiter that turns a call away after it has waited gives its ticket an attribute ``refusal``.
    It is None, or, from before the callback on, the failure (``overloaded``) that ends the call.
    Then there is no permit.
    """

    timeout: float | None
    """Seconds that the caller may wait with it, or None: until the call's deadline."""

    def on_admitted(self, callback: Callable[[], None]) -> None:
        """Call back once, from any thread, as soon as it is decided: mostly with the permit."""

    def leave(self) -> bool:
        """Give the place up.

        False when the permit was granted meanwhile: then the caller must release it.
        """


class Limiter(Protocol):
    """Bounds the calls of one service that run at a time.

    One object a service, and one for each method with a ``limiter`` of its own; the factory gets
    the options. Thread-safe.
    """

    def admit(self, request: AnyRequest, now: float) -> Ticket | Literal[True] | Failure:
        """One permit for one call.

        Args:
            request: The call that asks. It must not be changed.
            now: Seconds of the monotonic clock.

        Returns:
            True at once, a ticket to wait with, or a failure (``overloaded``) when the queue is
            full.
        """

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """Give a permit back, once for each permit. ``seconds`` is how long it was held.

        An exception means that the permit is still out: ``release(None, 0.0)`` follows, once. So
        give the permit back before anything that can fail, and never count below zero.
        """


class PastResult:
    """The result of a call, as its node sent it. Immutable.

    It shares nothing with the value that the application got: bytes are decoded anew for each
    answer, with the types of the call that is answered.

    Args:
        body: The encoded result.
        ended: When the call ended, in seconds of ``clock``.
        clock: Seconds, monotonic.
    """

    __slots__ = ("_clock", "body", "ended")

    def __init__(self, body: bytes, ended: float, clock: Callable[[], float]) -> None:
        self.body = body
        self.ended = ended
        self._clock = clock

    def age(self) -> float:
        """Seconds since the call ended."""
        return self._clock() - self.ended


class Fallback(Protocol):
    """Answers when a call could not. The factory gets the options. Thread-safe.

    One that answers with earlier results defines two more methods:

    - ``learn(request, result)`` is called for each call that a node answered, except oneway calls.
      ``request`` is the call as it was sent: ``method``, ``form`` and ``body`` (the encoded
      arguments), ``metadata``, ``baggage``. It must not be changed or kept. ``result`` is a
      :class:`PastResult`, to keep within bounds. It must be quick.
    - ``recall(request, error)`` returns the :class:`PastResult` to answer with, or None. It is
      asked before ``answer``, which is asked where it has none. ``detailed(…).age`` is its age.

    One that holds a lock may define ``after_fork()``. Without ``learn`` a call that succeeds is not
    looked at.
    """

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
