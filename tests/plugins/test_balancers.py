from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.terms.node import Node
from bee_core.testing import BalancerContract
from bee_plugins.balancers.round_robin import RoundRobin
from bee_plugins.balancers.weighted_random import WeightedRandom


class TestWeightedRandomContract(BalancerContract):
    def make_balancer(self):
        return WeightedRandom()


class TestRoundRobinContract(BalancerContract):
    def make_balancer(self):
        return RoundRobin()


BOTH = pytest.mark.parametrize("balancer_class", [WeightedRandom, RoundRobin])


def nodes(*weights):
    return [
        Node(str(index), f"tcp://10.0.0.{index}:9000", weight=weight)
        for index, weight in enumerate(weights)
    ]


def picks(balancer, number, tried=(), seed=1):
    rng = Random(seed)
    return [balancer.pick(None, tried, 0.0, rng).id for _ in range(number)]


@BOTH
@pytest.mark.parametrize(
    "weights", [(1, 1, 1), (5, 1, 1), (0.1, 0.2, 0.7), (3, 0, 1), (1e308, 1e308, 1e308 / 2)]
)
def test_calls_are_shared_out_by_weight(balancer_class, weights):
    balancer = balancer_class()
    balancer.update(nodes(*weights))
    counts = Counter(picks(balancer, 20_000))
    heaviest = max(weights)
    shares = [weight / heaviest for weight in weights]
    for index, share in enumerate(shares):
        assert counts[str(index)] / 20_000 == pytest.approx(share / sum(shares), abs=0.015)


@BOTH
def test_neither_wants_to_be_told_how_a_call_ended(balancer_class):
    assert balancer_class().settle is None


@BOTH
@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_node_whose_weight_is_no_positive_number_gets_no_calls(balancer_class, weight):
    balancer = balancer_class()
    balancer.update(nodes(weight, 1))
    assert set(picks(balancer, 50)) == {"1"}


def test_random_without_a_tried_node_keeps_the_shares_of_the_others():
    balancer = WeightedRandom()
    balancer.update(nodes(6, 3, 1))
    counts = Counter(picks(balancer, 20_000, tried={"0"}))
    assert counts["1"] / 20_000 == pytest.approx(0.75, abs=0.015)


def test_random_with_the_same_seed_picks_the_same():
    balancer = WeightedRandom()
    balancer.update(nodes(1, 2, 3))
    assert (
        picks(balancer, 100, seed=5) == picks(balancer, 100, seed=5) != picks(balancer, 100, seed=6)
    )


def test_round_robin_visits_every_node_once_in_a_rotation():
    balancer = RoundRobin()
    balancer.update(nodes(1, 1, 1, 1, 1))
    picked = picks(balancer, 10)
    assert sorted(picked[:5]) == ["0", "1", "2", "3", "4"]
    assert picked[:5] == picked[5:]


def test_round_robin_does_not_serve_the_heavy_node_in_one_burst():
    balancer = RoundRobin()
    balancer.update(nodes(5, 1, 1))
    picked = picks(balancer, 70)
    light = [index for index, name in enumerate(picked) if name != "0"]
    assert all(after - before >= 2 for before, after in pairwise(light)), (
        "the two light ones do not stand together, so the heavy one is split"
    )
    assert Counter(picked) == {"0": 50, "1": 10, "2": 10}


def test_round_robin_clients_begin_in_different_places():
    def first(seed):
        balancer = RoundRobin()
        balancer.update(nodes(*[1] * 10))
        return picks(balancer, 1, seed=seed)[0]

    assert len({first(seed) for seed in range(50)}) > 5


def test_round_robin_gives_the_turn_of_a_tried_node_to_the_next_one():
    balancer = RoundRobin()
    balancer.update(nodes(1, 1, 1))
    assert set(picks(balancer, 30, tried={"1"})) == {"0", "2"}


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=30))
def test_round_robin_shares_are_right_to_a_slot(weights):
    balancer = RoundRobin()
    balancer.update(nodes(*weights))
    rotation = balancer.rotation
    counts = Counter(node.id for node in rotation)
    for index, weight in enumerate(weights):
        exact = weight / sum(weights) * len(rotation)
        assert counts[str(index)] >= 1
        assert counts[str(index)] == pytest.approx(exact, abs=1 + 0.05 * exact)


def test_round_robin_with_many_nodes_and_odd_weights_keeps_its_rotation_short():
    balancer = RoundRobin()
    balancer.update(nodes(*[0.37 + index / 1000 for index in range(5000)]))
    assert len(balancer.rotation) <= 20_000
    assert len(set(balancer.rotation)) == 5000
