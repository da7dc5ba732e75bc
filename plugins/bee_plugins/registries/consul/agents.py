"""Consul's agents on the control plane's loop: py-consul's API, with requests sent by httpx.

py-consul takes the class that sends its requests as an argument. Its own two do not fit:
``requests`` blocks a thread that nothing can wake before its timeout. The aiohttp one has no bound
for a blocking query and decodes lists whole on the loop. asyncio can cancel the class here at any
moment. See ``docs/decisions/consul-client.md``.
"""

from __future__ import annotations

import contextlib
from functools import partialmethod
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import httpx
import msgspec
from consul import base

from bee_core.errors import RegistryError
from bee_plugins.registries.shared.node_record import UNREADABLE
from bee_plugins.registries.shared.servers import Rotation

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from bee_core.interfaces import Address

T = TypeVar("T")

_CLOSING = 1.0
"""Seconds for closing connections. Nobody waits for a peer's goodbye."""
_NOTHING = 'Service.ID == ""'
"""A filter that no instance passes: the answer is the index alone."""
_FILTERED = "X-Consul-Results-Filtered-By-ACLs"
_UNKNOWN = ("does not have associated TTL", "Unknown check", "Unknown service", "unknown service")
"""How versions of Consul say that they do not know a check or a service."""

_entries = msgspec.json.Decoder(list[msgspec.Raw])


class AgentTroubleError(ConnectionError):
    """An agent cannot answer (429 or 5xx). It has no leader, say. The message has its words."""


class UnknownHereError(AgentTroubleError):
    """The agent does not know the check or service."""


class HttpxClient(base.HTTPClient):  # type: ignore[misc]  # py-consul has no types
    """Sends py-consul's requests. The caller must bound each of them."""

    def __init__(
        self, host: str, port: int, scheme: str, transport: httpx.AsyncBaseTransport
    ) -> None:
        super().__init__(host, port, scheme)
        self._transport = transport

    async def send(
        self,
        method: str,
        callback: Callable[[base.Response], Any],
        path: str,
        params: Sequence[tuple[str, Any]] | None = None,
        *,
        data: str | bytes = "",
        headers: dict[str, str] | None = None,
        raw: bool = False,
    ) -> Any:
        """Send a request; py-consul's four methods are this one."""
        request = httpx.Request(method, self.uri(path, params), headers=headers, content=data)
        try:
            # The transport, not a client: that would log each heartbeat and follow redirects.
            response = await self._transport.handle_async_request(request)
            try:
                body = await response.aread()
            finally:
                await response.aclose()
        except (httpx.HTTPError, OSError) as error:  # OSError: a TLS alert after the handshake
            raise ConnectionError(
                f"Consul at {self.base_uri} is out of reach: {str(error) or type(error).__name__}"
            ) from error
        code = response.status_code
        if code != 404 and not 200 <= code < 300:
            raise self._refusal(code, body)
        content = body if raw else body.decode(errors="replace")
        return callback(base.Response(code, response.headers, content))

    def _refusal(self, code: int, body: bytes) -> Exception:
        said = " ".join(body.decode(errors="replace").split())[:300] or "nothing more"
        if code in {401, 403}:
            return RegistryError(
                f"Consul at {self.base_uri} refuses the credentials: {said}; set "
                "bee.rpc.registry.options.token to a token that may register (service:write) "
                "or watch (service:read, node:read)"
            )
        if code == 429 or code >= 500:
            unknown = any(words in said for words in _UNKNOWN)
            kind = UnknownHereError if unknown else AgentTroubleError
            return kind(f"Consul at {self.base_uri} answers {code}: {said}")
        return RegistryError(f"Consul at {self.base_uri} refuses the request ({code}): {said}")

    get = partialmethod(send, "GET")
    put = partialmethod(send, "PUT")
    post = partialmethod(send, "POST")
    delete = partialmethod(send, "DELETE")

    def close(self) -> None:
        """Does nothing. The transport belongs to all agents and closes with them."""


class AgentClient(base.Consul):  # type: ignore[misc]
    """py-consul's client of one agent, with some more questions. Its methods are coroutines.

    Attributes:
        where: Its url, for messages.

    Raises:
        RegistryError: Every request: the agent refuses it. The message says what to do.
        ConnectionError: Every request: the agent is out of reach, or :class:`AgentTroubleError`.
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
        self._sees_machine = False
        self._machine: str | None = None

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
            id_: Only the instance with this id.
            anywhere: Look in the datacenter of the options, not in the agent's own.

        Returns:
            The index to wait for changes from; the instances as Consul wrote them; whether Consul
            says that it left some out for lack of rights.
        """
        params = [("passing", "1"), *(self._datacenter if anywhere else ())]
        if id_ is not None:
            params.append(("filter", f'Service.ID == "{id_}"'))
        response = await self._ask(f"/v1/health/service/{name}", params)
        try:
            entries = [bytes(entry) for entry in _entries.decode(response.body)]
        except UNREADABLE as error:
            raise ConnectionError(f"{self.where} does not answer as Consul does: {error}") from None
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

    async def registered_here(self, id_: str) -> bytes | None:
        """An instance of this very agent that passes its checks, as Consul wrote it; or None."""
        try:
            response = await self._ask(f"/v1/agent/health/service/id/{id_}", [("format", "json")])
        except AgentTroubleError as error:
            if "AggregatedStatus" in str(error):  # 429 and 503 mean warning and critical
                return None
            raise
        return response.body if response.code == 200 else None

    async def owner(self, id_: str) -> dict[str, Any] | None:
        """The Meta of an instance of this very agent, whatever its checks say; or None."""
        response = await self._ask(f"/v1/agent/service/{id_}")
        return None if response.code == 404 else _member(response, "Meta")

    async def listed(self, id_: str) -> bool:
        """Whether the servers list an instance that passes here; True without rights to see it."""
        if self._machine is None:
            here = await self.registered_here(id_)
            if here is None:
                return True  # it does not pass now, or it has gone: the servers are not to blame
            self._machine = str(msgspec.json.decode(here)["Checks"][0]["Node"])
        response = await self._ask(
            f"/v1/catalog/node/{self._machine}", [("filter", f'ID == "{id_}"')]
        )
        listed = id_ in _member(response, "Services")
        self._sees_machine = (
            self._sees_machine or listed or await self.may_read("node", self._machine) is True
        )
        return listed or not self._sees_machine

    async def may_read(self, resource: str, name: str) -> bool | None:
        """Whether the token may see a service or a node; None if the agent does not say.

        Consul silently leaves out what a token may not see.
        """
        question = msgspec.json.encode([{"Resource": resource, "Access": "read", "Segment": name}])
        try:
            response = await self._ask("/v1/internal/acl/authorize", method="POST", data=question)
            if response.code == 404:
                return None
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

    def index(self, response: base.Response) -> int:
        """The index in an answer: where the next blocking read goes on."""
        try:
            # A query with index 0 would not wait. Consul's advice is to use 1 instead.
            return max(1, int(response.headers["X-Consul-Index"]))
        except (KeyError, ValueError):
            raise ConnectionError(
                f"{self.where} does not answer as Consul does: it states no index"
            ) from None


class Agents(Rotation[AgentClient]):
    """The clients of all agents. For one event loop.

    Args:
        addresses: Where the agents are.
        tls: For https, or None.
        token: ACL token; None for the environment's.
        datacenter: Where to look for services; None for the agents' own.
        seconds: How long one agent may take for one request.

    Attributes:
        seconds: As given.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        tls: ssl.SSLContext | None,
        token: str | None,
        datacenter: str | None,
        seconds: float,
    ) -> None:
        self.seconds = seconds
        # A query that waits keeps a connection, so there are as many as watched services.
        # Without TLS, True would read the system's certificates. Proxies are not for agents.
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=None
        )
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or False, limits=limits, trust_env=False
        )
        super().__init__(
            AgentClient(address, self._transport, token, datacenter) for address in addresses
        )
        self._closed = False

    async def ask(self, operation: Callable[[AgentClient], Awaitable[T]]) -> tuple[AgentClient, T]:
        """The first agent that answers, and its answer. The one that answered last comes first.

        Raises:
            RegistryError: An agent refuses: all agents would.
            OSError: No agent is in reach.
        """

        async def ask(agent: AgentClient, _: int) -> tuple[AgentClient, T]:
            return agent, await self.ask_one(agent, operation, self.seconds)

        return await self.ask_in_turn(ask)

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
                f"Consul at {agent.where} has said nothing for {seconds:g} s"
            ) from None

    async def another_than(self, agent: AgentClient) -> AgentClient | None:
        """Another agent that answers and has a leader. It is asked first from now on. Or None."""
        for other in self.servers:
            with contextlib.suppress(RegistryError, OSError):
                if other is not agent and await self.ask_one(
                    other, lambda agent: agent.status.leader(), self.seconds
                ):
                    self.current = other
                    return other
        return None

    async def close(self) -> None:
        """Close all connections, also those of queries that wait. Idempotent."""
        self._closed = True
        with anyio.move_on_after(_CLOSING):
            await self._transport.aclose()


def _member(response: base.Response, key: str) -> dict[str, Any]:
    """An object in the object that is the answer; empty if it is none."""
    answer = msgspec.json.decode(response.body)
    found = answer.get(key) if isinstance(answer, dict) else None
    return found if isinstance(found, dict) else {}
