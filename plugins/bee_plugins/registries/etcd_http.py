"""Requests to one address of etcd: bounded in time and size, with every way to fail classed once.

``OSError`` and ``TimeoutError`` say that this address is of no use now; :class:`EtcdError` is etcd's answer.
httpx's transport is used and not its client, which would log each request, follow proxies of the environment, and add headers.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
from anyio import fail_after, move_on_after

from bee_core.errors import RegistryError
from bee_plugins.registries.etcd_messages import RESOURCE_EXHAUSTED, TRY_ELSEWHERE, read_error

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_ANSWER = 16 << 20
"""Bytes of one answer. A page of a list has some hundred thousand; it is cut smaller where values are large."""

_IDLE = 15.0
"""Seconds that an idle connection is kept: a heartbeat and more, so that renewals need no new one."""
_KEPT = 4
_CLOSING = 1.0
"""Seconds that taking leave of a connection may take."""


class EtcdError(RegistryError):
    """etcd's refusal of a request.

    Attributes:
        code: gRPC's.
        reason: etcd's words.
    """

    def __init__(self, address: str, code: int, reason: str) -> None:
        super().__init__(f"etcd at {address} says: {reason}")
        self.address = address
        self.code = code
        self.reason = reason


class AnswerTooLargeError(RegistryError):
    """More than :data:`LARGEST_ANSWER`."""


class HandshakeError(ConnectionError):
    """TLS failed: a certificate is not trusted or is missing."""


class EtcdHttp:
    """Makes requests. Belongs to one event loop; opens nothing before the first request.

    Args:
        tls: For ``https://`` addresses.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._closed = False

    async def post(
        self, address: str, path: str, content: bytes, token: str, within: float
    ) -> bytes:
        """A request with one answer.

        Args:
            address: ``http://host:port``.
            path: What follows.
            content: JSON.
            token: From etcd's authentication, or empty.
            within: Seconds for everything.

        Raises:
            EtcdError: etcd refuses.
            AnswerTooLargeError: The answer is.
            OSError: The address is of no use now; TimeoutError where it is silent.
        """
        try:
            with fail_after(within):
                response = await self._send(address, path, content, token)
                try:
                    body = await _read(response, address)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise TimeoutError(f"{address} did not answer within {within:.3g} s") from None
        except httpx.TransportError as error:
            raise _unreachable(address, error) from error
        if response.status_code != httpx.codes.OK:
            raise refusal(address, response.status_code, body)
        return body

    async def open(
        self, address: str, path: str, content: bytes, token: str, within: float
    ) -> httpx.Response:
        """A request with a stream of answers, as soon as it begins. Close it with :func:`close_response`.

        Raises:
            EtcdError: etcd refuses.
            OSError: The address is of no use now; TimeoutError where it is silent.
        """
        response = None
        try:
            with fail_after(within):
                response = await self._send(address, path, content, token)
                if response.status_code == httpx.codes.OK:
                    return response
                body = await _read(response, address)
        except TimeoutError:
            raise TimeoutError(f"{address} did not answer within {within:.3g} s") from None
        except httpx.TransportError as error:
            raise _unreachable(address, error) from error
        finally:
            if response is not None and response.status_code != httpx.codes.OK:
                await close_response(response)
        raise refusal(address, response.status_code, body)

    async def close(self) -> None:
        """Close all connections, within a bound. Idempotent."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            with move_on_after(_CLOSING):
                await transport.aclose()

    async def _send(self, address: str, path: str, content: bytes, token: str) -> httpx.Response:
        if self._closed:
            raise RegistryError("the registry object is closed")
        if self._transport is None:
            limits = httpx.Limits(
                max_connections=None, max_keepalive_connections=_KEPT, keepalive_expiry=_IDLE
            )
            # Without TLS no context is needed; True would read the system's certificates all the same.
            self._transport = httpx.AsyncHTTPTransport(
                verify=self._tls or False, limits=limits, trust_env=False
            )
        # A member that has lost its leader refuses instead of answering from what it remembers.
        headers = {"Content-Type": "application/json", "Grpc-Metadata-hasleader": "true"}
        if token:
            headers["Authorization"] = token
        return await self._transport.handle_async_request(
            httpx.Request("POST", address + path, headers=headers, content=content)
        )


async def _read(response: httpx.Response, address: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > LARGEST_ANSWER:
            raise AnswerTooLargeError(
                f"the answer of {address} is larger than {LARGEST_ANSWER} bytes"
            )
    return b"".join(parts)


async def close_response(response: httpx.Response) -> None:
    """Let go of a response that is not read to its end, and so of its connection. Bounded, never raises."""
    with move_on_after(_CLOSING):
        with contextlib.suppress(httpx.HTTPError, OSError):
            await response.aclose()


def refusal(address: str, status: int, body: bytes) -> EtcdError | RegistryError | OSError:
    """The exception for an answer that is an error."""
    found = read_error(body)
    if found is not None:
        return classed(address, *found)
    said = f"{address} answers {status} {body[:100].decode(errors='replace').strip()!r}"
    if status >= 500:
        return ConnectionError(said)
    return RegistryError(
        f"{said}, and not as the JSON gateway of etcd 3.4 or later: correct bee.rpc.registry.address (host, port, http:// or https://)"
    )


def classed(address: str, code: int, reason: str) -> EtcdError | OSError:
    """The exception for an error of etcd's: an OSError where another member, or this one a little later, may do."""
    if code in TRY_ELSEWHERE and not (code == RESOURCE_EXHAUSTED and "space" in reason):
        return ConnectionError(f"{address}: {reason}")
    return EtcdError(address, code, reason)


def lost(address: str, error: httpx.TransportError) -> OSError:
    """The exception for a stream that broke."""
    return ConnectionError(
        f"the watch of {address} broke: {str(error) or 'the connection was lost'}"
    )


def _unreachable(address: str, error: httpx.TransportError) -> OSError:
    reason = ""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return HandshakeError(f"TLS with {address} failed: {_tls_advice(cause)}")
        if isinstance(cause, socket.gaierror) and cause.strerror:
            reason = cause.strerror.lower()
        elif isinstance(cause, OSError) and cause.errno:
            reason = os.strerror(cause.errno).lower()  # asyncio puts words of its own in strerror
    if isinstance(error, httpx.TimeoutException):
        return TimeoutError(f"{address} did not answer in time")
    advice = (
        " (if etcd wants TLS, write https://)"
        if address.startswith("http:")
        and isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError))
        else ""
    )
    return ConnectionError(
        f"{address}: {reason or str(error) or 'the connection was lost'}{advice}"
    )


def _tls_advice(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); set bee.rpc.registry.options.ca, or the name that the certificate is for as the address"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "certificate" in reason:
        return f"it does not take this client's certificate ({reason}); set bee.rpc.registry.options.cert and key"
    return (
        f"{reason}; is http:// meant?" if "wrong version" in reason or "eof" in reason else reason
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
