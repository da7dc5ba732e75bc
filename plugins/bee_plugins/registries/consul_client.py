"""py-consul on the control plane's loop: its API and its requests, sent by httpx.

py-consul leaves the sending to a class that one can hand in. Its own two do not fit: ``requests`` blocks a thread that nothing can wake before its timeout, and the aiohttp one
has no bound for a blocking query and decodes every list whole on the loop. So here is a third, which asyncio can cancel at any moment. See ``docs/decisions/consul-client.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from consul import base

from bee_core.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bee_core.interfaces import Address
    from bee_plugins.registries.consul_options import ConsulOptions

_NOTHING = 'Service.ID == ""'
"""A filter that no instance passes: the answer is the index alone."""
_FILTERED = "X-Consul-Results-Filtered-By-ACLs"

_entries = msgspec.json.Decoder(list[msgspec.Raw])


class AgentTroubleError(ConnectionError):
    """An agent answers that it cannot (5xx): it has no leader, say, or does not know what it is asked about.

    Attributes:
        said: Its own words.
    """

    def __init__(self, where: str, code: int, said: str) -> None:
        super().__init__(f"Consul at {where} answers {code}: {said}")
        self.said = said


class HttpxClient(base.HTTPClient):  # type: ignore[misc]  # py-consul has no types
    """Sends py-consul's requests. Every one must be bounded by whoever awaits it."""

    def __init__(
        self, host: str, port: int, scheme: str, transport: httpx.AsyncBaseTransport
    ) -> None:
        super().__init__(host, port, scheme)
        self._transport = transport

    async def _send(
        self,
        method: str,
        callback: Callable[[base.Response], Any],
        path: str,
        params: Sequence[tuple[str, Any]] | None,
        headers: dict[str, str] | None,
        data: str | bytes = "",
        raw: bool = False,
    ) -> Any:
        request = httpx.Request(method, self.uri(path, params), headers=headers, content=data)
        try:
            # The transport itself: a client around it would write a line into the log for each heartbeat, and follow redirects.
            response = await self._transport.handle_async_request(request)
            try:
                body = await response.aread()
            finally:
                await response.aclose()
        except (
            httpx.HTTPError,
            OSError,
        ) as error:  # an alert of TLS after the handshake comes as it is
            raise ConnectionError(
                f"Consul at {self.base_uri} is out of reach: {str(error) or type(error).__name__}"
            ) from error
        code = response.status_code
        if code != 404 and not 200 <= code < 300:
            raise self._refusal(code, body.decode(errors="replace"))
        return callback(
            base.Response(code, response.headers, body if raw else body.decode(errors="replace"))
        )

    def _refusal(self, code: int, body: str) -> Exception:
        said = " ".join(body.split())[:300] or "nothing more"
        if code in {401, 403}:
            return RegistryError(
                f"Consul at {self.base_uri} refuses the credentials: {said}; set bee.rpc.registry.options.token to a token that may "
                "register (service:write) or watch (service:read, node:read)"
            )
        if code == 429 or code >= 500:
            return AgentTroubleError(self.base_uri, code, said)
        return RegistryError(f"Consul at {self.base_uri} refuses the request ({code}): {said}")

    async def get(
        self,
        callback: Any,
        path: str,
        params: Any = None,
        headers: dict[str, str] | None = None,
        raw: bool = False,
    ) -> Any:
        """See ``consul.base.HTTPClient``."""
        return await self._send("GET", callback, path, params, headers, raw=raw)

    async def put(
        self,
        callback: Any,
        path: str,
        params: Any = None,
        data: str | bytes = "",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """See ``consul.base.HTTPClient``."""
        return await self._send("PUT", callback, path, params, headers, data)

    async def post(
        self,
        callback: Any,
        path: str,
        params: Any = None,
        data: str | bytes = "",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """See ``consul.base.HTTPClient``."""
        return await self._send("POST", callback, path, params, headers, data)

    async def delete(
        self,
        callback: Any,
        path: str,
        params: Any = None,
        data: str | bytes = "",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """See ``consul.base.HTTPClient``."""
        return await self._send("DELETE", callback, path, params, headers, data)

    def close(self) -> None:
        """The transport belongs to all agents, and is closed with them."""


class AgentClient(base.Consul):  # type: ignore[misc]
    """py-consul's client of one agent, and the questions that it has no words for. Methods are to be awaited.

    Attributes:
        where: Its url, for messages.

    Raises:
        RegistryError: From every request: the agent refuses it. The message says what to do.
        ConnectionError: The agent is out of reach, or cannot answer (:class:`AgentTroubleError`).
    """

    def __init__(
        self, address: Address, options: ConsulOptions, transport: httpx.AsyncBaseTransport
    ) -> None:
        self._transport = transport
        host = f"[{address.host}]" if ":" in address.host else address.host
        super().__init__(
            host, address.port, scheme=address.scheme, dc=options.datacenter, verify=True
        )
        if options.token is not None:
            self.token = (
                options.token
            )  # handed to py-consul, it would count less than the environment
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
            id_: Only the one with this id.
            anywhere: In the datacenter of the options, else in the agent's own.

        Returns:
            The index to wait for changes from; the instances as Consul wrote them; whether Consul says that it left some out for lack of rights.
        """
        params = [("passing", "1")]
        if anywhere and self.dc:
            params.append(("dc", self.dc))
        if id_ is not None:
            params.append(("filter", f'Service.ID == "{id_}"'))
        response = await self._service(name, params)
        try:
            entries = [bytes(entry) for entry in _entries.decode(response.body)]
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ConnectionError(f"{self.where} does not answer as Consul does: {error}") from None
        return self._index(response), entries, response.headers.get(_FILTERED) == "true"

    async def wait_for_change(self, name: str, index: int, seconds: float) -> int:
        """A blocking query, which brings the index alone: the list would come with it also when nothing has changed.

        Returns:
            The index now: another one than ``index`` after a change, or the same after ``seconds``, to which Consul adds up to a sixteenth.
        """
        params = [
            ("passing", "1"),
            ("index", str(index)),
            ("wait", f"{seconds * 1000:.0f}ms"),
            ("filter", _NOTHING),
        ]
        if self.dc:
            params.append(("dc", self.dc))
        return self._index(await self._service(name, params))

    async def registered_here(self, id_: str) -> bytes | None:
        """An instance that is registered with this very agent and passes its checks, as Consul wrote it; None where there is none."""
        try:
            response = await self.http.get(
                _as_it_is,
                f"/v1/agent/health/service/id/{id_}",
                params=[("format", "json")],
                headers=self.prepare_headers(),
                raw=True,
            )
        except AgentTroubleError as error:
            if "AggregatedStatus" in error.said:  # 429 and 503 are how it says warning and critical
                return None
            raise
        return response.body if response.code == 200 else None

    async def owner(self, id_: str) -> dict[str, Any] | None:
        """The Meta of an instance that is registered with this very agent, whatever its checks say."""
        response = await self.http.get(
            _as_it_is, f"/v1/agent/service/{id_}", headers=self.prepare_headers(), raw=True
        )
        return (
            None
            if response.code == 404
            else _object(_object(msgspec.json.decode(response.body)).get("Meta"))
        )

    async def listed(self, id_: str) -> bool:
        """Whether Consul's servers list an instance that passes its check at this agent; also True where the token may not see the agent's machine."""
        if self._machine is None:
            here = await self.registered_here(id_)
            if here is None:
                return (
                    True  # it does not pass at this moment, or has gone: no matter of the servers
                )
            self._machine = str(msgspec.json.decode(here)["Checks"][0]["Node"])
        response = await self.http.get(
            _as_it_is,
            f"/v1/catalog/node/{self._machine}",
            params=[("filter", f'ID == "{id_}"')],
            headers=self.prepare_headers(),
            raw=True,
        )
        listed = id_ in _object(_object(msgspec.json.decode(response.body)).get("Services"))
        self._sees_machine = (
            self._sees_machine or listed or await self.may_read("node", self._machine) is True
        )
        return listed or not self._sees_machine

    async def may_read(self, resource: str, name: str) -> bool | None:
        """Whether the token may see a service or a node; None where the agent does not say. Consul leaves out without a word what one may not see."""
        question = msgspec.json.encode([{"Resource": resource, "Access": "read", "Segment": name}])
        try:
            response = await self.http.post(
                _as_it_is,
                "/v1/internal/acl/authorize",
                data=question,
                headers=self.prepare_headers(),
            )
            return (
                None
                if response.code == 404
                else all(answer["Allow"] for answer in msgspec.json.decode(response.body))
            )
        except RegistryError as error:
            return True if "ACL support disabled" in str(error) else None
        except (OSError, msgspec.MsgspecError, LookupError, TypeError):
            return None

    async def _service(self, name: str, params: list[tuple[str, str]]) -> base.Response:
        return await self.http.get(
            _as_it_is,
            f"/v1/health/service/{name}",
            params=params,
            headers=self.prepare_headers(),
            raw=True,
        )

    def _index(self, response: base.Response) -> int:
        try:
            # 0 would not wait; Consul's own advice is to take it for 1.
            return max(1, int(response.headers["X-Consul-Index"]))
        except (KeyError, ValueError):
            raise ConnectionError(
                f"{self.where} does not answer as Consul does: it states no index"
            ) from None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_it_is(response: base.Response) -> base.Response:
    return response
