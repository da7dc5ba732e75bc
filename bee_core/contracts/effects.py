"""What the call flow asks its driver to do. The driver sends back the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Union, final

import msgspec

if TYPE_CHECKING:
    from .policies import Ticket


@final
class Attempt(msgspec.Struct, eq=False):
    """Send the call on this channel and wait for the reply. Answered with an ``Outcome``.

    One object a node, since nothing in it changes.
    """

    channel: Any


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


Effect = Union[Attempt, Pause, Queue]
