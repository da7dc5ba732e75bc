"""Consul's agents on the control plane's loop: what is asked of one, and which one is asked.

The calls and paths are py-consul's. How a request is sent stands in ``http``, what the answers are
in ``answers``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import httpx
import msgspec
from consul import base

from bee_core.errors import RegistryError
from bee_plugins.registries.consul.answers import (
    Held,
    Service,
    agents_own,
    on_machine,
    raw_entries,
)
from bee_plugins.registries.consul.http import HttpxClient, foreign
from bee_plugins.registries.shared.node_record import UNREADABLE
from bee_plugins.registries.shared.servers import Rotation

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from bee_core.interfaces import Address

T = TypeVar("T")
U = TypeVar("U")

_CLOSING = 1.0
"""Seconds for closing connections. Nobody waits for a peer's goodbye."""
_IDLE = 60.0
"""Seconds after which a connection that nobody uses is closed: an agent accepts 200 from a host."""
_LATE = 0.5
"""Seconds after which an answer is late. Until then one connection does for two requests."""
_NOTHING = 'Service.ID == ""'
"""A filter that no instance passes: the answer is the index alone."""
_FILTERED = "X-Consul-Results-Filtered-By-ACLs"


class AgentClient(base.Consul):  # type: ignore[misc]
    """py-consul's client of one agent, with some more questions. Its methods are coroutines.

    Attributes:
        where: Its url, for messages.

    Raises:
        RegistryError: Every request: the agent refuses it. The message says what to do.
        ConnectionError: Every request: the agent is out of reach, cannot answer, or is none.
    """

    def __init__(
        self,
        address: Address,
        transport: httpx.AsyncBaseTransport,
        token: str | None,
        datacenter: str | None,
    ) -> None:
        self._transport = transport
        self._datacenter = [("dc", datacenter)] if datacenter else []
        host = f"[{address.host}]" if ":" in address.host else address.host
        super().__init__(host, address.port, scheme=address.scheme, dc=datacenter, verify=True)
        if token is not None:
            self.token = token  # as an argument, the environment's token would win
        self.where = address.url
        self._machine = ""
        # Whether the token may see the agent's machine; None while nobody has said.
        self._sees_machine: bool | None = None

    def http_connect(
        self, host: str, port: int, scheme: str, verify: bool | str = True, cert: Any = None
    ) -> HttpxClient:
        """See ``consul.base.Consul``."""
        return HttpxClient(host, port, scheme, self._transport)

    async def passing(
        self, name: str, id_: str | None = None, *, anywhere: bool = True
    ) -> tuple[int, list[bytes], bool]:
        """The instances of a service whose checks pass.

        Args:
            name: The service's name in Consul.
            id_: Only the instances with this id.
            anywhere: Look in the datacenter of the options, not in the agent's own.

        Returns:
            The index to wait for changes from; the instances as Consul wrote them; whether Consul
            says that it left some out for lack of rights.
        """
        params = [("passing", "1"), *(self._datacenter if anywhere else ())]
        if id_ is not None:
            params.append(("filter", f'Service.ID == "{id_}"'))
        response = await self._ask(f"/v1/health/service/{name}", params)
        entries = [bytes(entry) for entry in self._read(raw_entries, response)]
        return self.index(response), entries, response.headers.get(_FILTERED) == "true"

    async def wait_for_change(self, name: str, index: int, seconds: float) -> int:
        """A blocking query, for the index alone: a list would come also without a change.

        Returns:
            The index now. It is still ``index`` after ``seconds`` and up to a sixteenth more.
        """
        params = [
            ("passing", "1"),
            ("index", str(index)),
            ("wait", f"{seconds * 1000:.0f}ms"),
            ("filter", _NOTHING),
            *self._datacenter,
        ]
        return self.index(await self._ask(f"/v1/health/service/{name}", params))

    async def held_here(self, id_: str) -> Held | None:
        """Who has an id at this very agent, whatever the checks say; None if nobody has."""
        response = await self._ask(f"/v1/agent/health/service/id/{id_}", [("format", "json")])
        held = self._read(agents_own, response)
        self._machine = held.machine or self._machine
        return None if held.service is None else held

    async def held_anywhere(self, name: str, id_: str) -> tuple[Held | None, list[Held]]:
        """Who has an id.

        Returns:
            Who has it at this very agent, in the agent's own words, and all whose checks pass, in
            the words of the servers of its datacenter. These may be a little older.
        """
        here, (_, entries, _) = await _overlapping(
            lambda: self.held_here(id_), lambda: self.passing(name, id_, anywhere=False)
        )
        try:
            return here, [agents_own.decode(entry) for entry in entries]
        except UNREADABLE as error:
            raise foreign(self.where, error) from None

    async def shown(self, id_: str) -> Service | None:
        """An instance of this agent as clients see it; None if they do not.

        These are the words of the servers. If they lost their data, the agent tells them again only
        after a minute or two. The agent's own words count while its machine is unknown, or if the
        token may not see the machine.
        """
        if self._machine and self._sees_machine is not False:
            response = await self._ask(
                f"/v1/catalog/node/{self._machine}", [("filter", f'ID == "{id_}"')]
            )
            found = self._read(on_machine, response)
            service = None if found is None else (found.services or {}).get(id_)
            if service is not None:
                self._sees_machine = True
            elif self._sees_machine is None:
                self._sees_machine = await self.may_read("node", self._machine)
            if self._sees_machine:
                return service
        held = await self.held_here(id_)
        return None if held is None else held.service

    async def may_read(self, resource: str, name: str) -> bool | None:
        """Whether the token may see a service or a node; None if the agent does not say.

        Consul silently leaves out what a token may not see.
        """
        question = msgspec.json.encode([{"Resource": resource, "Access": "read", "Segment": name}])
        try:
            response = await self._ask("/v1/internal/acl/authorize", method="POST", data=question)
            return all(answer["Allow"] for answer in msgspec.json.decode(response.body))
        except RegistryError as error:
            return True if "ACL support disabled" in str(error) else None
        except (OSError, msgspec.MsgspecError, LookupError, TypeError):
            return None

    async def _ask(
        self,
        path: str,
        params: list[tuple[str, str]] | None = None,
        *,
        method: str = "GET",
        data: bytes = b"",
    ) -> base.Response:
        headers = self.prepare_headers()
        return await self.http.send(
            method, lambda response: response, path, params, data=data, headers=headers, raw=True
        )

    def _read(self, decoder: msgspec.json.Decoder[T], response: base.Response) -> T:
        try:
            return decoder.decode(response.body)
        except UNREADABLE as error:
            raise foreign(self.where, error) from None

    def index(self, response: base.Response) -> int:
        """The index in an answer: where the next blocking read goes on."""
        try:
            # A query with index 0 would not wait. Consul's advice is to use 1 instead.
            return max(1, int(response.headers["X-Consul-Index"]))
        except (KeyError, ValueError):
            raise foreign(self.where, "it states no index") from None


class Agents(Rotation[AgentClient]):
    """The clients of all agents. For one event loop.

    Args:
        addresses: Where the agents are.
        tls: For https, or None.
        token: ACL token; None for the environment's.
        datacenter: Where to look for services; None for the agents' own.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        tls: ssl.SSLContext | None,
        token: str | None,
        datacenter: str | None,
    ) -> None:
        # A query that waits keeps a connection, so there are as many as watched services.
        # Without TLS, True would read the system's certificates. Proxies are not for agents.
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE
        )
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or False, limits=limits, trust_env=False
        )
        super().__init__(
            AgentClient(address, self._transport, token, datacenter) for address in addresses
        )
        self._closed = False

    async def ask(
        self,
        operation: Callable[[AgentClient], Awaitable[T]],
        seconds: float,
        first: AgentClient | None = None,
    ) -> tuple[AgentClient, T]:
        """The agent that answers first, and its answer. The one that answered last begins.

        Args:
            operation: Asks one agent. It may run at several at once, so it changes nothing.
            seconds: How long each agent may take.
            first: The agent that begins instead.

        Raises:
            RegistryError: An agent refuses: all agents would.
            OSError: No agent is in reach.
        """

        async def ask(agent: AgentClient) -> tuple[AgentClient, T]:
            return agent, await self.ask_one(agent, operation, seconds)

        return await self.race(ask, first=first)

    async def ask_one(
        self, agent: AgentClient, operation: Callable[[AgentClient], Awaitable[T]], seconds: float
    ) -> T:
        """The answer of this agent, for which it has so many seconds.

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
                f"Consul at {agent.where} has said nothing for {seconds:.3g} s"
            ) from None

    async def close(self) -> None:
        """Close all connections, also those of queries that wait. Idempotent."""
        self._closed = True
        await self.settle()
        with anyio.move_on_after(_CLOSING):
            await self._transport.aclose()


async def _overlapping(
    one: Callable[[], Awaitable[T]], other: Callable[[], Awaitable[U]]
) -> tuple[T, U]:
    """The answers to two requests. The other one is sent beside the first if that is late."""
    first = asyncio.ensure_future(one())
    tasks: list[asyncio.Future[Any]] = [first]
    try:
        await asyncio.wait(tasks, timeout=_LATE)
        if first.done():
            return first.result(), await other()
        second = asyncio.ensure_future(other())
        tasks.append(second)
        return await asyncio.gather(first, second)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
