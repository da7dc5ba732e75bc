"""A registration against a registry that the test breaks, empties and takes out of reach.

Heartbeats are short. The tests wait for events.
"""

from __future__ import annotations

import asyncio
import functools

import pytest

from bee_core.control.registration import Registration
from bee_core.errors import RegistryError
from bee_core.interfaces import Instance
from bee_core.terms.node import Node
from support.patience import PATIENCE

BEAT = 0.05
INSTANCE = Instance("calc", Node("calc-1", "tcp://127.0.0.1:9000", "1.0.0"))


def run(test):
    @functools.wraps(test)
    def wrapper(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), PATIENCE))

    return wrapper


class Shelf:
    """A registry of one process, with everything that can go wrong in one."""

    def __init__(self, ttl=3 * BEAT):
        self.ttl = ttl
        self.leases = []
        self.living = set()
        self.error = None
        self.gate = None
        self.renewals = 0
        self.attempts = 0
        self.revoked = []
        self.revoking = None
        self.changed = asyncio.Event()

    def reach(self):
        self.changed.set()
        if self.error is not None:
            raise self.error

    async def register(self, instance):
        self.attempts += 1
        self.reach()
        if self.gate is not None:
            await self.gate.wait()
        lease = ShelfLease(self)
        self.leases.append(lease)
        self.living.add(lease)
        return lease

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class ShelfLease:
    def __init__(self, shelf):
        self.shelf = shelf
        self.ttl = shelf.ttl

    async def renew(self):
        self.shelf.reach()
        if self not in self.shelf.living:
            raise RegistryError("no such lease")
        self.shelf.renewals += 1

    async def revoke(self):
        self.shelf.reach()
        if self.shelf.revoking is not None:
            await self.shelf.revoking.wait()
        self.shelf.living.discard(self)
        self.shelf.revoked.append(self)


class Kept:
    """A registration under way, and what it reported."""

    def __init__(self, shelf, beat=BEAT):
        self.shelf = shelf
        self.events = []
        self.ticking = True
        self.ticks = 0
        self.registration = Registration(shelf, INSTANCE, beat, self.tick, self.report)
        self.task = asyncio.ensure_future(self.registration.keep())

    def tick(self):
        self.ticks += self.ticking
        return self.ticks

    def report(self, event):
        self.events.append(event)
        self.shelf.changed.set()

    @property
    def names(self):
        return [event.name for event in self.events]

    async def until(self, name, count=1):
        await self.shelf.until(lambda: self.names.count(name) >= count)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.wait((self.task,), timeout=PATIENCE)


@run
async def test_it_registers_once_and_renews_while_the_loop_ticks():
    async with Kept(Shelf()) as kept:
        await kept.shelf.until(lambda: kept.shelf.renewals >= 4)
        assert kept.names == ["registered"]
        assert kept.events[0].ttl == pytest.approx(3 * BEAT)
        assert kept.shelf.attempts == 1


@run
async def test_a_lease_that_the_registry_has_forgotten_is_made_anew():
    async with Kept(Shelf()) as kept:
        await kept.until("registered")
        kept.shelf.living.clear()
        await kept.until("registered_again")
        assert kept.names == ["registered", "lease_lost", "registered_again"]
        assert "no such lease" in kept.events[1].reason
        await kept.shelf.until(lambda: kept.shelf.renewals >= 2)
        kept.shelf.living.clear()
        await kept.until("registered_again", 2)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        TimeoutError(),
        RegistryError("not now"),
        ValueError("a bug of the plugin"),
    ],
)
@run
async def test_a_registry_that_is_down_at_the_start_is_tried_until_it_is_up_and_said_once(error):
    shelf = Shelf()
    shelf.error = error
    async with Kept(shelf) as kept:
        await shelf.until(lambda: shelf.attempts >= 4)
        assert kept.names == ["registry_out_of_reach"]
        assert not kept.registration.registered
        shelf.error = None
        await kept.until("registered")
        assert kept.names == ["registry_out_of_reach", "registered"]


@run
async def test_an_outage_shorter_than_the_lease_keeps_the_lease():
    async with Kept(Shelf(ttl=60.0)) as kept:
        await kept.until("registered")
        kept.shelf.error = ConnectionResetError("gone")
        await kept.until("registry_out_of_reach")
        kept.shelf.error = None
        await kept.until("registry_in_reach")
        assert kept.names == ["registered", "registry_out_of_reach", "registry_in_reach"]
        assert kept.shelf.attempts == 1


@run
async def test_an_outage_longer_than_the_lease_ends_in_a_new_one():
    async with Kept(Shelf()) as kept:
        await kept.until("registered")
        kept.shelf.error = ConnectionResetError("gone")
        await kept.until("lease_lost")
        assert "out of reach" in kept.events[-1].reason
        await kept.shelf.until(lambda: kept.shelf.attempts >= 3)
        kept.shelf.error = None
        await kept.until("registered_again")
        assert kept.names == [
            "registered",
            "registry_out_of_reach",
            "lease_lost",
            "registered_again",
        ]


@run
async def test_a_loop_that_does_not_tick_is_not_renewed_nor_registered_again_until_it_does():
    async with Kept(Shelf()) as kept:
        await kept.shelf.until(lambda: kept.shelf.renewals >= 1)
        kept.ticking = False
        await kept.until("lease_lost")
        renewals = kept.shelf.renewals
        assert "handler blocks it" in kept.events[-1].reason
        await asyncio.sleep(4 * BEAT)  # nothing may happen, so there is nothing to wait for
        assert (kept.shelf.attempts, kept.shelf.renewals) == (1, renewals)
        kept.ticking = True
        await kept.until("registered_again")


@run
async def test_leaving_revokes_and_ends_the_renewals():
    async with Kept(Shelf()) as kept:
        await kept.until("registered")
        assert await kept.registration.leave(PATIENCE)
        assert not kept.shelf.living
        assert kept.task.done()
        assert not kept.task.cancelled()
        assert await kept.registration.leave(PATIENCE), "twice is once"
        assert len(kept.shelf.revoked) == 1


@run
async def test_leaving_waits_for_a_registration_under_way_and_takes_it_back():
    shelf = Shelf()
    shelf.gate = asyncio.Event()
    async with Kept(shelf) as kept:
        await shelf.until(lambda: shelf.attempts == 1)
        leaving = asyncio.ensure_future(kept.registration.leave(PATIENCE))
        await asyncio.sleep(0)
        shelf.gate.set()
        assert await leaving
        assert len(shelf.leases) == 1
        assert not shelf.living


@run
async def test_leaving_a_registry_that_does_not_answer_is_bounded_and_said():
    async with Kept(Shelf(ttl=60.0)) as kept:
        await kept.until("registered")
        kept.shelf.revoking = asyncio.Event()
        assert not await kept.registration.leave(0.05)
        assert kept.names[-1] == "not_deregistered"


@run
async def test_leaving_while_the_first_registration_hangs_is_bounded():
    shelf = Shelf()
    shelf.gate = asyncio.Event()
    async with Kept(shelf) as kept:
        await shelf.until(lambda: shelf.attempts == 1)
        assert not await kept.registration.leave(0.05)
        assert kept.task.done()


@run
async def test_leaving_before_the_registry_was_ever_reached_has_nothing_to_take_back():
    shelf = Shelf()
    shelf.error = ConnectionRefusedError("refused")
    async with Kept(shelf) as kept:
        await kept.until("registry_out_of_reach")
        assert await kept.registration.leave(PATIENCE)
        assert kept.task.done(), "and nothing is tried any more"


@run
async def test_a_lease_that_the_registry_made_shorter_than_a_beat_is_renewed_in_time():
    beat = 2 * PATIENCE
    async with Kept(Shelf(ttl=3 * BEAT), beat) as kept:
        await kept.shelf.until(lambda: kept.shelf.renewals >= 4)
        assert kept.names == ["registered"]
