"""Slow start of ``random`` and ``round-robin``, and of what all balancers share."""

from __future__ import annotations

from collections import Counter
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_core.interfaces import Node
from bee_core.testing import BalancerContract
from bee_plugins.balancers.round_robin import RoundRobin
from bee_plugins.balancers.slow_start import FreshNodes
from bee_plugins.balancers.weighted_random import WeightedRandom

BOTH = pytest.mark.parametrize("balancer_class", [WeightedRandom, RoundRobin])


@BOTH
class TestSlowStartContract(BalancerContract):
    @pytest.fixture
    def balancer(self, balancer_class):
        balancer = balancer_class()
        balancer.start_slowly(30.0)
        return balancer

    def make_balancer(self):
        raise NotImplementedError


def nodes(*weights):
    return [
        Node(str(index), f"tcp://10.0.0.{index + 1}:9000", weight=weight)
        for index, weight in enumerate(weights)
    ]


def starting(balancer_class, *lists, window=100.0, now=0.0):
    balancer = balancer_class()
    balancer.start_slowly(window)
    for listed in lists:
        balancer.update(listed)
        balancer.pick(None, (), now, Random(1))
    return balancer


def shares(balancer, now, number=8000, tried=()):
    rng = Random(2)
    counts = Counter(balancer.pick(None, tried, now, rng).id for _ in range(number))
    return {name: count / number for name, count in counts.items()}


@BOTH
@pytest.mark.parametrize(
    ("now", "part"), [(0.0, 0.1), (5.0, 0.1), (25.0, 0.25), (50.0, 0.5), (100.0, 1.0), (1e6, 1.0)]
)
def test_a_fresh_node_has_a_tenth_of_its_weight_at_first_and_more_each_second(
    balancer_class, now, part
):
    balancer = starting(balancer_class, nodes(1, 1, 1), nodes(1, 1, 1, 2))
    assert shares(balancer, now)["3"] == pytest.approx(2 * part / (3 + 2 * part), abs=0.02)


@BOTH
def test_the_nodes_of_the_first_list_are_not_fresh(balancer_class):
    balancer = starting(balancer_class, nodes(1, 3))
    assert shares(balancer, 0.0)["0"] == pytest.approx(0.25, abs=0.02)


@BOTH
def test_where_all_are_fresh_none_is_helped(balancer_class):
    moved = [attrs.evolve(node, id=f"new-{node.id}") for node in nodes(1, 3)]
    balancer = starting(balancer_class, nodes(1, 3), moved)
    assert shares(balancer, 0.0)["new-0"] == pytest.approx(0.25, abs=0.02)


@BOTH
def test_where_all_are_fresh_the_oldest_counts_in_full(balancer_class):
    one, other = (Node(name, f"tcp://{name}:1") for name in "ab")
    balancer = starting(balancer_class, nodes(1), [*nodes(1), one], now=0.0)
    balancer.update([one, other])
    balancer.pick(None, (), 50.0, Random(1))
    # 0.5 and 0.1 of the weight: five to one.
    assert shares(balancer, 50.0)["b"] == pytest.approx(1 / 6, abs=0.03)


@BOTH
def test_a_node_that_was_away_is_fresh_again(balancer_class):
    balancer = starting(balancer_class, nodes(1, 1), nodes(1), now=0.0)
    balancer.update(nodes(1, 1))
    assert shares(balancer, 1000.0)["1"] == pytest.approx(0.1 / 1.1, abs=0.02)
    assert shares(balancer, 1100.0)["1"] == pytest.approx(0.5, abs=0.02)


@BOTH
def test_a_list_that_changes_does_not_make_a_fresh_node_younger(balancer_class):
    balancer = starting(balancer_class, nodes(1, 1), nodes(1, 1, 1), now=0.0)
    balancer.update([*nodes(1, 1), attrs.evolve(nodes(1, 1, 1)[2], weight=1.0, version="2")])
    assert shares(balancer, 50.0)["2"] == pytest.approx(0.2, abs=0.02)


@BOTH
def test_a_fresh_node_gets_the_call_where_no_other_is_left(balancer_class):
    balancer = starting(balancer_class, nodes(1, 1), nodes(1, 1, 1))
    assert shares(balancer, 0.0, number=50, tried=("0", "1")) == {"2": 1.0}


@BOTH
def test_without_the_key_pick_is_the_method_of_the_class(balancer_class):
    assert "pick" not in vars(balancer_class())


def test_where_all_are_equally_fresh_none_refuses_a_call():
    """Otherwise each pick would draw until it gives up, and ``p2c`` would have nothing to compare."""
    fresh = FreshNodes(10.0)
    fresh.update(nodes(1))
    fresh.update([Node(name, f"tcp://{name}:1") for name in "ab"])
    assert not any(fresh.refuses(name, now, 0.999) for name in "ab" for now in (0.0, 5.0))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 6)), min_size=1, max_size=8),
    st.floats(0.1, 100.0),
    st.integers(0, 100),
)
def test_no_node_is_fresh_for_longer_than_the_window(lists, window, seed):
    fresh, now, rng = FreshNodes(window), 0.0, Random(seed)
    for ids in lists:
        fresh.update([Node(str(one), f"tcp://{one}:1") for one in ids])
        now += rng.random() * window
        for one in range(7):
            fresh.refuses(str(one), now, rng.random())
        assert fresh.began.keys() <= {str(one) for one in ids}
    for one in range(7):
        assert not fresh.refuses(str(one), now + window * 1.001, 1.0)
    assert fresh.began == {}
