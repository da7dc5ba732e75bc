"""How py-consul's requests are sent: by httpx on the control plane's loop.

py-consul takes the class that sends its requests as an argument. Its own two do not fit:
``requests`` blocks a thread that nothing can wake before its timeout. The aiohttp one has no bound
for a blocking query and decodes lists whole on the loop. asyncio can cancel the class here at any
moment. See ``docs/decisions/consul-client.md``.

Every answer is classed here. What Consul itself refuses is a RegistryError. What is out of reach,
cannot answer, or does not speak as Consul does is an OSError: a proxy's page says nothing of a
registration.
"""

from __future__ import annotations

from functools import partialmethod
from typing import TYPE_CHECKING, Any

import httpx
from consul import base

from bee_core.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_UNKNOWN = ("does not have associated TTL", "Unknown check", "Unknown service", "unknown service")
"""How versions of Consul say that they do not know a check or a service, with 404 or 500."""
_HEALTH = b'"AggregatedStatus"'
"""Stands in what an agent says of an instance's health, with a status of any class."""
_REFUSALS = {400, 405, 413}
_ACKNOWLEDGED = (b"", b"null", b"true")
"""What Consul answers to a PUT that it has carried out."""


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
        """Send a request; py-consul's four methods are this one.

        Raises:
            RegistryError: Consul refuses it.
            OSError: The agent is out of reach, or what answers is not Consul.
        """
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
        if not 200 <= code < 300 and _HEALTH not in body[:100]:
            raise self._refusal(code, body)
        if method == "PUT" and body.strip() not in _ACKNOWLEDGED:
            raise foreign(self.base_uri, f"it says {_words(body)} to a PUT")
        content = body if raw else body.decode(errors="replace")
        return callback(base.Response(code, response.headers, content))

    def _refusal(self, code: int, body: bytes) -> Exception:
        said = _words(body) or "nothing more"
        if code in {401, 403}:
            return RegistryError(
                f"Consul at {self.base_uri} refuses the credentials: {said}; set "
                "bee.rpc.registry.options.token to a token that may register (service:write) "
                "or watch (service:read, node:read)"
            )
        if any(words in said for words in _UNKNOWN):
            return UnknownHereError(f"Consul at {self.base_uri} answers {code}: {said}")
        if code == 429 or code >= 500:
            return AgentTroubleError(f"Consul at {self.base_uri} answers {code}: {said}")
        if code in _REFUSALS:
            return RegistryError(f"Consul at {self.base_uri} refuses the request ({code}): {said}")
        return foreign(self.base_uri, f"{code} {said}")

    get = partialmethod(send, "GET")
    put = partialmethod(send, "PUT")
    post = partialmethod(send, "POST")
    delete = partialmethod(send, "DELETE")

    def close(self) -> None:
        """Does nothing. The transport belongs to all agents and closes with them."""


def foreign(where: str, reason: object) -> ConnectionError:
    """The error for an answer that Consul would not give."""
    return ConnectionError(f"{where} does not answer as Consul does: {reason}")


def _words(body: bytes) -> str:
    return " ".join(body.decode(errors="replace").split())[:300]
