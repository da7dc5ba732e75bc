"""etcd's JSON gateway: the operations that the registry needs, at whichever address answers.

Addresses are taken in turn: one that works is kept, one that fails is left for the next. A request may so arrive twice; all that is asked here can bear it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bee_core.errors import RegistryError
from bee_plugins.registries.etcd_http import EtcdError, EtcdHttp, HandshakeError, classed
from bee_plugins.registries.etcd_messages import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    KeptAlive,
    KeyValue,
    LeaseReply,
    Nothing,
    RangeReply,
    Token,
    TransactionReply,
    end_of,
    read_stream_error,
)
from bee_plugins.registries.etcd_stream import WatchStream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    Ask = Callable[
        [str, str, float], Awaitable[Any]
    ]  # of an address, with a token, in so many seconds

T = TypeVar("T")

_NO_AUTHENTICATION = "authentication is not enabled"
# What etcd says where a token is missing, has run out, was forgotten in a restart, or is of before a change of users.
_STALE_TOKEN = ("invalid auth token", "user name is empty", "revision of auth store is old")


class Gateway:
    """etcd, as its JSON gateway offers it. Belongs to one event loop; opens nothing before the first request.

    Every operation raises :class:`EtcdError` where etcd refuses, ``OSError`` (``TimeoutError`` where all are silent) where no address is of use now, and ``RegistryError``
    where what answers is no etcd or TLS fails.

    Args:
        addresses: ``http://host:port`` or ``https://host:port``.
        timeout: Seconds for an operation, shared out among the addresses.
        tls: For ``https://`` addresses.
        user: Name and password, or None.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        timeout: float,
        *,
        tls: ssl.SSLContext | None = None,
        user: tuple[str, str] | None = None,
    ) -> None:
        self._addresses = tuple(addresses)
        self._first = 0
        self._timeout = timeout
        self._http = EtcdHttp(tls)
        self._user = user
        self._token: str | None = None if user else ""
        self._renewing = asyncio.Lock()

    # Reading.

    async def get(self, key: bytes) -> KeyValue | None:
        """A key without its value, or None where there is none."""
        reply = await self._call("/v3/kv/range", {"key": key, "keys_only": True}, RangeReply)
        return reply.kvs[0] if reply.kvs else None

    async def page(self, start: bytes, end: bytes, limit: int, revision: int) -> RangeReply:
        """The first ``limit`` keys from ``start`` on to before ``end``, with their values, as of a revision, or of now for 0."""
        return await self._call(
            "/v3/kv/range",
            {"key": start, "range_end": end, "limit": str(limit), "revision": str(revision)},
            RangeReply,
        )

    async def count(self, prefix: bytes, *, at: str, timeout: float) -> RangeReply:
        """How many keys begin with a prefix, and the store's revision, as one address knows it. Costs etcd next to nothing."""
        request = {"key": prefix, "range_end": end_of(prefix), "count_only": True}
        return await self._call("/v3/kv/range", request, RangeReply, at=at, timeout=timeout)

    async def newest(self, prefix: bytes, *, at: str, timeout: float) -> RangeReply:
        """As :meth:`count`, with the key that was changed last. etcd looks at every key for that."""
        request = {
            "key": prefix,
            "range_end": end_of(prefix),
            "keys_only": True,
            "limit": "1",
            "sort_order": "DESCEND",
            "sort_target": "MOD",
        }
        return await self._call("/v3/kv/range", request, RangeReply, at=at, timeout=timeout)

    async def watch(self, prefix: bytes, revision: int, timeout: float) -> WatchStream:
        """What happens to keys that begin with a prefix, from a revision on. The stream was created when this returns; close it."""
        create = {
            "key": prefix,
            "range_end": end_of(prefix),
            "start_revision": str(revision),
            "fragment": True,
        }
        content = msgspec.json.encode({"create_request": create})
        until = asyncio.get_running_loop().time() + timeout

        async def ask(address: str, token: str, seconds: float) -> WatchStream:
            stream = WatchStream(
                address, await self._http.open(address, "/v3/watch", content, token, seconds)
            )
            try:
                reply = await stream.next(until - asyncio.get_running_loop().time())
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

        stream: WatchStream = await self._in_turn(ask, None, timeout)
        return stream

    # Writing.

    async def grant(self, lease: int, seconds: int) -> int:
        """Make a lease of a number.

        Returns:
            Seconds that it lasts, as etcd made it.
        """
        try:
            reply = await self._call(
                "/v3/lease/grant", {"ID": str(lease), "TTL": str(seconds)}, LeaseReply
            )
        except EtcdError as error:
            if error.code != FAILED_PRECONDITION or "already exists" not in error.reason:
                raise
            return await self.keep_alive(
                lease
            )  # a first request had arrived, and its answer had not
        return reply.ttl

    async def keep_alive(self, lease: int) -> int:
        """Renew a lease.

        Returns:
            Seconds that it lasts from now; 0 where it has gone.
        """
        try:
            reply = await self._call("/v3/lease/keepalive", {"ID": str(lease)}, KeptAlive)
        except EtcdError as error:
            if error.code != NOT_FOUND:
                raise
            return 0
        return reply.result.ttl

    async def revoke(self, lease: int) -> None:
        """End a lease, and with it the keys that live by it. One that has gone is no error."""
        try:
            await self._call("/v3/lease/revoke", {"ID": str(lease)}, Nothing)
        except EtcdError as error:
            if error.code != NOT_FOUND:
                raise

    async def put_if(
        self, key: bytes, value: bytes, lease: int, *, held_by: int | None
    ) -> KeyValue | None:
        """Put a key that lives by a lease, if it is absent (``held_by=None``) or lives by another certain lease.

        Returns:
            None where it was put, else the key as it is; one without a name where it has just gone.
        """
        compare = (
            {"key": key, "target": "CREATE", "create_revision": "0"}
            if held_by is None
            else {"key": key, "target": "LEASE", "lease": str(held_by)}
        )
        put = {"request_put": {"key": key, "value": value, "lease": str(lease)}}
        request = {
            "compare": [compare],
            "success": [put],
            "failure": [{"request_range": {"key": key}}],
        }
        reply = await self._call("/v3/kv/txn", request, TransactionReply)
        if reply.succeeded:
            return None
        found = reply.responses[0].response_range if reply.responses else None
        return found.kvs[0] if found is not None and found.kvs else KeyValue()

    async def close(self) -> None:
        """Close all connections, within a bound. Idempotent."""
        await self._http.close()

    # Addresses in turn.

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
            reply = _decoded(
                address, await self._http.post(address, path, content, token, seconds), kind
            )
            if isinstance(reply, KeptAlive) and reply.error is not None:
                raise classed(address, *read_stream_error(reply.error))
            return reply

        result: T = await self._in_turn(ask, at, self._timeout if timeout is None else timeout)
        return result

    async def _in_turn(self, ask: Ask, at: str | None, timeout: float) -> Any:
        """Ask the address that worked last, then the others; or one alone."""
        first = self._first
        addresses = (*self._addresses[first:], *self._addresses[:first]) if at is None else (at,)
        clock = asyncio.get_running_loop().time
        until = clock() + timeout
        problems: list[OSError] = []
        for index, address in enumerate(addresses):
            share = (until - clock()) / (len(addresses) - index)
            if share <= 0:
                break
            try:
                return await self._admitted(ask, address, clock() + share)
            except OSError as error:
                problems.append(error)
                self._leave(address)
            except asyncio.CancelledError:
                self._leave(address)  # whoever waited may have lost patience with it
                raise
        text = "; ".join(map(str, problems)) or f"no answer within {timeout:.3g} s"
        if problems and isinstance(problems[-1], HandshakeError):
            raise RegistryError(text)
        raise (
            TimeoutError(text)
            if all(isinstance(problem, TimeoutError) for problem in problems)
            else ConnectionError(text)
        )

    def _leave(self, address: str) -> None:
        if self._addresses[self._first] == address:
            self._first = (self._first + 1) % len(self._addresses)

    # Authentication.

    async def _admitted(self, ask: Ask, address: str, until: float) -> Any:
        """Ask with a token that is taken, which may need a new one."""
        clock = asyncio.get_running_loop().time
        token = self._token
        if token is None:
            token = await self._new_token(address, None, until)
        try:
            return await ask(address, token, until - clock())
        except EtcdError as error:
            # A watch does not say that its token is stale, but that it is not permitted.
            stale = error.code == UNAUTHENTICATED or any(
                words in error.reason for words in _STALE_TOKEN
            )
            if self._user is None or not (stale or (error.code == PERMISSION_DENIED and token)):
                raise self._explained(error) from error
        token = await self._new_token(address, token, until)
        try:
            return await ask(address, token, until - clock())
        except EtcdError as error:
            raise self._explained(error) from error

    async def _new_token(self, address: str, stale: str | None, until: float) -> str:
        assert self._user is not None  # noqa: S101  # asked for only then; narrows the type
        name, password = self._user
        async with self._renewing:
            if self._token is not None and self._token != stale:
                return self._token  # another request was quicker
            content = msgspec.json.encode({"name": name, "password": password})
            try:
                body = await self._http.post(
                    address,
                    "/v3/auth/authenticate",
                    content,
                    "",
                    max(0.0, until - asyncio.get_running_loop().time()),
                )
            except EtcdError as error:
                if _NO_AUTHENTICATION in error.reason:
                    self._token = ""  # the user was configured before etcd asks for one
                    return self._token
                if error.code == INVALID_ARGUMENT:
                    advice = "correct bee.rpc.registry.options.username and password"
                    raise RegistryError(
                        f"etcd at {address} refuses the user {name!r} and its password ({error.reason}); {advice}"
                    ) from error
                raise
            self._token = _decoded(address, body, Token).token
            return self._token

    def _explained(self, error: EtcdError) -> EtcdError:
        if error.code == PERMISSION_DENIED and self._user is not None:
            advice = f"give the user {self._user[0]!r} a role that may read and, for a server, write the keys under bee.rpc.registry.options.prefix"
        elif "user name is empty" in error.reason:
            advice = "it wants a user: set bee.rpc.registry.options.username and password"
        else:
            return error
        return EtcdError(error.address, error.code, f"{error.reason}; {advice}")


def _decoded(address: str, body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RegistryError(
            f"{address} does not answer as etcd's JSON gateway: {error}; correct bee.rpc.registry.address"
        ) from error
