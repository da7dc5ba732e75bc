"""Each plugin that a race reaches is broken in turn, in its second attempt where it has one.

The call still has the result that the other attempt brings, or one error; and everything is back.
"""

from __future__ import annotations

import time

import pytest

from bee_core.contracts.conformance import Hedging
from bee_core.errors import CallError
from bee_core.hookspecs import hookimpl
from bee_core.interfaces import AsyncPending, Channel, Pending
from bee_core.streams.client.blocking_channel import BlockingChannel
from bee_core.streams.client.blocking_connection import BlockingConnection
from bee_core.streams.client.multiplexed_channel import MultiplexedChannel
from bee_core.streams.client.pending_reply import PendingReply
from bee_core.testing import AnyCall
from bee_plugins.breakers.consecutive import ConsecutiveBreaker
from bee_plugins.fault_tolerance.failbackup import FailBackup
from faults.descriptors import open_sockets
from faults.services import Calculator, serving
from faults.users import AsyncUser, BlockingUser, FutureUser, client_config
from support.patience import PATIENCE

USERS = {"blocking": BlockingUser, "futures": FutureUser, "asyncio": AsyncUser}


class Bug(Exception):
    """What a broken plugin raises."""


class InOrder:
    """Picks in the order of the weights, and counts the picks that have not ended."""

    def __init__(self):
        self.under_way = 0
        self.ready = ()

    def update(self, ready):
        self.ready = sorted(ready, key=lambda node: node.weight)

    def pick(self, key, tried, now, rng):
        node = next((node for node in self.ready if node.id not in tried), None)
        self.under_way += node is not None
        return node

    def settle(self, node, outcome, seconds, now):
        self.under_way -= 1


class Plugins:
    @hookimpl
    def bee_register_balancers(self, registry):
        registry.add("in-order", InOrder)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """The breaker is asked for each attempt."""
    never = property(lambda self: None, lambda self, permit: None)
    monkeypatch.setattr(ConsecutiveBreaker, "standing", never)


@pytest.fixture
def rig():
    """Two servers, the first of which is slow; and what makes clients of them."""
    slow, quick = Calculator(), Calculator()
    quick.release.set()
    with serving(slow) as one, serving(quick) as other:
        urls = [{"url": one.address, "weight": 1}, {"url": other.address, "weight": 2}]

        def make(kind, **settings):
            options = {
                "timeout": 3,
                "read_timeout": 2,
                "retries": 1,
                "balancer": "in-order",
                "fail": {"name": "failbackup", "options": {"delay": 0.02, "budget": 0.1}},
                "idempotent": True,
                "breaker": {"name": "consecutive", "options": {"max_error_count": 1000}},
                "limiter": {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}},
                **settings,
            }
            return USERS[kind](client_config(*urls, **options), [Plugins()])

        yield make, slow, quick


def assert_nothing_is_lost(user):
    service = user.client.assembly.services["calc"]
    assert service.limiter.admit(AnyCall("calc", "hold"), 0.0) is True
    service.limiter.release(None, 0.0)
    assert service.balancer.under_way == 0, "a pick was not settled"
    for state in service.nodes.states.values():
        assert getattr(state.breaker, "state", "closed") == "closed"


HEDGING = ("hedge", "may_hedge", "settle")


def test_the_sweep_has_every_method_of_the_contract():
    written = {name for name, found in vars(Hedging).items() if callable(found) and name[0] != "_"}
    assert written == set(HEDGING)


@pytest.mark.parametrize("how", ["raises", "returns a text", "returns None"])
@pytest.mark.parametrize("name", HEDGING)
@pytest.mark.parametrize("kind", USERS)
def test_a_policy_that_is_broken_costs_no_call(rig, monkeypatch, caplog, kind, name, how):
    make, slow, _ = rig
    reached = []

    def broken(*_):
        reached.append(name)
        if name == "may_hedge":
            slow.release.set()  # there is no second attempt
        if how == "raises":
            raise Bug("a bug")
        return None if how == "returns None" else "a text"

    user = make(kind)
    try:
        monkeypatch.setattr(FailBackup, name, broken)
        call = user.start("hold", 7)
        slow.await_entered()
        if name == "hedge":
            slow.release.set()
        assert call.result(PATIENCE) == 7
        assert reached
        right = name == "settle" or (name == "hedge" and how == "returns None")
        said = sum(f"{name} " in record.message for record in caplog.records)
        assert said == (0 if right and how != "raises" else 1)
        assert_nothing_is_lost(user)
    finally:
        user.close()


CHANNELS = {
    "blocking": BlockingChannel,
    "futures": MultiplexedChannel,
    "asyncio": MultiplexedChannel,
}


@pytest.mark.parametrize("how", ["raises", "returns None", "returns a text"])
@pytest.mark.parametrize("kind", USERS)
def test_a_channel_whose_second_start_is_broken_leaves_the_call_to_the_first(
    rig, monkeypatch, kind, how
):
    make, slow, _ = rig
    assert hasattr(Channel, "start")
    cls, starts = CHANNELS[kind], []
    real = cls.start

    def broken(channel, request):
        starts.append(request)
        if len(starts) == 1:
            return real(channel, request)
        slow.release.set()
        if how == "raises":
            raise Bug("a bug")
        return None if how == "returns None" else "a text"

    monkeypatch.setattr(cls, "start", broken)
    user = make(kind)
    try:
        assert user.call("hold", 7) == 7
        assert len(starts) == 2
        assert_nothing_is_lost(user)
    finally:
        user.close()


@pytest.mark.parametrize("how", ["raises", "a text", "-1", "a stranger"])
def test_a_transport_without_a_descriptor_is_asked_in_turn(rig, monkeypatch, how):
    make, _, _ = rig
    assert {"wait", "fileno", "cancel"} <= set(vars(Pending))

    def broken(connection):
        if how == "raises":
            raise Bug("a bug")
        return {"a text": "a text", "-1": -1, "a stranger": 0}[how]

    monkeypatch.setattr(BlockingConnection, "fileno", broken)
    user = make("blocking")
    try:
        assert user.call("hold", 7) == 7
        assert_nothing_is_lost(user)
    finally:
        user.close()


@pytest.mark.parametrize("kind", USERS)
def test_a_cancel_that_is_broken_costs_the_winner_nothing(rig, monkeypatch, caplog, kind):
    make, _, _ = rig
    cls = BlockingConnection if kind == "blocking" else PendingReply
    assert hasattr(AsyncPending, "cancel")
    name = "let_go" if kind == "blocking" else "cancel"  # a loser's connection is kept
    real = getattr(cls, name)

    def broken(pending):
        real(pending)
        raise Bug("a bug")

    monkeypatch.setattr(cls, name, broken)
    user = make(kind)
    try:
        assert user.call("hold", 7) == 7
        assert f"{name} raised Bug" in caplog.text
        assert_nothing_is_lost(user)
    finally:
        monkeypatch.undo()
        user.close()


@pytest.mark.parametrize("kind", USERS)
def test_a_wait_that_is_broken_is_a_failure_of_its_attempt(rig, monkeypatch, kind):
    make, slow, quick = rig
    quick.release.clear()
    user = make(kind)
    try:
        call = user.start("hold", 7)
        slow.await_entered()
        quick.await_entered()
        if kind == "blocking":
            waited = []

            def broken(connection, seconds=None):
                waited.append(connection)
                raise Bug("a bug")

            monkeypatch.setattr(BlockingConnection, "wait", broken)
            slow.release.set()
            with pytest.raises(CallError) as caught:
                call.result(PATIENCE)
            assert caught.value.executed == "maybe"
            assert waited
        else:
            slow.release.set()
            assert call.result(PATIENCE) == 7
        assert_nothing_is_lost(user)
    finally:
        quick.release.set()
        user.close()


@pytest.mark.parametrize("name", ["pick", "settle"])
@pytest.mark.parametrize("kind", USERS)
def test_a_balancer_that_is_broken_in_a_race(rig, monkeypatch, kind, name):
    make, slow, _ = rig
    real, count = getattr(InOrder, name), []

    def broken(balancer, *args):
        count.append(name)
        if name == "settle":
            real(balancer, *args)
            raise Bug("a bug")
        if len(count) > 1:
            slow.release.set()
            raise Bug("a bug")
        return real(balancer, *args)

    monkeypatch.setattr(InOrder, name, broken)
    user = make(kind)
    try:
        assert user.call("hold", 7) == 7
        assert count
        assert_nothing_is_lost(user)
    finally:
        user.close()


@pytest.mark.parametrize("name", ["admit", "settle"])
@pytest.mark.parametrize("kind", USERS)
def test_a_breaker_that_is_broken_in_a_race(rig, monkeypatch, kind, name):
    make, slow, _ = rig
    real, count = getattr(ConsecutiveBreaker, name), []

    def broken(breaker, *args):
        count.append(name)
        if name == "settle":
            real(breaker, *args)
            raise Bug("a bug")
        if len(count) > 1:
            slow.release.set()
            raise Bug("a bug")
        return real(breaker, *args)

    user = make(kind)
    try:
        monkeypatch.setattr(ConsecutiveBreaker, name, broken)
        assert user.call("hold", 7) == 7
        monkeypatch.undo()
        assert_nothing_is_lost(user)
    finally:
        user.close()


def test_sockets_are_back_after_races(rig):
    make, _, _ = rig
    before = open_sockets()
    for kind in USERS:
        user = make(kind)
        try:
            assert user.call("hold", 7) == 7
        finally:
            user.close()
    until = time.monotonic() + PATIENCE
    while not open_sockets() <= before:
        assert time.monotonic() < until
        time.sleep(0.005)
