"""A registration against a registry that the test breaks, on a clock that does not wait."""

from __future__ import annotations

import asyncio
import functools
from itertools import pairwise
from random import Random

import pytest

from bee_core.control.registration import Registration
from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node
from bee_core.testing import MemoryRegistry
from support.virtual_loop import run_virtually

BEAT = 10.0
TTL = 3 * BEAT
INSTANCE = Instance("calc", Node("calc-1", "tcp://127.0.0.1:9000", "1.0.0"))
BOUND = 10_000.0
"""Seconds of the virtual clock."""


def run(test):
    @functools.wraps(test)
    def wrapper(*args, **kwargs):
        run_virtually(asyncio.wait_for(test(*args, **kwargs), BOUND))

    return wrapper


def now():
    return asyncio.get_running_loop().time()


class Shelf:
    """A registry whose next answers the test sets. It notes when it was asked.

    Attributes:
        seconds: How long an answer takes; the request is carried out at once.
        error: What is answered; None for what was asked for.
        gate: Answers wait for it.
        stubborn: Attempts to register cannot be cancelled.
    """

    def __init__(self, ttl=TTL):
        self.ttl = ttl
        self.seconds = 0.0
        self.error = None
        self.stubborn = False
        self.gate = None
        self.attempts = []
        self.renewals = []
        self.revoked = []
        self.under_way = 0
        self.most_under_way = 0
        self.changed = asyncio.Event()

    async def answer(self):
        error, seconds = self.error, self.seconds
        self.changed.set()
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(seconds)
        self.changed.set()
        if error is not None:
            raise error

    async def register(self, instance):
        self.attempts.append(now())
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            answer = asyncio.ensure_future(self.answer())
            if self.stubborn:
                await asyncio.wait((answer,))
            await answer
        except asyncio.CancelledError:
            if not self.stubborn:
                raise
            await answer
        finally:
            self.under_way -= 1
        return ShelfLease(self)

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class ShelfLease:
    def __init__(self, shelf):
        self.shelf = shelf
        self.ttl = shelf.ttl
        self.repairs = 0

    async def renew(self):
        self.shelf.renewals.append(now())
        await self.shelf.answer()

    async def revoke(self):
        await self.shelf.answer()
        self.shelf.revoked.append(self)


class Kept:
    """A registration under way, and what it reported."""

    def __init__(self, registry, beat=BEAT, seed=0, instance=INSTANCE):
        self.events = []
        self.ticking = True
        self.ticks = 0
        self.told = asyncio.Event()
        self.registration = Registration(
            registry, instance, beat, self.tick, self.report, rng=Random(seed), clock=now
        )
        self.task = asyncio.ensure_future(self.registration.keep())

    def tick(self):
        self.ticks += self.ticking
        return self.ticks

    def report(self, event):
        self.events.append(event)
        self.told.set()

    @property
    def names(self):
        return [event.name for event in self.events]

    async def until(self, name, count=1):
        while self.names.count(name) < count:
            self.told.clear()
            await self.told.wait()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.wait((self.task,))


# Holding a lease.


@run
async def test_it_registers_once_and_renews_while_the_loop_ticks():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await asyncio.sleep(100 * BEAT)
        assert kept.names == ["registered"]
        assert kept.events[0].ttl == TTL
        assert len(shelf.attempts) == 1
        assert 99 <= len(shelf.renewals) <= 111
        assert kept.registration.registered


@run
async def test_a_lease_that_the_registry_has_forgotten_is_made_anew_at_once():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        for again in (1, 2):
            await asyncio.sleep(3 * BEAT)
            shelf.error = LeaseLost("no such lease")
            renewed = len(shelf.renewals)
            await shelf.until(lambda was=renewed: len(shelf.renewals) > was)
            lost = now()
            shelf.error = None
            await kept.until("registered_again", again)
            assert now() == lost
        assert kept.names == ["registered", *["lease_lost", "registered_again"] * 2]
        assert kept.events[1].reason == "no such lease"
        assert shelf.revoked == []


@run
async def test_a_lease_that_the_registry_made_shorter_than_a_beat_is_renewed_in_time():
    shelf = Shelf(ttl=3.0)
    async with Kept(shelf) as kept:
        await asyncio.sleep(30)
        assert kept.names == ["registered"]
        assert len(shelf.renewals) >= 29


@run
async def test_the_first_renewal_after_a_long_registration_comes_early_enough():
    shelf = Shelf()
    shelf.seconds = 28.0
    async with Kept(shelf) as kept:
        await kept.until("registered")
        registered = now()
        shelf.seconds = 0.0
        await shelf.until(lambda: shelf.renewals)
        assert shelf.renewals[0] == registered
        await asyncio.sleep(10 * TTL)
        assert kept.names == ["registry_out_of_reach", "registered"]


# Answers that say nothing.

NOTHING = [
    ConnectionResetError("gone"),
    TimeoutError(),
    ValueError("<html>502 Bad Gateway</html>"),
    KeyError("a bug of the plugin"),
]


@pytest.mark.parametrize("error", NOTHING)
@run
async def test_a_renewal_that_fails_is_tried_again_until_the_lease_is_over(error):
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await asyncio.sleep(2.05 * BEAT)
        renewed = shelf.renewals[-1]
        shelf.error = error
        # Tries are 5 s apart at most, so one more comes before the lease is over.
        await asyncio.sleep(renewed + TTL - 5.1 - now())
        assert kept.names == ["registered", "registry_out_of_reach"]
        assert kept.registration.registered
        assert len(shelf.renewals) >= 5
        shelf.error = None
        await asyncio.sleep(3 * TTL)
        assert kept.names == ["registered", "registry_out_of_reach", "registry_in_reach"]
        assert shelf.revoked == []


@run
async def test_an_outage_shorter_than_the_lease_keeps_the_lease():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await asyncio.sleep(2.05 * BEAT)
        shelf.error = ConnectionResetError("gone")
        await asyncio.sleep(2 * BEAT)
        shelf.error = None
        await kept.until("registry_in_reach")
        await asyncio.sleep(10 * BEAT)
        assert kept.names == ["registered", "registry_out_of_reach", "registry_in_reach"]
        assert len(shelf.attempts) == 1


@run
async def test_an_outage_longer_than_the_lease_ends_in_a_new_one_and_revokes_nothing():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await asyncio.sleep(2.05 * BEAT)
        shelf.error = ConnectionResetError("gone")
        await kept.until("lease_lost")
        assert now() == pytest.approx(shelf.renewals[1] + TTL)
        assert "out of reach" in kept.events[-1].reason
        assert not kept.registration.registered
        await asyncio.sleep(10 * TTL)
        shelf.error = None
        await kept.until("registered_again")
        assert kept.names == [
            "registered",
            "registry_out_of_reach",
            "lease_lost",
            "registered_again",
        ]
        assert shelf.revoked == []


@pytest.mark.parametrize("beats", [0.8, 1.25, 1.8])
@run
async def test_a_registry_whose_answers_are_late_by_less_than_two_beats_costs_no_lease(beats):
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        shelf.seconds = beats * BEAT
        await asyncio.sleep(50 * BEAT)
        assert kept.names[1:] == ([] if beats < 0.9 else ["registry_out_of_reach"])
        shelf.seconds = 0.0
        await asyncio.sleep(10 * BEAT)
        assert "lease_lost" not in kept.names
        assert kept.registration.registered
        assert len(shelf.attempts) == 1


@run
async def test_a_lease_lasts_from_when_the_renewal_was_sent_that_was_answered_last():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        shelf.seconds = 1.5 * BEAT
        await shelf.until(lambda: shelf.renewals)
        shelf.gate = asyncio.Event()  # no later one is answered
        await kept.until("lease_lost")
        assert now() == pytest.approx(shelf.renewals[0] + TTL, abs=0.01)


@run
async def test_a_renewal_that_the_network_swallowed_is_made_up_for():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        shelf.seconds = BOUND
        await shelf.until(lambda: shelf.renewals)
        shelf.seconds = 0.0
        await asyncio.sleep(20 * BEAT)
        assert kept.names == ["registered", "registry_out_of_reach", "registry_in_reach"]


@run
async def test_a_refusal_of_renewals_is_told_as_one_and_the_lease_kept_until_its_end():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        shelf.error = RegistryError("permission denied")
        await kept.until("lease_lost")
        assert kept.names == ["registered", "registration_refused", "lease_lost"]
        assert kept.events[1].reason == "permission denied"
        assert "permission denied" in kept.events[2].reason
        assert now() >= shelf.attempts[0] + TTL
        shelf.error = None
        await kept.until("registered_again")


# The serving loop.


@run
async def test_a_loop_that_does_not_tick_is_not_renewed_nor_registered_again_until_it_does():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await shelf.until(lambda: shelf.renewals)
        kept.ticking = False
        await kept.until("lease_lost")
        renewals = len(shelf.renewals)
        assert "handler blocks it" in kept.events[-1].reason
        await asyncio.sleep(10 * TTL)
        assert (len(shelf.attempts), len(shelf.renewals)) == (1, renewals)
        kept.ticking = True
        await kept.until("registered_again")


# Registering.


@pytest.mark.parametrize(
    ("error", "name"),
    [
        *((error, "registry_out_of_reach") for error in NOTHING),
        (RegistryError("permission denied"), "registration_refused"),
        (IdTaken("tcp://10.0.0.9:9000 has the id"), "id_taken"),
    ],
)
@run
async def test_what_is_wrong_at_the_start_is_told_once_and_tried_until_it_is_right(error, name):
    shelf = Shelf()
    shelf.error = error
    async with Kept(shelf) as kept:
        await asyncio.sleep(20 * BEAT)
        assert len(shelf.attempts) > 10
        assert kept.names == [name]
        assert str(error.args[0] if error.args else "") in kept.events[0].reason
        assert not kept.registration.registered
        shelf.error = None
        await kept.until("registered")
        assert kept.names == [name, "registered"]


@run
async def test_an_attempt_is_given_as_long_as_a_lease_and_is_the_only_one():
    shelf = Shelf()
    shelf.seconds = 0.95 * TTL
    async with Kept(shelf) as kept:
        await kept.until("registry_out_of_reach")
        assert now() == pytest.approx(shelf.attempts[0] + BEAT), "silence is told after a beat"
        await kept.until("registered")
        assert len(shelf.attempts) == 1


@pytest.mark.parametrize("stubborn", [False, True])
@run
async def test_attempts_that_get_no_answer_are_made_one_after_another(stubborn):
    shelf = Shelf()
    shelf.seconds, shelf.stubborn = 1.5 * TTL, stubborn
    async with Kept(shelf) as kept:
        await shelf.until(lambda: len(shelf.attempts) >= (1 if stubborn else 3))
        assert shelf.most_under_way == 1
        shelf.seconds = 0.0
        await kept.until("registered")
        assert shelf.most_under_way == 1
        assert len(shelf.attempts) == (1 if stubborn else 4), "a lease that came late is taken"


@run
async def test_what_register_returns_must_be_a_lease():
    class Wrong(Shelf):
        async def register(self, instance):
            await super().register(instance)
            return object()

    async with Kept(Wrong()) as kept:
        await kept.until("registry_out_of_reach")
        assert "renew" in kept.events[0].reason


@pytest.mark.parametrize("trouble", ["down", "silent", "slow", "garbled", "wiped", "taken"])
@pytest.mark.parametrize("beat", [1.0, 10.0])
@run
async def test_a_server_makes_two_requests_a_second_above_the_usual_at_most(beat, trouble):
    registry = MemoryRegistry(clock=now)
    asked = []
    session = registry.session(RegistrySettings((), beat))
    async with Kept(session, beat, seed=5) as kept:
        await kept.until("registered")
        await asyncio.sleep(5.05 * beat)
        break_down(registry, trouble)
        before = registry.requests
        for second in range(int(20 * beat)):
            if second == int(12 * beat):
                registry.come_back()
                if trouble == "taken":
                    registry.withdraw("calc")
            await asyncio.sleep(1)
            asked.append(registry.requests - before)
            before = registry.requests
        # An attempt to register is one request here, and about two in a registry of the network.
        assert max(asked) <= 1 / beat + 2
        assert sum(asked) <= len(asked) * (1 / beat + 1)
        await asyncio.sleep(3 * beat)
        assert registry.nodes("calc") == (INSTANCE.node,)
        assert kept.registration.registered


def break_down(registry, trouble):
    match trouble:
        case "down":
            registry.go_out_of_reach()
        case "silent":
            registry.go_silent()
        case "slow":
            registry.slow(7.0)
        case "garbled":
            registry.garble()
        case "wiped":
            registry.wipe()
        case "taken":
            registry.overwrite("calc", "calc-1", living=True, url="tcp://10.0.0.9:1")


@pytest.mark.parametrize("beat", [0.5, 1.0, 10.0])
@run
async def test_attempts_are_a_second_apart_at_least_and_a_beat_at_most(beat):
    shelf = Shelf()
    shelf.error = ConnectionRefusedError("refused")
    async with Kept(shelf, beat):
        await asyncio.sleep(100 * beat)
        pauses = [then - before for before, then in pairwise(shelf.attempts)]
        assert max(pauses) <= beat
        assert min(pauses) >= min(1.0, 0.7 * beat)
        assert max(pauses) - min(pauses) > 0.2 * beat, "they are drawn by chance"


@run
async def test_renewals_that_are_answered_at_one_moment_all_count():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        for _ in range(20):
            gate = shelf.gate = asyncio.Event()
            begun = len(shelf.renewals)
            await shelf.until(lambda was=begun: len(shelf.renewals) == was + 2)
            shelf.gate = None
            gate.set()
            await asyncio.sleep(3 * BEAT)
        assert kept.registration.registered
        assert not kept.task.done()


@run
async def test_servers_that_an_outage_brought_into_step_come_out_of_it_again():
    registry = MemoryRegistry(clock=now)
    registry.go_out_of_reach()
    servers = [
        Kept(
            registry.session(RegistrySettings((), BEAT)),
            seed=seed,
            instance=Instance("calc", Node(f"calc-{seed}", f"tcp://10.0.0.{seed}:1")),
        )
        for seed in range(50)
    ]
    await asyncio.sleep(10 * BEAT)
    registry.come_back()
    most = 0
    for _ in range(int(2 * BEAT)):
        before = registry.requests
        await asyncio.sleep(1)
        most = max(most, registry.requests - before)
    assert most <= 15, "50 in ten seconds are 5 a second"
    assert len(registry.nodes("calc")) == 50
    for kept in servers:
        await kept.__aexit__()


@run
async def test_an_overwritten_record_is_right_again_within_a_beat():
    registry = MemoryRegistry(clock=now)
    async with Kept(registry.session(RegistrySettings((), BEAT))) as kept:
        await kept.until("registered")
        for spoil in (
            lambda: registry.overwrite("calc", "calc-1", url="tcp://10.0.0.9:1"),
            lambda: registry.erase("calc", "calc-1"),
            registry.wipe,
        ):
            spoil()
            await asyncio.sleep(BEAT)
            assert registry.nodes("calc") == (INSTANCE.node,)
        repaired = ["record_repaired"] * 2
        assert kept.names == ["registered", *repaired, "lease_lost", "registered_again"]
        assert kept.events[1].reason


@run
async def test_an_id_that_another_server_holds_is_told_once_with_its_holder():
    registry = MemoryRegistry(clock=now)
    async with Kept(registry.session(RegistrySettings((), BEAT))) as kept:
        await kept.until("registered")
        registry.overwrite("calc", "calc-1", living=True, url="tcp://10.0.0.9:1")
        await asyncio.sleep(20 * BEAT)
        assert kept.names == ["registered", "id_taken"]
        assert "tcp://10.0.0.9:1" in kept.events[1].reason
        registry.withdraw("calc")
        await kept.until("registered_again")
        assert registry.nodes("calc") == (INSTANCE.node,)


# Leaving.


@run
async def test_leaving_revokes_and_ends_the_renewals():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        assert await kept.registration.leave(2.0)
        assert kept.task.done()
        assert not kept.task.cancelled()
        assert await kept.registration.leave(2.0), "twice is once"
        assert len(shelf.revoked) == 1


@run
async def test_leaving_waits_for_a_registration_under_way_and_takes_it_back():
    shelf = Shelf()
    shelf.seconds = 1.0
    async with Kept(shelf) as kept:
        await shelf.until(lambda: shelf.attempts)
        shelf.changed.clear()
        assert await kept.registration.leave(5.0)
        assert len(shelf.revoked) == 1


@run
async def test_leaving_a_registry_that_does_not_answer_is_bounded_and_said():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        shelf.seconds = BOUND
        began = now()
        assert not await kept.registration.leave(2.0)
        assert now() - began == pytest.approx(2.0)
        assert kept.names == ["registered", "not_deregistered"]


@run
async def test_leaving_while_the_first_registration_hangs_is_bounded_and_said():
    shelf = Shelf()
    shelf.seconds = BOUND
    async with Kept(shelf) as kept:
        await shelf.until(lambda: shelf.attempts)
        assert not await kept.registration.leave(2.0)
        assert kept.names == ["not_deregistered"]
        assert kept.task.done()


@run
async def test_leaving_before_the_registry_was_ever_reached_has_nothing_to_take_back():
    shelf = Shelf()
    shelf.error = ConnectionRefusedError("refused")
    async with Kept(shelf) as kept:
        await kept.until("registry_out_of_reach")
        assert await kept.registration.leave(2.0)
        assert kept.task.done(), "and nothing is tried any more"


@run
async def test_a_lease_whose_time_is_over_is_taken_back_by_leaving():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        shelf.error = TimeoutError()
        await kept.until("lease_lost")
        await asyncio.sleep(BEAT)
        shelf.error = None
        assert await kept.registration.leave(2.0)
        assert len(shelf.revoked) == 1


@run
async def test_leaving_a_lease_that_the_registry_has_forgotten_is_leaving():
    shelf = Shelf()
    async with Kept(shelf) as kept:
        await kept.until("registered")
        shelf.error = LeaseLost("no such lease")
        assert await kept.registration.leave(2.0)
        assert kept.names == ["registered"]
