"""Several servers of which any will do, asked in turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

S = TypeVar("S")
T = TypeVar("T")


class Rotation(Generic[S]):
    """A server that answers is kept. One that fails is left for the next. For one event loop.

    Args:
        servers: At least one.

    Attributes:
        servers: The same.
        current: The server to ask first.
    """

    def __init__(self, servers: Iterable[S]) -> None:
        self.servers = tuple(servers)
        self.current = self.servers[0]

    def leave(self, server: S) -> None:
        """This server does not answer: begin with the next one."""
        if self.current == server:
            self.current = self.servers[(self.servers.index(server) + 1) % len(self.servers)]

    async def ask_in_turn(self, ask: Callable[[S, int], Awaitable[T]], only: S | None = None) -> T:
        """The first answer.

        Args:
            ask: Asks one server. It also gets the number of servers that are left, this one
                included, so that it can share out the time.
            only: Ask this server alone.

        Raises:
            OSError: No server answered. TimeoutError if all were silent. Its cause is the last
                server's error.
        """
        first = self.servers.index(self.current)
        servers = (*self.servers[first:], *self.servers[:first]) if only is None else (only,)
        problems: list[OSError] = []
        for index, server in enumerate(servers):
            try:
                return await ask(server, len(servers) - index)
            except OSError as error:  # noqa: PERF203  a round trip costs more
                problems.append(error)
                self.leave(server)
            except asyncio.CancelledError:
                self.leave(server)  # the caller may have lost patience with this server
                raise
        if len(problems) == 1:
            raise problems[0]
        silent = all(isinstance(problem, TimeoutError) for problem in problems)
        kind = TimeoutError if silent else ConnectionError
        raise kind("; ".join(map(str, problems))) from problems[-1]
