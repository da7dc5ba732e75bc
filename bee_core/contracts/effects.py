"""What the call flow asks its driver to do. The driver sends back the outcome."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Union, final

import msgspec

from ..terms.request import Request

if TYPE_CHECKING:
    from ..terms.failures import Outcome
    from ..terms.node import Node
    from .policies import Ticket


@final
class Attempt(msgspec.Struct, eq=False):
    """Send the call on this channel and wait for the reply. Answered with an ``Outcome``.

    One object a node, since nothing in it changes.
    """

    channel: Any


class Entrant(Request):
    """One of the attempts of a call that run at the same time: a request of its own.

    So each has its own ``pending``, and a channel knows nothing of the others.

    Attributes:
        node: The node.
        channel: The way to it. A driver may put its own channel to the same node there.
        moment, connect_within: See :class:`~bee_core.terms.request.Request`.
        begun: Set by the driver before it starts the request.
        outcome: Set by the driver once it has ended.
    """

    __slots__ = ("begun", "channel", "connect_within", "moment", "node", "outcome")

    def __init__(
        self, request: Request, node: Node, channel: Any, moment: int, connect_within: float = inf
    ) -> None:
        super().__init__(
            request.head,
            request.form,
            request.body,
            request.compressed,
            request.deadline,
            request.connect_timeout,
            request.write_timeout,
            request.read_timeout,
            request.dedupe_key,
        )
        self.oneway = request.oneway
        self.node = node
        self.channel = channel
        self.moment = moment
        self.connect_within = connect_within
        self.begun = False
        self.outcome: Outcome | None = None


@final
class Race(NamedTuple):
    """Start each of these that has not begun, and wait until one of them has ended.

    Answered with that one, which has its outcome then; or with None when ``seconds`` are over. The
    others go on. Whoever asked for the race gives them up or waits for them with the next one.
    """

    entrants: tuple[Entrant, ...]
    seconds: float | None


@final
class Pause(NamedTuple):
    """Wait. Answered with None, or with a failure when the client is closed meanwhile."""

    seconds: float


@final
class Queue(NamedTuple):
    """Wait for a limiter's permit until a moment of the clock.

    Answered with True, False (time is up), or a failure when the client is closed meanwhile.
    """

    ticket: Ticket
    until: float


Effect = Union[Attempt, Pause, Queue, Race]
