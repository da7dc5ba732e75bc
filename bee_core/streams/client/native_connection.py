"""A blocking connection that writes a request and waits for its reply in one native step.

It lets go of the interpreter's lock once a call, where the path in Python does it four times. What
is not the usual case goes that path: large bodies, oneway requests, what is left of a request that
the system did not take whole, replies in several chunks, and waits of more than a moment.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from ...terms.causes import not_sent
from ...terms.failures import Failure, Outcome, Success
from ...terms.metadata import NOTHING
from ...wire.protocol import LARGE
from .blocking_connection import STALE, BlockingConnection
from .busy_poll import waiting
from .native import STALE as SHOWED_SOMETHING

if TYPE_CHECKING:
    import socket

    from ...terms.request import Request
    from .leaving import Owner
    from .native import Exchange


class NativeConnection(BlockingConnection):
    """See :class:`BlockingConnection`. Its ``send`` waits for the reply, for a moment.

    Args:
        owner: The channel.
        sock: A plain socket.
        exchange: The native step.
    """

    __slots__ = ("_exchange", "_written")

    def __init__(self, owner: Owner, sock: socket.socket, exchange: Exchange) -> None:
        super().__init__(owner, sock)
        self._exchange = exchange
        # The step notes here whether the whole request has left. What it returns may get lost: a
        # handler of signals may raise as it returns.
        self._written = bytearray(b"\1")

    def send(self, request: Request) -> Failure | None:  # noqa: PLR0912  # all steps in place
        """See :meth:`BlockingConnection.send`."""
        if request.oneway or len(request.body) >= LARGE:
            self._written[0] = 1
            return super().send(request)
        now = self._clock()
        left = request.deadline - now
        full = request.read_timeout <= left
        if full:
            left = request.read_timeout
        if left <= 0:  # the request goes out all the same, and nobody waits
            self._written[0] = 1
            return super().send(request)
        served = self._served
        if served and now - self.idle_since > self._owner.settings.max_idle:
            return STALE
        encoded = self._encode(request, now)
        if isinstance(encoded, Failure):
            return STALE if served and self.stale() else encoded
        data = encoded[0]  # the body is in it
        self._until, self._full = now + left, full
        self._written[0] = 0
        self._id = self._protocol.last_id
        busy_poll, look = self._owner.busy_poll, 0.0
        try:
            waiting.add(self)
            if busy_poll is not None and busy_poll.worth_it and len(waiting) == 1:
                look = min(busy_poll.window, left)
            said = self._exchange(
                self._sock.fileno(),
                self._written,
                served,
                data,
                request.moment if left > 1.0 else min(ceil((left - look) * 1000), request.moment),
                look,
            )
            if busy_poll is not None:
                if look:
                    busy_poll.looked(self._clock() - now)
                else:
                    busy_poll.waited(self._clock() - now)
        except OSError as error:
            if self._interrupts(error):
                raise
            if not self._written[0]:
                return not_sent(error, reused=served)
            said = None
            self._said = error
        finally:
            waiting.discard(self)
        if isinstance(said, bytes):
            self._said = said
            return None
        return None if said is None else self._go_on(request, data, said, now)

    def _go_on(self, request: Request, data: bytes, said: int, now: float) -> Failure | None:
        """The step ended before the whole request had left."""
        if said == SHOWED_SOMETHING:
            return STALE
        self._until = 0.0  # the wait begins when the rest is written
        failure = self._write_rest(request, data, None, said, now)
        if failure is None:
            self._written[0] = 1
        return failure

    def wait(self, seconds: float | None = None) -> Outcome | None:
        """See :meth:`bee_core.interfaces.Pending.wait`."""
        said, protocol = self._said, self._protocol
        # As in the base class: nearly always the first chunk is the whole reply and nothing else.
        if (
            type(said) is bytes
            and protocol.ack is not None
            and (body := protocol.sole_response(self._id, said)) is not None
        ):
            self._said = None
            self._until = 0.0
            self._served = True
            self._owner.release(self, protocol.usable)
            return Success(body, NOTHING, protocol.epoch)
        return super().wait(seconds)

    def _is_out(self) -> bool:
        """See :class:`BlockingConnection`."""
        return self._written[0] == 1 and super()._is_out()
