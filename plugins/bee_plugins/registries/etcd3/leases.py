"""Keys that live by leases in etcd: made, renewed, compared, repaired.

One lease number belongs to one key of this process. An attempt to register that does not know
whether an earlier one arrived uses the same number again, so attempts do not add up. A new number
is drawn when etcd says that the lease has gone: numbers tell stores apart (see ``watch.View``).
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import attrs

from bee_core.errors import IdTaken, RegistryError
from bee_core.interfaces import printable
from bee_plugins.registries.etcd3.http import EtcdError
from bee_plugins.registries.shared.node_record import decode_record
from bee_plugins.registries.shared.watched_registry import REPLACED, REVOKED, WarnOnce, WatchedLease

if TYPE_CHECKING:
    from bee_plugins.registries.etcd3.gateway import Gateway
    from bee_plugins.registries.etcd3.messages import KeyValue

_LEASE_BITS = 62  # etcd's numbers are positive and have 63
_TRIES = 5
"""How often a key is tried that changes hands meanwhile."""
_SHORTEST = 0.5
"""Seconds that a comparison has at least, once the lease is renewed; half a heartbeat else."""
_ENDING = 1.0
"""Seconds that a comparison may take to end after it was cancelled."""

GONE = "its lease has run out or was revoked, or etcd has lost its data"


def _draw() -> int:
    return secrets.randbits(_LEASE_BITS) | 1


@attrs.define
class Claim:
    """What this process knows of a key that it registers.

    Attributes:
        number: The lease's number.
        granted: Whether etcd has ever said that the lease exists.
        held: Whether the key has been this process's. Then nobody may have put another record
            there but by mistake, unless that one lives by a lease.
        written: How often this process has put the key.
    """

    number: int = attrs.field(factory=_draw)
    granted: bool = False
    held: bool = False
    written: int = 0

    async def lease(self, gateway: Gateway, ttl: int, timeout: float) -> int:
        """See to it that the lease exists.

        Args:
            gateway: etcd.
            ttl: Seconds that it shall last.
            timeout: Seconds for each request.

        Returns:
            Seconds that it lasts from now on; 0 if it has run out already.
        """
        if self.granted:
            left = await gateway.keep_alive(self.number, timeout=timeout)
            if left > 0:
                return left
            self.number, self.granted = _draw(), False
        left = await gateway.grant(self.number, ttl, timeout=timeout)
        self.granted = True
        return left

    def may_put(self, found: KeyValue) -> bool:
        """Whether a key that was found so may be put: no other living server holds it."""
        return not found.key or found.lease == self.number or (self.held and not found.lease)

    async def put(
        self, gateway: Gateway, key: bytes, record: bytes, found: KeyValue, timeout: float
    ) -> KeyValue | None:
        """Put the key, unless another holds it: then return it as that one put it.

        Args:
            gateway: etcd.
            key: The key.
            record: Its value.
            found: The key as it was found last; empty if it was not read yet or does not exist.
            timeout: Seconds for each request.

        Raises:
            OSError: The key changes all the time.
        """
        for _ in range(_TRIES):
            if not self.may_put(found):
                return found
            other = await gateway.put_if(
                key, record, self.number, found.mod_revision, timeout=timeout
            )
            self.written += other is None
            if other is None or (other.lease == self.number and other.value == record):
                self.held = True  # the latter: another request was quicker, or its answer was lost
                return None
            found = other
        raise ConnectionError(f"the key {key.decode()} changes all the time")


class EtcdLease(WatchedLease):
    """A key that lives by a lease in etcd.

    Args:
        gateway: etcd.
        claim: The number.
        key: The key.
        record: Its value.
        ttl: Seconds.
        heartbeat: Seconds between two renewals.
        name: For messages.
        warnings: Takes why the record cannot be compared.

    Attributes:
        number: The lease's number.
    """

    def __init__(
        self,
        gateway: Gateway,
        claim: Claim,
        key: bytes,
        record: bytes,
        *,
        ttl: float,
        heartbeat: float,
        name: str,
        warnings: WarnOnce,
    ) -> None:
        super().__init__(ttl, name)
        self._gateway = gateway
        self._claim = claim
        self.number = claim.number
        self._written = claim.written
        self._key = key
        self._record = record
        self._patience = max(_SHORTEST, heartbeat / 2)
        self._warnings = warnings

    @property
    def repairs(self) -> int:
        """See :class:`bee_core.interfaces.Lease`."""
        return self._claim.written - self._written

    async def _renew(self) -> str:
        """Renew, and compare at the same time: the lease may live although the key is another's.

        The core gives up the wait when the lease is over. Another renewal may have prolonged it
        meanwhile, so it has all of a lease's time here.
        """
        comparison = asyncio.ensure_future(self._compared())
        try:
            if await self._gateway.keep_alive(self.number, timeout=self.ttl) <= 0:
                return GONE
            await asyncio.wait((comparison,), timeout=self._patience)
        finally:
            comparison.cancel()
            await asyncio.wait((comparison,), timeout=_ENDING)
            answered = comparison.done() and not comparison.cancelled()
            if answered:
                comparison.exception()  # marks it as seen, also where the lease has gone
        return comparison.result() if answered else ""

    async def _compared(self) -> str:
        """As :meth:`_compare`, but what cannot be compared is for the next time."""
        try:
            return await self._compare()
        except IdTaken:
            raise
        except OSError:
            return ""
        except RegistryError as error:
            self._warnings.warn("", f"the record of {self._name} cannot be compared: {error}")
            return ""

    async def _compare(self) -> str:
        """Repair the record; or say that its lease has gone.

        Raises:
            IdTaken: Another living server holds the key.
        """
        timeout = self.ttl
        found = await self._gateway.differs(self._key, self._record, self.number, timeout=timeout)
        self._warnings.forget("")
        if found is None or self.over:
            return ""
        try:
            other = await self._claim.put(self._gateway, self._key, self._record, found, timeout)
        except EtcdError as error:
            if not error.says_no_lease:
                raise
            return GONE
        if other is not None:
            raise self.taken(holder(other, self._key))
        return ""

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. Idempotent; may be repeated on failure.

        Raises:
            OSError: etcd is out of reach; the lease runs out by itself.
        """
        if self.over not in {REPLACED, REVOKED}:
            await self._gateway.revoke(self.number)
            self.over = REVOKED


def holder(other: KeyValue, key: bytes) -> str:
    """What messages call the one that has put a key."""
    try:
        return f"the server at {decode_record(other.value, 'it').url}"
    except ValueError:
        return f"somebody (see the key {printable(key.decode())})"
