"""The operations that the registry needs of etcd, by its JSON gateway, at any member that answers.

A request may reach etcd twice, at two members. Every operation here can bear that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bee_plugins.registries.etcd3.http import EtcdError
from bee_plugins.registries.etcd3.members import A, Members
from bee_plugins.registries.etcd3.messages import (
    FAILED_PRECONDITION,
    Answer,
    KeptAlive,
    KeyValue,
    LeaseReply,
    RangeReply,
    TransactionReply,
    end_of,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from bee_plugins.registries.etcd3.watch_stream import WatchStream


class Gateway:
    """etcd, by its JSON gateway. For one event loop; opens nothing before the first request.

    The operations raise as :class:`~bee_plugins.registries.etcd3.members.Members` says.

    Args:
        addresses: ``http://host:port`` or ``https://host:port``.
        timeout: Seconds for an operation that states none.
        tls: For ``https://`` addresses.
        user: Name and password, or None.

    Attributes:
        members: Who is asked.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        timeout: float,
        *,
        tls: ssl.SSLContext | None = None,
        user: tuple[str, str] | None = None,
    ) -> None:
        self.members = Members(addresses, tls, user)
        self._timeout = timeout

    # Reading.

    async def page(self, start: bytes, end: bytes, limit: int, revision: int) -> RangeReply:
        """Keys with their values, from ``start`` to before ``end``.

        Args:
            start: The first key.
            end: The key after the last one.
            limit: How many to read.
            revision: Read them as of this revision; 0 for now.
        """
        request = {"key": start, "range_end": end, "limit": str(limit), "revision": str(revision)}
        return await self._call("/v3/kv/range", request, RangeReply)

    async def count(self, prefix: bytes, *, first: str, timeout: float) -> tuple[str, RangeReply]:
        """The number of keys with a prefix and the store's revision. It costs etcd next to nothing.

        Args:
            prefix: Of the keys.
            first: The member to ask first.
            timeout: Seconds.

        Returns:
            The member that answered, and its answer.
        """
        request = {"key": prefix, "range_end": end_of(prefix), "count_only": True}
        return await self.members.ask("/v3/kv/range", request, RangeReply, timeout, first=first)

    async def newest(self, prefix: bytes, *, first: str, timeout: float) -> tuple[str, RangeReply]:
        """As :meth:`count`, with the key that changed last. etcd looks at every key for that."""
        request = {
            "key": prefix,
            "range_end": end_of(prefix),
            "keys_only": True,
            "limit": "1",
            "sort_order": "DESCEND",
            "sort_target": "MOD",
        }
        return await self.members.ask("/v3/kv/range", request, RangeReply, timeout, first=first)

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
        return await self.members.open("/v3/watch", {"create_request": create}, timeout)

    # Writing.

    async def grant(self, lease: int, seconds: int, *, timeout: float | None = None) -> int:
        """Make a lease with a number. If it exists, a request before this one arrived: renew it.

        Returns:
            Seconds that it lasts, as etcd set it.
        """
        request = {"ID": str(lease), "TTL": str(seconds)}
        try:
            reply = await self._call("/v3/lease/grant", request, LeaseReply, timeout)
        except EtcdError as error:
            if error.code != FAILED_PRECONDITION or "already exists" not in error.reason:
                raise
            return await self.keep_alive(lease, timeout=timeout)
        return reply.ttl

    async def keep_alive(self, lease: int, *, timeout: float | None = None) -> int:
        """Renew a lease.

        Returns:
            Seconds that it lasts from now on; 0 if it has gone.
        """
        request = {"ID": str(lease)}
        try:
            reply = await self._call("/v3/lease/keepalive", request, KeptAlive, timeout)
        except EtcdError as error:
            if not error.says_no_lease:
                raise
            return 0
        return reply.result.ttl

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys. It is no error if the lease has gone."""
        try:
            await self._call("/v3/lease/revoke", {"ID": str(lease)}, Answer)
        except EtcdError as error:
            if not error.says_no_lease:
                raise

    async def differs(
        self, key: bytes, value: bytes, lease: int, *, timeout: float | None = None
    ) -> KeyValue | None:
        """None if a key has this value and this lease, else the key as it is.

        The key's name is empty if it does not exist.
        """
        compare = [
            {"key": key, "target": "LEASE", "lease": str(lease)},
            {"key": key, "target": "VALUE", "value": value},
        ]
        return await self._transaction(key, compare, [], timeout)

    async def put_if(
        self, key: bytes, value: bytes, lease: int, revision: int, *, timeout: float | None = None
    ) -> KeyValue | None:
        """Put a key with a lease if its last change was of a revision; 0 if it does not exist.

        Returns:
            None if it was put, else the key as by :meth:`differs`.
        """
        compare = [{"key": key, "target": "MOD", "mod_revision": str(revision)}]
        put = {"request_put": {"key": key, "value": value, "lease": str(lease)}}
        return await self._transaction(key, compare, [put], timeout)

    async def _transaction(
        self, key: bytes, compare: list[Any], success: list[Any], timeout: float | None
    ) -> KeyValue | None:
        get = {"request_range": {"key": key}}
        request = {"compare": compare, "success": success, "failure": [get]}
        reply = await self._call("/v3/kv/txn", request, TransactionReply, timeout)
        if reply.succeeded:
            return None
        found = reply.responses[0].response_range if reply.responses else None
        return found.kvs[0] if found is not None and found.kvs else KeyValue()

    async def close(self) -> None:
        """Close all connections, within a bound. Idempotent."""
        await self.members.close()

    async def _call(
        self,
        path: str,
        request: dict[str, Any],
        kind: type[A],
        timeout: float | None = None,
    ) -> A:
        seconds = self._timeout if timeout is None else timeout
        return (await self.members.ask(path, request, kind, seconds))[1]
