"""What every registry must do, as far as it can be said without a server of its own.

So far the part that does no I/O, and the shape of the rest.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

import pytest

from bee_core.interfaces import Instance
from bee_core.nodes import Node

if TYPE_CHECKING:
    from bee_core.interfaces import Registry
    from bee_core.nodes import Snapshot

ADDRESSES = (Node("tcp://10.0.0.1:9000", "tcp://10.0.0.1:9000"), Node("tcp://10.0.0.2:9000", "tcp://10.0.0.2:9000", version="1.2.0"))

BOUND = 10.0
"""Seconds after which a registry that does not answer has failed."""


class RegistryContract:
    """Inherit, and say how to make the registry."""

    @abstractmethod
    def make_registry(self) -> Registry:
        """A registry with the settings under test, not yet connected."""

    def test_what_is_known_without_asking_is_the_configured_addresses_or_nothing(self) -> None:
        snapshot = self.make_registry().known("calc", ADDRESSES)
        assert snapshot is None or (snapshot.source == "address" and snapshot.nodes == ADDRESSES)

    def test_a_watch_begins_with_a_whole_snapshot(self) -> None:
        async def scenario() -> Snapshot:
            registry = self.make_registry()
            registry.known("calc", ADDRESSES)
            watch = registry.watch("calc")
            try:
                return await asyncio.wait_for(watch.__anext__(), BOUND)
            finally:
                await watch.aclose()  # type: ignore[attr-defined]
                await registry.close()

        snapshot = asyncio.run(scenario())
        assert len({node.id for node in snapshot.nodes}) == len(snapshot.nodes)

    def test_a_watch_that_waits_can_be_cancelled(self) -> None:
        async def scenario() -> None:
            registry = self.make_registry()
            watch = registry.watch("calc")
            try:
                await asyncio.wait_for(watch.__anext__(), BOUND)
                waiting = asyncio.ensure_future(watch.__anext__())
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.wait_for(waiting, BOUND)
            finally:
                await registry.close()

        asyncio.run(scenario())

    def test_a_registration_is_renewed_and_left(self) -> None:
        async def scenario() -> float:
            registry = self.make_registry()
            try:
                lease = await asyncio.wait_for(registry.register(Instance("calc", ADDRESSES[0])), BOUND)
                await asyncio.wait_for(lease.renew(), BOUND)
                await asyncio.wait_for(lease.revoke(), BOUND)
                return lease.ttl
            finally:
                await registry.close()

        assert asyncio.run(scenario()) > 0

    def test_closing_twice_is_closing(self) -> None:
        async def scenario() -> None:
            registry = self.make_registry()
            await registry.close()
            await registry.close()

        asyncio.run(scenario())
