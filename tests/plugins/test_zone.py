from __future__ import annotations

from collections import Counter
from random import Random

import attrs
import pytest

from bee_core.interfaces import Node, Success
from bee_core.options import OptionError
from bee_core.testing import BalancerContract
from bee_plugins.balancers.consistent_hash import ConsistentHash, ConsistentHashOptions
from bee_plugins.balancers.p2c import PowerOfTwoChoices
from bee_plugins.balancers.round_robin import RoundRobin
from bee_plugins.balancers.weighted_random import WeightedRandom
from bee_plugins.balancers.zone import Zone, ZoneOptions

INNER = [WeightedRandom, RoundRobin, PowerOfTwoChoices, ConsistentHash]


@pytest.mark.parametrize("within", INNER)
class TestZoneContract(BalancerContract):
    @pytest.fixture
    def balancer(self, within):
        return Zone(ZoneOptions(zone="a", within=within()))

    def make_balancer(self):
        raise NotImplementedError


def zone(near, far, ready_near=None, ready_far=None, *, within=None, **options):
    """A balancer that knows so many nodes on each side, of which so many are ready."""
    balancer = Zone(ZoneOptions(zone="a", within=within or WeightedRandom(), **options))
    here = [Node(f"a{index}", f"tcp://10.0.0.{index}:1", zone="a") for index in range(near)]
    there = [Node(f"b{index}", f"tcp://10.0.1.{index}:1", zone="b") for index in range(far)]
    balancer.listed([*here, *there])
    balancer.update([*here[:ready_near], *there[:ready_far]])
    return balancer


def share_here(balancer, number=4000, **given):
    rng = Random(1)
    picked = [balancer.pick(given.get("key"), (), 0.0, rng) for _ in range(number)]
    return sum(node.zone == "a" for node in picked) / number


@pytest.mark.parametrize(
    ("ready_near", "ready_far", "share"),
    [
        (10, 10, 1.0),
        (8, 10, 1.0),  # 80 % x 1.4 is above 100 %
        (7, 10, 0.98),
        (5, 10, 0.7),
        (1, 10, 0.14),
        (0, 10, 0.0),
        # Both sides ill: 42 % and 28 % of what is needed, of 70 % in all.
        (3, 2, 0.6),
        (3, 0, 1.0),
    ],
)
def test_calls_leave_the_zone_as_far_as_its_health_asks_for_it(ready_near, ready_far, share):
    balancer = zone(10, 10, ready_near, ready_far)
    assert share_here(balancer) == pytest.approx(share, abs=0.03)


def test_health_is_counted_by_weight():
    balancer = Zone(ZoneOptions(zone="a", within=WeightedRandom()))
    light = Node("light", "tcp://10.0.0.1:1", zone="a", weight=1)
    heavy = Node("heavy", "tcp://10.0.0.2:1", zone="a", weight=9)
    other = Node("other", "tcp://10.0.1.1:1", zone="b", weight=1)
    balancer.listed([light, heavy, other])
    balancer.update([light, other])
    assert share_here(balancer) == pytest.approx(0.14, abs=0.03)


def test_a_drained_node_is_no_ill_node():
    balancer = Zone(ZoneOptions(zone="a", within=WeightedRandom()))
    drained = [Node(f"d{index}", f"tcp://10.0.0.{index}:1", zone="a", weight=0) for index in "123"]
    near = Node("near", "tcp://10.0.0.9:1", zone="a")
    far = Node("far", "tcp://10.0.1.1:1", zone="b")
    balancer.listed([*drained, near, far])
    balancer.update([*drained, near, far])
    assert share_here(balancer) == 1.0


def test_without_word_of_the_list_all_nodes_that_are_known_are_ready():
    balancer = Zone(ZoneOptions(zone="a", within=WeightedRandom()))
    balancer.update([Node("near", "tcp://a:1", zone="a"), Node("far", "tcp://b:1", zone="b")])
    assert share_here(balancer) == 1.0


def test_a_zone_without_nodes_sends_its_calls_elsewhere():
    assert share_here(zone(0, 3)) == 0.0
    assert share_here(zone(3, 0)) == 1.0


def test_a_node_that_states_no_zone_is_elsewhere():
    balancer = Zone(ZoneOptions(zone="a", within=WeightedRandom()))
    balancer.update([Node("x", "tcp://x:1"), Node("near", "tcp://a:1", zone="a")])
    assert share_here(balancer) == 1.0


def test_a_call_that_has_tried_the_own_zone_goes_elsewhere():
    balancer = zone(2, 2)
    rng = Random(1)
    assert balancer.pick(None, ("a0", "a1"), 0.0, rng).zone == "b"
    assert balancer.pick(None, ("a0", "a1", "b0", "b1"), 0.0, rng) is None


def test_equal_keys_go_to_the_same_side_and_keys_are_split_as_calls_are():
    balancer = zone(10, 10, 5, 10, within=ConsistentHash())
    rng = Random(1)
    once = {str(key): balancer.pick(str(key), (), 0.0, rng) for key in range(2000)}
    assert all(balancer.pick(key, (), 0.0, rng) is node for key, node in once.items())
    near = sum(node.zone == "a" for node in once.values()) / 2000
    assert near == pytest.approx(0.7, abs=0.04)


def test_no_count_of_the_balancer_within_drifts():
    nodes = [Node(str(one), f"tcp://10.0.0.{one}:1", zone="ab"[one % 2]) for one in range(4)]
    balancer = Zone(ZoneOptions(zone="a", within=PowerOfTwoChoices()))
    rng = Random(3)
    for _ in range(100):
        moved = [attrs.evolve(node, zone=rng.choice("ab")) for node in nodes]
        balancer.listed(moved)
        balancer.update(rng.sample(moved, rng.randrange(1, 5)))
        picked = [balancer.pick(None, (), 0.0, rng) for _ in range(4)]
        balancer.update(rng.sample(moved, rng.randrange(5)))
        for node in picked:
            balancer.settle(node, Success(b""), 0.01, 0.0)
    for inner in (balancer.within, *balancer.others()):
        assert not any(load.running for load in inner.loads.values())


def test_a_node_whose_zone_changes_stays_where_its_calls_are_counted():
    balancer = Zone(ZoneOptions(zone="a", within=PowerOfTwoChoices()))
    node, other = Node("n", "tcp://n:1", zone="a"), Node("o", "tcp://o:1", zone="b")
    balancer.update([node, other])
    assert balancer.pick(None, (), 0.0, Random(1)) == node
    balancer.update([moved := attrs.evolve(node, zone="b"), other])
    balancer.settle(moved, Success(b""), 0.01, 0.0)
    assert not balancer.within.loads["n"].running


def test_what_the_balancer_within_wants_is_wanted():
    keyed = ConsistentHash(ConsistentHashOptions(argument="user"))
    assert zone(1, 1, within=keyed).key_argument == "user"
    assert zone(1, 1, within=keyed).settle is None
    assert zone(1, 1, within=PowerOfTwoChoices()).wants_load
    assert not zone(1, 1).wants_load


def test_both_sides_start_fresh_nodes_slowly():
    balancer = Zone(ZoneOptions(zone="a", within=WeightedRandom()))
    balancer.start_slowly(100.0)
    near = [Node(f"a{index}", f"tcp://10.0.0.{index}:1", zone="a") for index in range(2)]
    balancer.update(near[:1])
    balancer.update(near)
    rng = Random(1)
    counts = Counter(balancer.pick(None, (), 0.0, rng).id for _ in range(4000))
    assert counts["a1"] / 4000 == pytest.approx(0.1 / 1.1, abs=0.02)


class OfSomebodyElse:
    settle = None

    def update(self, ready):
        pass

    def pick(self, key, tried, now, rng):
        return None


def test_a_balancer_without_a_twin_cannot_be_used_within():
    with pytest.raises(OptionError, match=r"OfSomebodyElse.*lacks twin\(\)") as caught:
        Zone(ZoneOptions(zone="a", within=OfSomebodyElse()))
    assert caught.value.option == "within"


def test_it_says_which_side_a_node_is_on():
    balancer = zone(10, 10, 5, 10)
    near, far = (Node(one, "tcp://x:1") for one in ("a0", "b0"))
    assert balancer.remark(near, 0.0) == "own zone (50% ready, 70% of the calls)"
    assert balancer.remark(far, 0.0) == "other zones (100% ready, 30% of the calls)"


@pytest.mark.parametrize("option", [{"zone": " "}, {"overprovisioning": 0.9}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        ZoneOptions(**({"zone": "a"} | option))
