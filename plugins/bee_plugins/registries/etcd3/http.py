"""Requests to one address of etcd, with a bound for time and size.

This is the only place that classes a request's failures: ``OSError`` and ``TimeoutError`` mean
that the address is useless now, and :class:`EtcdError` is etcd's answer. httpx's transport is used,
not its client: the client logs each request, follows the environment's proxies and adds headers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
from anyio import fail_after, move_on_after

from bee_core.errors import RegistryError
from bee_plugins.registries.etcd3.messages import (
    NOT_FOUND,
    RESOURCE_EXHAUSTED,
    TRY_ELSEWHERE,
    UNAUTHENTICATED,
    read_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_ANSWER = 16 << 20
"""Bytes of one answer. A page of a list has some hundred thousand, since large values shrink it."""

_IDLE = 15.0
"""Seconds that an idle connection is kept: more than a heartbeat, so renewals reuse it."""
_KEPT = 4
_CLOSING = 1.0
"""Seconds that closing may take."""
_TAIL = 0.1
"""Seconds for the end of a stream after its only line. With it, the connection can be kept."""


class EtcdError(RegistryError):
    """etcd refuses a request.

    Attributes:
        code: gRPC's code.
        reason: etcd's words.
    """

    def __init__(self, address: str, code: int, reason: str) -> None:
        super().__init__(f"etcd at {address} says: {reason}")
        self.address = address
        self.code = code
        self.reason = reason

    @property
    def says_no_lease(self) -> bool:
        """Whether a lease does not exist."""
        return self.code == NOT_FOUND


class AnswerTooLargeError(RegistryError):
    """An answer has more than :data:`LARGEST_ANSWER` bytes."""


class TlsFailedError(ConnectionError):
    """A certificate is missing or is not trusted. No later try will succeed."""


class EtcdHttp:
    """Makes requests. For one event loop; opens nothing before the first request.

    Args:
        tls: For ``https://`` addresses.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=_KEPT, keepalive_expiry=_IDLE
        )
        # Without TLS, True would read the system's certificates, which are not needed.
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or False, limits=limits, trust_env=False
        )
        self._closed = False

    async def post(
        self,
        address: str,
        path: str,
        content: bytes,
        token: str,
        within: float,
        *,
        line: bool = False,
    ) -> bytes:
        """The answer to a request.

        Args:
            address: ``http://host:port``.
            path: What follows.
            content: JSON.
            token: From etcd's authentication, or empty.
            within: Seconds for everything.
            line: The answer is the first line of a stream.

        Raises:
            EtcdError: etcd refuses.
            AnswerTooLargeError: The answer is too large.
            OSError: The address is useless now; TimeoutError if it is silent.
        """
        with _bounded(address, within):
            response = await self._begin(address, path, content, token)
            try:
                return await _read(response, address, line=line)
            finally:
                await response.aclose()

    async def open(
        self, address: str, path: str, content: bytes, token: str, within: float
    ) -> httpx.Response:
        """A stream of answers, as soon as it begins. Close it with :func:`close_response`.

        Raises:
            EtcdError: etcd refuses.
            OSError: The address is useless now; TimeoutError if it is silent.
        """
        with _bounded(address, within):
            return await self._begin(address, path, content, token)

    async def close(self) -> None:
        """Close all connections, within a bound. Idempotent."""
        self._closed = True
        with move_on_after(_CLOSING):
            await self._transport.aclose()

    async def _begin(self, address: str, path: str, content: bytes, token: str) -> httpx.Response:
        if self._closed:
            raise RegistryError("the registry object is closed")
        # With this header a member without a leader refuses. Without it, it answers from memory.
        headers = {"Content-Type": "application/json", "Grpc-Metadata-hasleader": "true"}
        if token:
            headers["Authorization"] = token
        response = await self._transport.handle_async_request(
            httpx.Request("POST", address + path, headers=headers, content=content)
        )
        if response.status_code == httpx.codes.OK:
            return response
        try:
            body = await _read(response, address)
        finally:
            await close_response(response)
        raise _refusal(address, response.status_code, body)


@contextlib.contextmanager
def _bounded(address: str, within: float) -> Iterator[None]:
    """Bound the time of what is done with an address, and class its failures."""
    try:
        with fail_after(within):
            yield
    except TimeoutError:
        raise TimeoutError(f"{address} did not answer within {within:.3g} s") from None
    except httpx.TransportError as error:
        raise _unreachable(address, error) from error


async def _read(response: httpx.Response, address: str, *, line: bool = False) -> bytes:
    """The body, or its first line: a stream may end late, and nobody waits for that."""
    body = bytearray()
    parts = response.aiter_raw()
    async for part in parts:
        body += part
        if len(body) > LARGEST_ANSWER:
            raise AnswerTooLargeError(
                f"the answer of {address} is larger than {LARGEST_ANSWER} bytes"
            )
        if line and body.endswith(b"\n"):
            with contextlib.suppress(httpx.TransportError), move_on_after(_TAIL):
                await anext(parts, None)
            break
    return bytes(body)


async def close_response(response: httpx.Response) -> None:
    """Close a response that is not read to its end, with its connection. Bounded, never raises."""
    with move_on_after(_CLOSING):
        with contextlib.suppress(httpx.HTTPError, OSError):
            await response.aclose()


def _refusal(address: str, status: int, body: bytes) -> EtcdError | OSError:
    """The exception for an answer that is an error."""
    found = read_error(body)
    if found is not None:
        return classed(address, *found)
    said = f"{address} answers {status} {body[:100].decode(errors='replace').strip()!r}"
    return not_etcd(said) if status < 500 else ConnectionError(said)


def not_etcd(said: str) -> ConnectionError:
    """The exception for what etcd's gateway does not say, such as a proxy's page.

    A proxy may say it for a moment, so it is no refusal.
    """
    return ConnectionError(
        f"{said}, and not as the JSON gateway of etcd 3.4 or later: "
        "correct bee.rpc.registry.address (host, port, http:// or https://)"
    )


def classed(address: str, code: int, reason: str) -> EtcdError | OSError:
    """The exception for etcd's error: OSError if another member, or a later try, may succeed."""
    if code == NOT_FOUND and "lease not found" not in reason:
        return not_etcd(f"{address}: {reason}")  # a path that is unknown has the same code
    refuses = 0 < code <= UNAUTHENTICATED and code not in TRY_ELSEWHERE
    if refuses or (code == RESOURCE_EXHAUSTED and "space" in reason):
        return EtcdError(address, code, reason)
    return ConnectionError(f"{address}: {reason}")


def _unreachable(address: str, error: httpx.TransportError) -> OSError:
    reason = ""
    kind = ConnectionError
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(address, cause)
        if isinstance(cause, socket.gaierror) and cause.strerror:
            reason = cause.strerror.lower()
        elif isinstance(cause, OSError) and cause.errno:
            reason = os.strerror(cause.errno).lower()  # asyncio changes the text in strerror
            if cause.errno == errno.ECONNREFUSED:
                kind = ConnectionRefusedError
    if isinstance(error, httpx.TimeoutException):
        return TimeoutError(f"{address} did not answer in time")
    reason = reason or str(error) or "the connection was lost"
    cut_off = isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError))
    if cut_off and address.startswith("http:"):
        reason += " (if etcd wants TLS, write https://)"
    return kind(f"{address}: {reason}")


def _tls_failure(address: str, error: ssl.SSLError) -> ConnectionError:
    said = f"TLS with {address} failed: "
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailedError(
            f"{said}its certificate is not trusted ({error.verify_message}); set "
            "bee.rpc.registry.options.ca, or the name that the certificate is for as the address"
        )
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "certificate" in reason:
        return TlsFailedError(
            f"{said}it does not take this client's certificate ({reason}); "
            "set bee.rpc.registry.options.cert and key"
        )
    plain = "wrong version" in reason or "eof" in reason
    return ConnectionError(f"{said}{reason}; is http:// meant?" if plain else said + reason)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
