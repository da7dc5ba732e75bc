"""The connections of a server that remembers its answers, by the numbers that it gives them.

A request may come late: its bytes wait somewhere while its caller repeats it on another connection.
The repetition names the connection of the first one. There the key is then **barred**: the first
one does not run any more, even if the server has long forgotten the key when it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BARRED = 1024
"""Keys that are barred on one connection at most; 16 kB of them."""


class Line:
    """A connection, as the endpoint knows it.

    Attributes:
        number: Its number, which the client was told.
        greeted: When its hello-ack was made, seconds of the endpoint's clock.
        barred: Keys of requests that do not run any more if they come on it.
    """

    __slots__ = ("barred", "greeted", "number")

    def __init__(self, number: bytes, greeted: float) -> None:
        self.number = number
        self.greeted = greeted
        self.barred: set[bytes] = set()

    def bar(self, key: bytes) -> bool:
        """See that no request with a key runs that comes on it later; False: there is no room."""
        if len(self.barred) >= MOST_BARRED:
            return False
        self.barred.add(key)
        return True


class ConnectionNumbers:
    """Gives numbers to connections. On the loop's thread only.

    Args:
        new_number: Makes a number that nobody can guess.
        clock: Seconds, monotonic.
    """

    __slots__ = ("_clock", "_lines", "_new_number")

    def __init__(self, new_number: Callable[[], bytes], clock: Callable[[], float]) -> None:
        self._new_number = new_number
        self._clock = clock
        self._lines: dict[bytes, Line] = {}

    def add(self) -> Line:
        """A connection has said hello; its hello-ack is made now."""
        line = Line(self._new_number(), self._clock())
        self._lines[line.number] = line
        return line

    def remove(self, line: Line) -> None:
        """A connection is gone: no request comes on it any more."""
        self._lines.pop(line.number, None)

    def find(self, number: bytes) -> Line | None:
        """The connection with a number, if it is still there."""
        return self._lines.get(number)
