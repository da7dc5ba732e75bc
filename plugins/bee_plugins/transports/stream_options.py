"""The options that transports on sockets share."""

from __future__ import annotations

import attrs

from bee_core.options import Seconds  # noqa: TC001  read when the options are structured
from bee_core.streams.busy_poll import WINDOW

LONGEST = 0.01
"""Seconds: more is no moment any more."""


@attrs.frozen
class StreamOptions:
    """Options of ``tcp`` and ``unix``; servers have no use for them.

    Attributes:
        busy_poll: Seconds for which a blocking call of a thread that calls alone looks for its reply before it sleeps, where replies come that fast; 0 for not at all. Costs
            about as much of the processor as waking up does, and halves the time of a fast call.
    """

    busy_poll: Seconds = attrs.field(default=WINDOW)

    @busy_poll.validator
    def _check(self, attribute: object, value: float) -> None:
        if not 0 <= value <= LONGEST:
            raise ValueError(
                f"busy_poll is {value:g} s; write 0 for none, or a window of at most {LONGEST:g} s, which is spent on looking and not sleeping"
            )
