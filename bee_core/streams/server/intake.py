"""When a server's connection takes frames from its client, and when it takes none.

It takes none while

- the client leaves replies unread, or its share of the memory is full of results that wait for a
  compressor (both: ``held_up``),
- the connection holds its share of the memory,
- a large frame waits for memory,
- frames that were read with others are kept for the next turns of the loop.

Then nothing is read from the socket either. What was read already is kept, in order; so are
handlers that have not begun and results that are not encoded ("parked").
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from ...contracts.memory_bound import MemoryBound, MemoryShare, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...wire.frames import Frame

TURN = 64
"""Frames that a connection takes in one turn of the loop. One read can bring thousands of small
ones, and the other connections and the handlers that began have their turn in between."""


_NOTHING: deque[Callable[[], None]] = deque(maxlen=0)
"""What idle connections have parked. An empty deque takes 760 bytes, so all share this one."""


class Owner(Protocol):
    """What it needs of the listener."""

    memory: MemoryBound
    loop: asyncio.AbstractEventLoop

    def relieve(self) -> None:
        """The process holds more than it may: cut off who leaves its replies unread for longest."""


class Intake(asyncio.Protocol):
    """The half of a connection that decides when to read.

    Attributes:
        address: The client's, for people.
        host: Its address without the port, or None where the transport has none.
        memory: What is counted for this connection.
        held_up: See :class:`bee_core.interfaces.InboundCall`.
        full: No frame is to be taken.
        reading: Whether bytes are taken from the socket.
        partial_since: Since when a frame, or the hello, is not complete; or None.
        paused_since: Since when the client leaves replies unread; or None.
        refused_since: Since when our half is closed; or None. Input is then thrown away.
    """

    def __init__(self, owner: Owner) -> None:
        self._loop = owner.loop
        self._relieve = owner.relieve
        self._transport: Any = None
        self._writer: Any = None
        self.memory = MemoryShare(owner.memory, self._relieved)
        self.address = ""
        self.host: str | None = None
        self.held_up = False
        self.full = False
        self.reading = True
        self._packing = 0
        self._unread = 0
        self._kept: list[Frame] = []
        self._kept_since = 0.0
        self._parked = _NOTHING
        # Of a frame of which a part has come: what it will have, and the wait for that memory.
        self._booked = 0
        self._turn: Turn | None = None
        self._goes_on = False
        self.partial_since: float | None = None
        self.paused_since: float | None = None
        self.refused_since: float | None = None

    def _some_of(self, complete: list[Frame]) -> list[Frame]:
        """The frames to take now; the others are kept."""
        complete = [*self._kept, *complete]
        most = 0 if self.full else TURN
        self._keep(complete[most:])
        return complete[:most]

    def _keep(self, complete: list[Frame]) -> None:
        self._kept = complete
        if not complete:
            self._kept_since = 0.0
        elif not self._kept_since:
            self._kept_since = self._loop.time()
        self._read_or_not()

    def _read_or_not(self) -> None:
        wanted = not (self.full or self._kept or self._turn)
        if wanted == self.reading or self._transport.is_closing():
            return
        self.reading = wanted
        if not wanted:
            self._transport.pause_reading()
            return
        if self.partial_since is not None:
            # Its time begins anew: meanwhile it was the server that did not read.
            self.partial_since = self._loop.time()
        self._transport.resume_reading()

    def _look_up(self) -> None:
        """See whether the connection is held up, and go on if it is not any more."""
        taken = self.refused_since is None
        self.held_up = taken and (
            self.paused_since is not None or self._packing >= self.memory.bound.share
        )
        # What was granted to the frame that is read now is no reason not to read it.
        frame = self._booked if self._turn is None else 0
        used_up = self.memory.held - frame >= self.memory.bound.share
        self.full = self.held_up or (taken and used_up)
        self._read_or_not()
        if not self.held_up:
            self._go_on_soon()

    def packs(self, size: int) -> None:
        """See :class:`bee_core.interfaces.InboundCall`."""
        self._packing += size
        self.memory.give_back(-size)
        self._look_up()

    def _relieved(self) -> None:
        self._loop.call_soon(self._look_up)

    def _go_on_soon(self) -> None:
        if (self._parked or self._kept) and not self._goes_on:
            self._goes_on = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self.held_up:
            return
        if self._parked:
            # One at a time: its reply may be what the client does not read.
            self._parked.popleft()()
        elif self._kept and not self.full and self.refused_since is None:
            self.data_received(b"")
        if self._parked or not self.full:
            self._go_on_soon()

    def abort(self) -> None:
        """Close now."""
        self._forget_unread()
        self._transport.abort()

    def when_room(self, go_on: Callable[[], None]) -> None:
        """See :class:`bee_core.interfaces.InboundCall`."""
        if self._parked is _NOTHING:
            self._parked = deque()
        self._parked.append(go_on)
        self._go_on_soon()

    @property
    def parks(self) -> bool:
        """Whether requests that have begun wait until the client reads."""
        return bool(self._parked)

    def _book(self, size: int) -> None:
        """Wait for the memory of a frame before the rest of it is read."""
        self._booked = size
        self._turn = self.memory.reserve(size, self._have_memory)
        self._read_or_not()

    def _have_memory(self) -> None:
        self._turn = None
        self._look_up()

    def _unbook(self) -> None:
        booked, self._booked = self._booked, 0
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.leave()
        elif booked:
            self.memory.give_back(booked)

    def _let_go(self) -> None:
        """Nothing more is taken from the client, and nobody answers it any more."""
        self._keep([])
        self._unbook()
        self._look_up()

    def pause_writing(self) -> None:
        """The client does not read its replies. Take no more requests until it does."""
        self.paused_since = self._loop.time()
        self.memory.bound.slow[self] = None
        self.count_unread()
        self._look_up()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.paused_since = None
        self.memory.bound.slow.pop(self, None)
        self.count_unread()
        self._look_up()

    def count_unread(self) -> None:
        """Count what the client leaves unread; nothing as long as it is little."""
        paused = self.paused_since is not None
        size = self._transport.get_write_buffer_size() if paused else 0
        self._leaves_unread(size - self._unread)

    def _leaves_unread(self, more: int) -> None:
        self._unread += more
        memory = self.memory.bound
        memory.unread += more
        if more > 0 and memory.unread > memory.half:
            self._relieve()

    def _forget_unread(self) -> None:
        self.paused_since = None
        self.memory.bound.slow.pop(self, None)
        self._leaves_unread(-self._unread)

    def _flush(self) -> None:
        """Hand over what was written, and see whether the client reads it."""
        self._writer.corked = False
        self._writer.flush()
        self._writer.corked = True
