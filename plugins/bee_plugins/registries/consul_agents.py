"""The agents that the configuration names, tried in turn, each request within its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio
import httpx

from bee_core.errors import RegistryError
from bee_plugins.registries.consul_client import AgentClient

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from bee_core.interfaces import Address
    from bee_plugins.registries.consul_options import ConsulOptions

T = TypeVar("T")

_CLOSING = 1.0
"""Seconds for closing connections: nobody waits for a peer's goodbye."""


class Agents:
    """One of them is talked to for as long as it answers. For one event loop.

    Args:
        addresses: Where they are.
        options: How they are talked to.
        tls: For https.
        seconds: How long one agent may take for one thing that it is asked for.

    Attributes:
        seconds: As given.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        options: ConsulOptions,
        tls: ssl.SSLContext,
        seconds: float,
    ) -> None:
        self.seconds = seconds
        # A connection is kept for a query that waits, so there are as many as watched services; and proxies are not for agents.
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=None
        )
        self._transport = httpx.AsyncHTTPTransport(verify=tls, limits=limits, trust_env=False)
        self._agents = [AgentClient(address, options, self._transport) for address in addresses]
        self._current = 0
        self._closed = False

    async def ask(self, operation: Callable[[AgentClient], Awaitable[T]]) -> tuple[AgentClient, T]:
        """Ask the agent that answered last, then the others, until one answers.

        Returns:
            The agent, and its answer.

        Raises:
            RegistryError: One refuses: they all would.
            OSError: None is in reach. TimeoutError is one.
        """
        trouble: list[OSError] = []
        for _ in self._agents:
            agent = self._agents[self._current]
            try:
                return agent, await self.ask_one(agent, operation, self.seconds)
            except OSError as error:
                trouble.append(error)
                self.leave(agent)
        if len(trouble) == 1:
            raise trouble[0]
        raise ConnectionError("; ".join(map(str, trouble)))

    async def ask_one(
        self, agent: AgentClient, operation: Callable[[AgentClient], Awaitable[T]], seconds: float
    ) -> T:
        """Ask this agent, within so many seconds.

        Raises:
            RegistryError, OSError, TimeoutError: As :meth:`ask`.
        """
        if self._closed:
            raise RegistryError("the registry consul is closed")
        try:
            with anyio.fail_after(seconds):
                return await operation(agent)
        except TimeoutError:
            raise TimeoutError(
                f"Consul at {agent.where} has said nothing for {seconds:g} s"
            ) from None

    def leave(self, agent: AgentClient) -> None:
        """This agent does not answer: begin with the next one."""
        if self._agents[self._current] is agent:
            self._current = (self._current + 1) % len(self._agents)

    async def another_than(self, agent: AgentClient) -> AgentClient | None:
        """Another agent that answers and has a leader, which is asked from now on; or None."""
        for number, other in enumerate(self._agents):
            if other is agent:
                continue
            try:
                if await self.ask_one(other, lambda agent: agent.status.leader(), self.seconds):
                    self._current = number
                    return other
            except (RegistryError, OSError):
                continue
        return None

    async def close(self) -> None:
        """Close all connections, also those of queries that wait. Idempotent."""
        self._closed = True
        with anyio.move_on_after(_CLOSING):
            await self._transport.aclose()
