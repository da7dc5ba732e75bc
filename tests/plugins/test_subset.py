from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_core.interfaces import Node, Success
from bee_core.options import OptionError
from bee_core.testing import BalancerContract
from bee_plugins.balancers.consistent_hash import ConsistentHash, ConsistentHashOptions
from bee_plugins.balancers.p2c import PowerOfTwoChoices
from bee_plugins.balancers.rendezvous import rank
from bee_plugins.balancers.round_robin import RoundRobin
from bee_plugins.balancers.subset import Subset, SubsetOptions
from bee_plugins.balancers.weighted_random import WeightedRandom
from bee_plugins.balancers.zone import Zone, ZoneOptions
from support.patience import PATIENCE

INNER = [WeightedRandom, RoundRobin, PowerOfTwoChoices, ConsistentHash]


@pytest.mark.parametrize("within", INNER)
@pytest.mark.parametrize("size", [1, 3, 30])
class TestSubsetContract(BalancerContract):
    @pytest.fixture
    def balancer(self, within, size):
        return Subset(SubsetOptions(size=size, within=within(), client="host-1"))

    def make_balancer(self):
        raise NotImplementedError


class TestSubsetOfARandomNameContract(BalancerContract):
    def make_balancer(self):
        return Subset(SubsetOptions(size=2, within=PowerOfTwoChoices()))


def fleet(number, weight=1.0):
    return [
        Node(f"n{one}", f"tcp://10.0.{one // 250}.{one % 250}:1", weight=weight)
        for one in range(number)
    ]


class Kept(WeightedRandom):
    """Keeps what it was told of."""

    def update(self, ready):
        super().update(ready)
        self.ready = [node.id for node in ready]


def subset_of(nodes, size=20, client="host-1"):
    balancer = Subset(SubsetOptions(size=size, within=Kept(), client=client))
    balancer.update(nodes)
    return balancer


def used(nodes, size=20, client="host-1"):
    return set(subset_of(nodes, size, client).within.ready)


def test_a_client_uses_so_many_nodes_and_no_others():
    balancer, rng = subset_of(fleet(100), size=7), Random(1)
    assert len({balancer.pick(None, (), 0.0, rng).id for _ in range(500)}) == 7
    assert used(fleet(5), size=7) == {f"n{one}" for one in range(5)}


def test_every_node_has_about_the_same_number_of_clients():
    counts = Counter(
        name for client in range(1000) for name in used(fleet(100), client=f"client-{client}")
    )
    # Each of 1,000 clients takes a node with a chance of 20 %: 200, spread 12.6.
    assert len(counts) == 100
    assert all(140 < count < 260 for count in counts.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.integers(0, 99), max_size=30))
def test_each_node_that_goes_is_replaced_by_one_and_no_other_changes(client, gone):
    nodes = fleet(100)
    before = used(nodes, client=str(client))
    left = [node for node in nodes if int(node.id[1:]) not in gone]
    after = used(left, client=str(client))
    assert before & {node.id for node in left} <= after
    assert len(after) == 20
    assert len(after - before) == len(before & {f"n{one}" for one in gone})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_and_the_ids_of_the_nodes_mean_nothing(client, rng):
    nodes = fleet(50)
    shuffled = rng.sample(nodes, 50)
    assert used(nodes, client=str(client)) == used(shuffled, client=str(client))


def test_a_drained_node_takes_no_place():
    nodes = [*fleet(10), *(Node(f"d{one}", f"tcp://d{one}:1", weight=0) for one in range(90))]
    assert used(nodes, size=10) == {f"n{one}" for one in range(10)}


def test_the_place_of_a_node_that_is_cut_off_is_taken_and_given_back():
    nodes, balancer = fleet(40), subset_of(fleet(40), size=5)
    before = balancer.within.ready
    balancer.update([node for node in nodes if node.id != before[0]])
    assert len(set(balancer.within.ready) & set(before)) == 4
    balancer.update(nodes)
    assert balancer.within.ready == before


def test_a_call_that_has_tried_its_subset_goes_on_in_rank():
    balancer, rng = subset_of(fleet(10), size=2), Random(1)
    ranked = sorted(fleet(10), key=lambda node: rank("host-1", node.url), reverse=True)
    tried = [node.id for node in ranked[:2]]
    assert balancer.pick(None, tried, 0.0, rng) == ranked[2]
    tried = [node.id for node in ranked[:5]]
    assert balancer.pick(None, tried, 0.0, rng) == ranked[5]


def test_the_balancer_within_hears_of_its_own_picks_only():
    """Else ``consistent-hash`` would count a call less than it has."""

    class Told(Kept):
        def __init__(self):
            super().__init__()
            self.told = []
            self.settle = lambda node, outcome, seconds, now: self.told.append(node.id)

    balancer, rng = Subset(SubsetOptions(size=2, within=Told(), client="host-1")), Random(1)
    balancer.update(fleet(10))
    mine = balancer.within.ready
    inside = balancer.pick(None, (), 0.0, rng)
    beyond = [balancer.pick(None, mine, 0.0, rng) for _ in range(2)]
    for node in (*beyond, inside):
        balancer.settle(node, Success(b""), 0.1, 0.0)
    assert balancer.within.told == [inside.id]
    balancer.update([beyond[0]])
    balancer.settle(balancer.pick(None, (), 0.0, rng), Success(b""), 0.1, 0.0)
    assert balancer.within.told == [inside.id, beyond[0].id]
    assert balancer._beyond == {}, "of calls that have ended nothing is kept"  # noqa: SLF001


def test_without_a_name_clients_differ_and_each_keeps_its_own():
    chosen = []
    for seed in range(10):
        balancer, rng = Subset(SubsetOptions(size=5, within=Kept())), Random(seed)
        balancer.update(fleet(100))
        balancer.pick(None, (), 0.0, rng)
        chosen.append(frozenset(balancer.within.ready))
        balancer.update(fleet(100))
        balancer.pick(None, (), 0.0, rng)
        assert frozenset(balancer.within.ready) == chosen[-1]
    assert len(set(chosen)) == 10


def test_a_list_that_comes_in_the_middle_of_the_first_pick_is_not_lost():
    class Slow(Kept):
        def update(self, ready):
            if not threads:
                threads.append(Thread(target=new_list))
                threads[0].start()
                there.wait(0.05)  # it comes in between if anything lets it
            super().update(ready)
            there.set()

    def new_list():
        balancer.update(fleet(100)[50:])

    threads, there = [], Event()
    balancer = Subset(SubsetOptions(size=5, within=Slow()))
    balancer.update(fleet(50))
    balancer.pick(None, (), 0.0, Random(1))
    threads[0].join()
    assert set(balancer.within.ready) <= {node.id for node in fleet(100)[50:]}


def test_a_forked_child_without_a_name_has_a_subset_of_its_own():
    balancer, rng = Subset(SubsetOptions(size=5, within=Kept())), Random(1)
    balancer.update(fleet(100))
    balancer.pick(None, (), 0.0, rng)
    before = balancer.within.ready
    balancer.after_fork()
    balancer.pick(None, (), 0.0, rng)
    assert balancer.within.ready != before
    named = subset_of(fleet(100))
    before = named.within.ready
    named.after_fork()
    named.pick(None, (), 0.0, rng)
    assert named.within.ready == before


def test_no_count_of_the_balancer_within_drifts():
    nodes, rng = fleet(10), Random(1)
    balancer = Subset(SubsetOptions(size=3, within=PowerOfTwoChoices(), client="c"))
    for _ in range(100):
        balancer.update(rng.sample(nodes, rng.randrange(4, 11)))
        tried = [node.id for node in rng.sample(nodes, 2)]
        picked = [balancer.pick(None, tried, 0.0, rng) for _ in range(4)]
        balancer.update(rng.sample(nodes, rng.randrange(11)))
        for node in filter(None, picked):
            balancer.settle(node, Success(b""), 0.01, 0.0)
    balancer.update(nodes)
    assert not any(load.running for load in balancer.within.loads.values())


def test_a_pick_beyond_the_subset_takes_nothing_from_the_counts_of_the_balancer_within():
    within, rng = ConsistentHash(ConsistentHashOptions(bound=1.25)), Random(1)
    balancer = Subset(SubsetOptions(size=2, within=within, client="c"))
    balancer.update(fleet(4))
    kept = [balancer.pick("key", (), 0.0, rng) for _ in range(4)]
    for _ in range(4):
        beyond = balancer.pick("key", {node.id for node in kept}, 0.0, rng)
        assert beyond not in kept
        balancer.settle(beyond, Success(b""), 0.01, 0.0)
    assert len(within.calls) == 4
    for node in kept:
        balancer.settle(node, Success(b""), 0.01, 0.0)
    assert not within.calls


def test_it_says_whether_a_node_is_in_the_subset():
    balancer = subset_of(fleet(10), size=2)
    said = Counter(balancer.remark(node, 0.0) for node in fleet(10))
    assert said == {"in this client's subset": 2, "not in this client's subset": 8}


@pytest.mark.parametrize("option", [{"size": 0}, {"client": ""}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        SubsetOptions(**({"size": 5} | option))


class Late(Kept):
    """Its first list takes as long as it takes until another list has come, or no other can."""

    def __init__(self):
        super().__init__()
        self.begun, self.overtaken = Event(), Event()

    def update(self, ready):
        first = not self.begun.is_set()
        self.begun.set()
        if first:
            self.overtaken.wait(0.2)
        super().update(ready)
        self.overtaken.set()


def test_a_list_that_comes_during_the_first_pick_is_the_one_that_holds():
    late = Late()
    balancer = Subset(SubsetOptions(size=3, within=late))
    balancer.update(fleet(3))
    with ThreadPoolExecutor(1) as threads:
        pick = threads.submit(balancer.pick, None, (), 0.0, Random(1))
        assert late.begun.wait(PATIENCE)
        balancer.update(fleet(2))
        assert pick.result(PATIENCE) is not None
    assert sorted(late.ready) == ["n0", "n1"]


def test_a_balancer_that_must_know_all_nodes_stands_outside():
    """``zone`` would never spill over: of the list it would hear nothing."""
    zone = Zone(ZoneOptions(zone="a", within=WeightedRandom()))
    with pytest.raises(OptionError, match="put it outside, and Subset within it") as caught:
        Subset(SubsetOptions(size=20, within=zone))
    assert caught.value.option == "within"
