"""rpyc, as its tutorial has it: ``ThreadedServer`` and ``rpyc.connect``.

A dict would go by reference, and each look into it would be a call of its own. The record goes as
nested tuples, which rpyc sends by value. Its connection is for one caller at a time.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..payloads import RECORD, RECORD_SIZE, data
from .contender import Contender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .contender import Call, Ready


def by_value(value: Any) -> Any:
    """The same with tuples in the place of lists and dicts."""
    if isinstance(value, dict):
        return tuple((key, by_value(one)) for key, one in value.items())
    return tuple(map(by_value, value)) if isinstance(value, list) else value


class Rpyc(Contender):
    """Threads at both ends."""

    title = "rpyc"
    setup = "`ThreadedServer`; a connection a thread; the record as tuples, which go by value"
    needs = ("rpyc",)

    def serve(self, ready: Ready) -> None:
        import rpyc

        class Echo(rpyc.Service):  # type: ignore[misc]
            def exposed_echo(self, value: Any) -> Any:
                return value

        server = rpyc.ThreadedServer(Echo, hostname="127.0.0.1", port=0, backlog=512)
        ready(server.port)
        server.start()

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        import rpyc

        value = by_value(RECORD) if size == RECORD_SIZE else data(size)

        def bound(connection: Any) -> Call:
            echo = connection.root.echo
            return lambda: echo(value)

        with ExitStack() as stack:
            connections = [
                stack.enter_context(rpyc.connect("127.0.0.1", port)) for _ in range(count)
            ]
            yield [bound(connection) for connection in connections]
