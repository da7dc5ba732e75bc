from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_core.interfaces import Node, Success
from bee_core.testing import BalancerContract
from bee_plugins.balancers.consistent_hash import ConsistentHash, ConsistentHashOptions
from bee_plugins.balancers.hash_ring import number_of_points, points_of, position

VECTORS = Path(__file__).parents[1] / "vectors" / "hash_ring.json"
KEYS = [f"user-{number}" for number in range(4000)]


class TestConsistentHashContract(BalancerContract):
    def make_balancer(self):
        return ConsistentHash()


class TestBoundedConsistentHashContract(BalancerContract):
    def make_balancer(self):
        return ConsistentHash(ConsistentHashOptions(bound=1.25))


class TestConsistentHashWithSlowStartContract(BalancerContract):
    def make_balancer(self):
        balancer = ConsistentHash()
        balancer.start_slowly(30.0)
        return balancer


def fleet(*weights, host="10.0.0"):
    return [
        Node(f"id-{index}", f"tcp://{host}.{index + 1}:9000", weight=weight)
        for index, weight in enumerate(weights)
    ]


def ring_of(nodes, **options):
    balancer = ConsistentHash(ConsistentHashOptions(**options))
    balancer.update(nodes)
    return balancer


def owner(balancer, key, tried=(), now=0.0):
    node = balancer.pick(key, tried, now, Random(1))
    return None if node is None else node.id


def owners(balancer, keys=KEYS, now=0.0):
    return {key: owner(balancer, key, now=now) for key in keys}


def moved(before, after):
    return sum(before[key] != after[key] for key in before) / len(before)


@pytest.mark.parametrize(
    "vector", json.loads(VECTORS.read_text("utf-8")), ids=lambda vector: vector["name"]
)
def test_the_ring_is_that_of_the_vectors(vector):
    nodes = [Node(one["url"], one["url"], weight=one["weight"]) for one in vector["nodes"]]
    balancer = ring_of(nodes)
    assert f"{position(vector['key']):016x}" == vector["position"]
    order = []
    while (node := owner(balancer, vector["key"], tried=order)) is not None:
        order.append(node)
    assert order == vector["order"]


def test_the_order_of_the_list_and_the_ids_of_the_nodes_mean_nothing():
    nodes = fleet(1, 2, 1, 0.5, 1)
    other = [attrs.evolve(node, id=f"other-{node.id}") for node in reversed(nodes)]
    urls = {node.id: node.url for node in (*nodes, *other)}
    first, second = owners(ring_of(nodes)), owners(ring_of(other))
    assert [urls[one] for one in first.values()] == [urls[one] for one in second.values()]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 99))
def test_one_of_100_nodes_that_goes_moves_only_its_own_keys_and_at_most_1_5_percent(net, gone):
    nodes = fleet(*[1] * 100, host=f"10.{net % 256}.{net // 256}")
    balancer = ring_of(nodes)
    before = owners(balancer)
    balancer.update([node for node in nodes if node.id != f"id-{gone}"])
    after = owners(balancer)
    assert {before[key] for key in KEYS if before[key] != after[key]} <= {f"id-{gone}"}
    # What 4,000 keys show differs from the part of the ring; that is exact.
    assert arc(nodes, f"id-{gone}") <= 0.015
    balancer.update(nodes)
    assert owners(balancer) == before


def arc(nodes, id_):
    """The exact part of the ring that a node has."""
    points = sorted((point, node.id) for node in nodes for point in points_of(node.url, 160))
    own = 0
    for index, (point, owner_) in enumerate(points):
        if owner_ == id_:
            own += (point - points[index - 1][0]) % 2**64
    return own / 2**64


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=2, max_size=12),
    st.integers(0, 10**6),
)
def test_keys_are_shared_out_by_weight(weights, net):
    nodes = fleet(*weights, host=f"10.{net % 256}.{net // 256 % 256}")
    counts = Counter(owners(ring_of(nodes)).values())
    for node in nodes:
        share = node.weight / sum(weights)
        # 160 points of weight 1: the spread of a share is about 1 / sqrt(points).
        spread = 5 * share * (1 / (160 * node.weight)) ** 0.5 + 0.03
        assert counts[node.id] / len(KEYS) == pytest.approx(share, abs=spread)


def test_a_ring_that_was_changed_step_by_step_is_the_ring_of_the_last_list():
    rng, nodes = Random(3), fleet(*[1] * 30)
    balancer = ring_of([])
    for _ in range(30):
        listed = [
            attrs.evolve(node, weight=rng.choice([0.5, 1, 3]))
            for node in rng.sample(nodes, rng.randrange(31))
        ]
        balancer.update(listed)
        fresh = ring_of(listed)
        assert owners(balancer, KEYS[:200]) == owners(fresh, KEYS[:200])


def test_a_node_has_points_by_weight_within_bounds():
    assert [number_of_points(one) for one in (1e-9, 1, 2.5, 10, 11, 1e300)] == [
        *(1, 160, 400, 1600, 1600, 1600)
    ]
    assert points_of("tcp://a:1", 160)[:7] == points_of("tcp://a:1", 7)


def test_a_key_goes_to_the_next_node_of_the_ring_where_its_own_was_tried():
    balancer = ring_of(fleet(1, 1, 1, 1))
    for key in KEYS[:50]:
        first = owner(balancer, key)
        second = owner(balancer, key, tried={first})
        without = ring_of([node for node in fleet(1, 1, 1, 1) if node.id != first])
        assert second == owner(without, key) != first


def test_calls_without_a_key_are_spread_by_weight():
    balancer, rng = ring_of(fleet(3, 1)), Random(1)
    counts = Counter(balancer.pick(None, (), 0.0, rng).id for _ in range(4000))
    assert counts["id-0"] / 4000 == pytest.approx(0.75, abs=0.08)


def test_without_a_bound_nobody_wants_to_be_told_how_a_call_ended():
    assert ring_of(fleet(1)).settle is None
    assert ring_of(fleet(1), bound=1.25).settle is not None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=1, max_size=10),
    st.lists(st.sampled_from(["hot", "warm", "a", "b", "c", None]), max_size=120),
    st.sampled_from([1.01, 1.25, 2.0]),
)
def test_no_node_has_more_than_its_bound(weights, keys, bound):
    nodes = fleet(*weights)
    balancer, rng, running = ring_of(nodes, bound=bound), Random(5), Counter()
    points = {node.id: number_of_points(node.weight) for node in nodes}
    for number, key in enumerate(keys):
        node = balancer.pick(key, (), 0.0, rng)
        running[node.id] += 1
        share = points[node.id] / sum(points.values())
        assert running[node.id] <= ceil(bound * running.total() * share + 1e-9)
        if number % 3 == 2:
            ended = rng.choice(sorted(running.elements()))
            running[ended] -= 1
            balancer.settle(nodes[int(ended[3:])], Success(b""), 0.01, 0.0)


def test_a_bound_beyond_all_numbers_is_none():
    balancer = ring_of(fleet(1, 1, 1), bound=1e308)
    picks = [balancer.pick("key", (), 0.0, Random(1)) for _ in range(3)]
    assert len({node.id for node in picks}) == 1


def test_a_hot_key_spreads_over_the_next_nodes_and_comes_back():
    balancer = ring_of(fleet(*[1] * 10), bound=1.25)
    home = owner(ring_of(fleet(*[1] * 10)), "hot")
    picked = [balancer.pick("hot", (), 0.0, Random(1)) for _ in range(80)]
    assert max(Counter(node.id for node in picked).values()) <= 10
    for node in picked:
        balancer.settle(node, None, 0.0, 0.0)
    assert owner(balancer, "hot") == home


def test_counts_do_not_drift_when_nodes_leave_and_come_back_between_pick_and_settle():
    nodes = fleet(1, 1, 1)
    balancer, rng = ring_of(nodes, bound=1.25), Random(2)
    for _ in range(50):
        picked = [balancer.pick(None, (), 0.0, rng) for _ in range(6)]
        balancer.update(rng.sample(nodes, rng.randrange(4)))
        rng.shuffle(picked)
        for node in picked[:3]:
            balancer.settle(node, Success(b""), 0.0, 0.0)
        balancer.update(nodes)
        for node in picked[3:]:
            balancer.settle(node, None, 0.0, 0.0)
        assert not balancer.calls
        assert not any(place.running for place in balancer.ring.places.values())


def test_a_fresh_node_takes_over_its_keys_one_after_another():
    nodes = fleet(*[1] * 5)
    balancer = ConsistentHash()
    balancer.start_slowly(100.0)
    balancer.update(nodes[:4])
    before = owners(balancer, now=0.0)
    balancer.update(nodes)
    full = owners(ring_of(nodes))
    its = sum(one == "id-4" for one in full.values())
    taken = {key for key, one in owners(balancer, now=10.0).items() if one == "id-4"}
    assert len(taken) / its == pytest.approx(0.1, abs=0.05)
    for now, share in ((30.0, 0.2), (60.0, 0.5), (90.0, 0.8)):
        held = {key for key, one in owners(balancer, now=now).items() if one == "id-4"}
        assert taken <= held  # a key that has moved stays
        assert len(held) / its == pytest.approx(share, abs=0.08)
        taken = held
    now_at_home = owners(balancer, now=60.0)
    assert all(now_at_home[key] in {before[key], "id-4"} for key in KEYS)
    assert owners(balancer, now=110.0) == full


def test_each_key_belongs_to_the_first_point_behind_it_whatever_changed_before():
    rng = Random(11)
    nodes = [Node(f"id-{one}", f"tcp://10.9.0.{one}:9000") for one in range(200)]
    balancer, listed = ConsistentHash(), nodes[:150]
    for step in range(40):
        if step % 10 == 9:  # most of the list is another one: the ring is made anew
            listed = rng.sample(nodes, rng.choice([1, 20, 200]))
        else:
            listed = rng.sample(listed, max(1, len(listed) - 2))
            listed = [*listed, *rng.sample([node for node in nodes if node not in listed], 2)]
        balancer.update(listed)
        points = sorted((point, node.id) for node in listed for point in points_of(node.url, 160))
        # The borders of the arcs and of the ring, and what lies between points.
        asked = [0, 2**64 - 1, points[0][0], points[-1][0], min(2**64 - 1, points[-1][0] + 1)]
        asked += [rng.getrandbits(64) for _ in range(40)]
        asked += [rng.randrange(16) << 60 for _ in range(5)]
        for at in asked:
            found = points[bisect_left(points, (at, "")) % len(points)][1]
            assert balancer.ring.owner(at).node.id == found
            assert next(balancer.ring.from_here(at)).node.id == found
        everyone = [place.node.id for place in balancer.ring.from_here(asked[-1])]
        assert sorted(everyone) == sorted(node.id for node in listed)


def test_a_node_that_changes_costs_little_of_a_ring_of_thousands():
    """Points that are hashed or moved, which are counted exactly: no time is measured."""
    nodes = [Node(str(one), f"tcp://10.0.{one // 250}.{one % 250}:9000") for one in range(2000)]
    balancer = ring_of(nodes)
    before = balancer.ring
    owners(balancer, KEYS[:500])
    balancer.update(nodes[1:])
    after = balancer.ring
    moved_arcs = [
        number
        for number, arc in enumerate(after.arcs)
        if arc is not before.arcs[number]  # the others are shared
    ]
    assert 0 < len(moved_arcs) <= 160
    assert max(map(len, after.arcs)) < 1000
    asked = [number for number, arc in enumerate(before.ordered) if arc is not None]
    kept = [number for number in asked if after.ordered[number] is before.ordered[number]]
    assert len(asked) - len(kept) <= 2 * 160


def test_a_list_sorts_nothing_before_a_key_asks():
    balancer = ring_of(fleet(*[1] * 50))
    assert not any(balancer.ring.ordered)
    owner(balancer, "key")
    assert sum(arc is not None for arc in balancer.ring.ordered) == 1


def test_a_pick_compares_no_more_nodes_in_a_large_fleet():
    """Calls of Python functions, which are counted exactly, after the arcs were sorted."""
    import sys

    def calls(number):
        balancer = ring_of(
            [Node(str(one), f"tcp://10.0.{one // 250}.{one % 250}:9000") for one in range(number)]
        )
        owners(balancer, KEYS[:100])
        count = 0

        def count_calls(frame, event, arg):
            nonlocal count
            count += event in {"call", "c_call"}

        sys.setprofile(count_calls)
        try:
            for key in KEYS[:100]:
                balancer.pick(key, (), 0.0, Random)
        finally:
            sys.setprofile(None)
        return count

    assert calls(10) == calls(1000)


@pytest.mark.parametrize("option", [{"bound": 1.0}, {"bound": float("inf")}, {"argument": " "}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        ConsistentHashOptions(**option)


def test_a_signal_in_the_middle_of_a_pick_leaves_no_call_behind():
    class Interrupted(BaseException):
        pass

    balancer = ring_of(fleet(1, 1), bound=1.25)

    class Full(list):
        def append(self, _):
            super().append(_)
            raise Interrupted

    balancer.calls = Full()
    with pytest.raises(Interrupted):
        balancer.pick("a", (), 0.0, Random(1))
    assert not balancer.calls
    balancer.calls = []
    for place in balancer.ring.places.values():
        place.running = Full()
    with pytest.raises(Interrupted):
        balancer.pick("a", (), 0.0, Random(1))
    assert not balancer.calls
    assert not any(place.running for place in balancer.ring.places.values())


def test_many_threads_pick_and_settle_and_no_count_is_lost():
    balancer = ring_of(fleet(*[1] * 5), bound=1.25)

    def calls(seed):
        rng, held = Random(seed), []
        for _ in range(1000):
            held.append(balancer.pick(rng.choice("abc"), (), 0.0, rng))
            if len(held) > 3:
                balancer.settle(held.pop(rng.randrange(4)), None, 0.0, 0.0)
        for node in held:
            balancer.settle(node, Success(b""), 0.0, 0.0)

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(calls, seed) for seed in range(8)]:
            done.result()
    assert not balancer.calls
    assert not any(place.running for place in balancer.ring.places.values())
