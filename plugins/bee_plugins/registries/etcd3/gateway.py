"""The operations that the registry needs of etcd, by its JSON gateway, at any member that answers.

A request may reach etcd twice, at two members. Every operation here can bear that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bee_core.errors import RegistryError
from bee_plugins.registries.etcd3.http import EtcdError, EtcdHttp, TlsFailedError, classed
from bee_plugins.registries.etcd3.messages import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    KeptAlive,
    KeyValue,
    LeaseReply,
    RangeReply,
    Reply,
    Token,
    TransactionReply,
    end_of,
    read_stream_error,
)
from bee_plugins.registries.etcd3.watch_stream import WatchStream
from bee_plugins.registries.shared.node_record import UNREADABLE
from bee_plugins.registries.shared.servers import Rotation

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")

_NO_AUTHENTICATION = "authentication is not enabled"
# etcd's words if a token is missing, has expired, was forgotten in a restart, or was made before
# a change of users.
_STALE_TOKEN = ("invalid auth token", "user name is empty", "revision of auth store is old")


class Gateway:
    """etcd, by its JSON gateway. For one event loop; opens nothing before the first request.

    Every operation raises :class:`EtcdError` if etcd refuses, ``OSError`` if no member is in reach
    (``TimeoutError`` if all are silent), and ``RegistryError`` if the answer is not etcd's or TLS
    fails.

    Args:
        addresses: ``http://host:port`` or ``https://host:port``.
        timeout: Seconds for an operation, shared out among the addresses.
        tls: For ``https://`` addresses.
        user: Name and password, or None.

    Attributes:
        members: The addresses.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        timeout: float,
        *,
        tls: ssl.SSLContext | None = None,
        user: tuple[str, str] | None = None,
    ) -> None:
        self.members = Rotation(addresses)
        self._timeout = timeout
        self._http = EtcdHttp(tls)
        self._user = user
        self.token: str | None = None if user else ""
        self._renewing = asyncio.Lock()

    # Reading.

    async def get(self, key: bytes) -> KeyValue | None:
        """A key without its value, or None if it does not exist."""
        reply = await self._range({"key": key, "keys_only": True})
        return reply.kvs[0] if reply.kvs else None

    async def page(self, start: bytes, end: bytes, limit: int, revision: int) -> RangeReply:
        """Keys with their values, from ``start`` to before ``end``.

        Args:
            start: The first key.
            end: The key after the last one.
            limit: How many to read.
            revision: Read them as of this revision; 0 for now.
        """
        return await self._range(
            {"key": start, "range_end": end, "limit": str(limit), "revision": str(revision)}
        )

    async def count(self, prefix: bytes, *, at: str, timeout: float) -> RangeReply:
        """The number of keys with a prefix and the store's revision, as one member knows them.

        This costs etcd next to nothing.
        """
        request = {"key": prefix, "range_end": end_of(prefix), "count_only": True}
        return await self._range(request, at=at, timeout=timeout)

    async def newest(self, prefix: bytes, *, at: str, timeout: float) -> RangeReply:
        """As :meth:`count`, with the key that changed last. etcd looks at every key for that."""
        request = {
            "key": prefix,
            "range_end": end_of(prefix),
            "keys_only": True,
            "limit": "1",
            "sort_order": "DESCEND",
            "sort_target": "MOD",
        }
        return await self._range(request, at=at, timeout=timeout)

    async def watch(self, prefix: bytes, revision: int, timeout: float) -> WatchStream:
        """What happens to keys with a prefix, from a revision on. Close the stream.

        etcd has created the watch when this returns.
        """
        create = {
            "key": prefix,
            "range_end": end_of(prefix),
            "start_revision": str(revision),
            "fragment": True,
        }
        content = msgspec.json.encode({"create_request": create})
        clock = asyncio.get_running_loop().time
        until = clock() + timeout

        async def ask(address: str, token: str, seconds: float) -> WatchStream:
            response = await self._http.open(address, "/v3/watch", content, token, seconds)
            stream = WatchStream(address, response)
            try:
                reply = await stream.next(until - clock())
                if reply is None:
                    raise TimeoutError(f"{address} did not begin the watch within {timeout:.3g} s")
                if not reply.created:
                    raise RegistryError(
                        f"{address} begins a watch without saying so; it is not etcd 3.4 or later"
                    )
            except BaseException:
                await stream.close()
                raise
            return stream

        return await self._in_turn(ask, None, timeout)

    # Writing.

    async def grant(self, lease: int, seconds: int) -> int:
        """Make a lease with a number.

        Returns:
            Seconds that it lasts, as etcd set it.
        """
        try:
            reply = await self._call(
                "/v3/lease/grant", {"ID": str(lease), "TTL": str(seconds)}, LeaseReply
            )
        except EtcdError as error:
            if error.code != FAILED_PRECONDITION or "already exists" not in error.reason:
                raise
            # A first request arrived, but its answer was lost.
            return await self.keep_alive(lease)
        return reply.ttl

    async def keep_alive(self, lease: int) -> int:
        """Renew a lease.

        Returns:
            Seconds that it lasts from now on; 0 if it has gone.
        """
        try:
            reply = await self._call("/v3/lease/keepalive", {"ID": str(lease)}, KeptAlive)
        except EtcdError as error:
            if error.code != NOT_FOUND:
                raise
            return 0
        return reply.result.ttl

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys. It is no error if the lease has gone."""
        try:
            await self._call("/v3/lease/revoke", {"ID": str(lease)}, Reply)
        except EtcdError as error:
            if error.code != NOT_FOUND:
                raise

    async def put_if(
        self, key: bytes, value: bytes, lease: int, *, held_by: int | None
    ) -> KeyValue | None:
        """Put a key with a lease if it is absent (``held_by=None``) or has the lease ``held_by``.

        Returns:
            None if it was put, else the key as it is. The key's name is empty if it has just gone.
        """
        compare = (
            {"key": key, "target": "CREATE", "create_revision": "0"}
            if held_by is None
            else {"key": key, "target": "LEASE", "lease": str(held_by)}
        )
        put = {"request_put": {"key": key, "value": value, "lease": str(lease)}}
        get = {"request_range": {"key": key}}
        request = {"compare": [compare], "success": [put], "failure": [get]}
        reply = await self._call("/v3/kv/txn", request, TransactionReply)
        if reply.succeeded:
            return None
        found = reply.responses[0].response_range if reply.responses else None
        return found.kvs[0] if found is not None and found.kvs else KeyValue()

    async def close(self) -> None:
        """Close all connections, within a bound. Idempotent."""
        await self._http.close()

    # Members in turn.

    async def _range(
        self, request: dict[str, Any], *, at: str | None = None, timeout: float | None = None
    ) -> RangeReply:
        return await self._call("/v3/kv/range", request, RangeReply, at=at, timeout=timeout)

    async def _call(
        self,
        path: str,
        request: dict[str, Any],
        kind: type[T],
        *,
        at: str | None = None,
        timeout: float | None = None,
    ) -> T:
        content = msgspec.json.encode(request)

        async def ask(address: str, token: str, seconds: float) -> T:
            body = await self._http.post(address, path, content, token, seconds)
            reply = _decoded(address, body, kind)
            if isinstance(reply, KeptAlive) and reply.error is not None:
                raise classed(address, *read_stream_error(reply.error))
            return reply

        return await self._in_turn(ask, at, self._timeout if timeout is None else timeout)

    async def _in_turn(
        self, ask: Callable[[str, str, float], Awaitable[T]], at: str | None, timeout: float
    ) -> T:
        """Ask the members in turn, or the one ``at``; ``ask`` gets address, token and seconds."""
        clock = asyncio.get_running_loop().time
        until = clock() + timeout

        async def ask_one(address: str, left: int) -> T:
            now = clock()
            return await self._admitted(ask, address, now + (until - now) / left)

        try:
            return await self.members.ask_in_turn(ask_one, at)
        except OSError as error:
            if TlsFailedError in {type(error), type(error.__cause__)}:
                raise RegistryError(str(error)) from error
            raise

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
        async with self._renewing:
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


def _decoded(address: str, body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except UNREADABLE as error:
        raise RegistryError(
            f"{address} does not answer as etcd's JSON gateway: {error}; "
            "correct bee.rpc.registry.address"
        ) from error
