"""etcd's members: which of them is asked, and the token that each request needs.

Members are raced: a silent one gets company after a quarter of a second, one that fails is left at
once. The first answer counts.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bee_core.errors import RegistryError
from bee_plugins.registries.etcd3.http import (
    EtcdError,
    EtcdHttp,
    TlsFailedError,
    classed,
    not_etcd,
)
from bee_plugins.registries.etcd3.messages import (
    INVALID_ARGUMENT,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    Answer,
    Token,
    read_stream_error,
)
from bee_plugins.registries.etcd3.watch_stream import WatchStream
from bee_plugins.registries.shared.node_record import UNREADABLE
from bee_plugins.registries.shared.servers import Rotation

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
A = TypeVar("A", bound=Answer)

_NO_AUTHENTICATION = "authentication is not enabled"
# etcd's words if a token is missing, has expired, was forgotten in a restart, or was made before
# a change of users.
_STALE_TOKEN = ("invalid auth token", "user name is empty", "revision of auth store is old")


class Members(Rotation[str]):
    """etcd's members. For one event loop; opens nothing before the first request.

    Every request raises :class:`EtcdError` if etcd refuses, ``RegistryError`` if a certificate is
    to blame, and ``OSError`` if no member is in reach (``TimeoutError`` if all are silent) or if
    what they answer is not etcd's.

    Args:
        addresses: ``http://host:port`` or ``https://host:port``.
        tls: For ``https://`` addresses.
        user: Name and password, or None.

    Attributes:
        token: Of the user; None as long as there is none, empty if none is needed.
    """

    def __init__(
        self, addresses: Sequence[str], tls: ssl.SSLContext | None, user: tuple[str, str] | None
    ) -> None:
        super().__init__(addresses)
        self._http = EtcdHttp(tls)
        self._user = user
        self.token: str | None = None if user else ""
        # One for each member: a silent one must not hold up the others.
        self._renewing = {address: asyncio.Lock() for address in addresses}

    async def ask(
        self,
        path: str,
        request: dict[str, Any],
        kind: type[A],
        timeout: float,
        *,
        first: str | None = None,
    ) -> tuple[str, A]:
        """The first answer to a request, and the member that gave it.

        Args:
            path: What follows the address.
            request: To be written as JSON.
            kind: Of the answer.
            timeout: Seconds.
            first: The member to begin with.
        """
        content = msgspec.json.encode(request)

        async def ask(address: str, token: str, seconds: float) -> tuple[str, A]:
            body = await self._http.post(address, path, content, token, seconds, line=kind.streamed)
            reply = _decoded(address, body, kind)
            return address, reply

        return await self._admitted_first(ask, timeout, first=first)

    async def open(self, path: str, request: dict[str, Any], timeout: float) -> WatchStream:
        """The stream of a watch that etcd has created. Close it."""
        content = msgspec.json.encode(request)
        clock = asyncio.get_running_loop().time

        async def ask(address: str, token: str, seconds: float) -> WatchStream:
            until = clock() + seconds
            response = await self._http.open(address, path, content, token, seconds)
            stream = WatchStream(address, response)
            try:
                reply = await stream.next(until - clock())
                if reply is None:
                    raise TimeoutError(f"{address} did not begin the watch within {timeout:.3g} s")
                if not reply.created:
                    raise not_etcd(f"{address} begins a watch without saying so")
            except BaseException:
                await stream.close()
                raise
            return stream

        return await self._admitted_first(ask, timeout, discard=WatchStream.close)

    async def close(self) -> None:
        """Close all connections, within a bound. Idempotent."""
        await self.settle()
        await self._http.close()

    async def _admitted_first(
        self,
        ask: Callable[[str, str, float], Awaitable[T]],
        timeout: float,
        *,
        first: str | None = None,
        discard: Callable[[T], Awaitable[None]] | None = None,
    ) -> T:
        """The first answer; ``ask`` gets address, token and seconds."""
        until = asyncio.get_running_loop().time() + timeout
        try:
            return await self.race(
                lambda address: self._admitted(ask, address, until),
                first=first,
                discard=discard,
            )
        except TlsFailedError as error:
            raise RegistryError(str(error)) from error

    # Authentication.

    async def _admitted(
        self, ask: Callable[[str, str, float], Awaitable[T]], address: str, until: float
    ) -> T:
        """Ask with a valid token. That may need a new one."""
        clock = asyncio.get_running_loop().time
        token = self.token
        if token is None:
            token = await self._new_token(address, None, until)
        try:
            return await ask(address, token, until - clock())
        except EtcdError as error:
            stale = error.code == UNAUTHENTICATED or any(
                words in error.reason for words in _STALE_TOKEN
            )
            # To a watch with a stale token etcd only says that it is not permitted.
            stale = stale or (error.code == PERMISSION_DENIED and token != "")
            if self._user is None or not stale:
                raise self._explained(error) from error
        token = await self._new_token(address, token, until)
        try:
            return await ask(address, token, until - clock())
        except EtcdError as error:
            raise self._explained(error) from error

    async def _new_token(self, address: str, stale: str | None, until: float) -> str:
        assert self._user is not None  # noqa: S101  # only then a token is asked for
        name, password = self._user
        async with self._renewing[address]:
            if self.token is not None and self.token != stale:
                return self.token  # another request was quicker
            content = msgspec.json.encode({"name": name, "password": password})
            within = max(0.0, until - asyncio.get_running_loop().time())
            try:
                body = await self._http.post(address, "/v3/auth/authenticate", content, "", within)
            except EtcdError as error:
                if _NO_AUTHENTICATION in error.reason:
                    self.token = ""  # a user may be configured before etcd asks for one
                    return self.token
                if error.code == INVALID_ARGUMENT:
                    raise RegistryError(
                        f"etcd at {address} refuses the user {name!r} and its password "
                        f"({error.reason}); correct bee.rpc.registry.options.username and password"
                    ) from error
                raise
            self.token = _decoded(address, body, Token).token
            return self.token

    def _explained(self, error: EtcdError) -> EtcdError:
        if error.code == PERMISSION_DENIED and self._user is not None:
            advice = (
                f"give the user {self._user[0]!r} a role that may read and, for a server, write "
                "the keys under bee.rpc.registry.options.prefix"
            )
        elif "user name is empty" in error.reason:
            advice = "it wants a user: set bee.rpc.registry.options.username and password"
        else:
            return error
        return EtcdError(error.address, error.code, f"{error.reason}; {advice}")


def _decoded(address: str, body: bytes, kind: type[A]) -> A:
    try:
        reply = msgspec.json.decode(body, type=kind, strict=False)
    except UNREADABLE as error:
        raise not_etcd(f"{address} answers what cannot be read: {error}") from error
    if reply.failure is not None:
        raise classed(address, *read_stream_error(reply.failure))
    if not reply.is_etcds:
        raise not_etcd(f"{address} answers {body[:100].decode(errors='replace').strip()!r}")
    return reply
