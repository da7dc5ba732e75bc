"""The agents that the configuration names, asked in turn, each request with a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio
import httpx

from bee_core.errors import RegistryError
from bee_plugins.registries.consul.agent import AgentClient
from bee_plugins.registries.shared.rotation import Rotation
from bee_plugins.registries.shared.tls import https_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bee_core.addresses import Address
    from bee_plugins.registries.consul.options import ConsulOptions

T = TypeVar("T")

_CLOSING = 1.0
"""Seconds for closing connections. Nobody waits for a peer's goodbye."""


class Agents(Rotation[AgentClient]):
    """The clients of all agents. For one event loop.

    Args:
        addresses: Where the agents are.
        options: How to talk to them.
        seconds: How long one agent may take for one request.

    Attributes:
        seconds: As given.
    """

    def __init__(
        self, addresses: Sequence[Address], options: ConsulOptions, seconds: float
    ) -> None:
        self.seconds = seconds
        tls = https_context(options, addresses, verify=options.verify)
        # A query that waits keeps a connection, so there are as many as watched services.
        # Without TLS, True would read the system's certificates. Proxies are not for agents.
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=None
        )
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or False, limits=limits, trust_env=False
        )
        super().__init__(AgentClient(address, options, self._transport) for address in addresses)
        self._closed = False

    async def ask(self, operation: Callable[[AgentClient], Awaitable[T]]) -> tuple[AgentClient, T]:
        """Ask the agent that answered last, then the others, until one answers.

        Returns:
            The agent, and its answer.

        Raises:
            RegistryError: An agent refuses: all agents would.
            OSError: No agent is in reach. TimeoutError is one.
        """

        async def ask(agent: AgentClient, _: int) -> tuple[AgentClient, T]:
            return agent, await self.ask_one(agent, operation, self.seconds)

        return await self.ask_in_turn(ask)

    async def ask_one(
        self, agent: AgentClient, operation: Callable[[AgentClient], Awaitable[T]], seconds: float
    ) -> T:
        """Ask this agent, and wait so many seconds.

        Raises:
            RegistryError: It refuses.
            OSError: It is out of reach. TimeoutError if it is silent.
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

    async def another_than(self, agent: AgentClient) -> AgentClient | None:
        """Another agent that answers and has a leader. It is asked first from now on. Or None."""
        for other in self.servers:
            if other is agent:
                continue
            try:
                if await self.ask_one(other, lambda agent: agent.status.leader(), self.seconds):
                    self.current = other
                    return other
            except (RegistryError, OSError):
                continue
        return None

    async def close(self) -> None:
        """Close all connections, also those of queries that wait. Idempotent."""
        self._closed = True
        with anyio.move_on_after(_CLOSING):
            await self._transport.aclose()
