"""Shares by weight, counts that never drift, and a small fleet in virtual time."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_plugins.balancers.p2c import P2cOptions, PowerOfTwoChoices
from bee_plugins.balancers.weighted_random import WeightedRandom
from support.p2c import (
    OK,
    balancer_of,
    failure,
    in_flight,
    load_of,
    nodes,
    picks,
    picks_without_settling,
    reporting,
)
from support.small_fleet import Fleet, Server, fleet_of

# ── weights ──


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=1, max_size=8), st.integers(0, 99))
def test_equally_good_nodes_share_the_calls_by_weight(weights, seed):
    counts = picks(balancer_of(*weights), 6000, seed=seed)
    for index, weight in enumerate(weights):
        assert counts[str(index)] / 6000 == pytest.approx(weight / sum(weights), abs=0.035)


def test_noise_in_the_latencies_keeps_the_weights():
    balancer, rng, counts = balancer_of(5, 1), Random(1), Counter()
    for number in range(20_000):
        node = balancer.pick(None, (), number / 1000, rng)
        counts[node.id] += 1
        balancer.settle(node, OK, 0.010 * rng.uniform(0.9, 1.1), number / 1000)
    assert counts["0"] / 20_000 == pytest.approx(5 / 6, abs=0.05)


def test_under_load_a_heavy_node_has_more_calls_in_flight():
    balancer = balancer_of(3, 1)
    counts = Counter(picks_without_settling(balancer, 400))
    assert counts["0"] / 400 == pytest.approx(0.75, abs=0.1)


def test_huge_weights_do_not_overflow():
    assert set(picks(balancer_of(1e308, 1e308, 1e308), 100)) == {"0", "1", "2"}


# ── nodes that come and go, threads, forks ──


def test_counts_do_not_drift_when_nodes_leave_and_come_back_between_pick_and_settle():
    listed = nodes(1, 1, 1)
    balancer, rng = balancer_of(1, 1, 1), Random(2)
    for _ in range(50):
        picked = [balancer.pick(None, (), 0.0, rng) for _ in range(6)]
        balancer.update(rng.sample(listed, rng.randrange(4)))
        rng.shuffle(picked)
        for node in picked[:3]:
            balancer.settle(node, OK, 0.0, 0.0)
        balancer.update(listed)
        for node in picked[3:]:
            balancer.settle(node, None, 0.0, 0.0)
        assert in_flight(balancer) == {"0": 0, "1": 0, "2": 0}


def test_a_node_that_comes_back_still_has_the_calls_that_run_there():
    balancer = balancer_of(1)
    node = balancer.pick(None, (), 0.0, Random(1))
    balancer.update([])
    balancer.update([attrs.evolve(node, weight=2.0)])
    assert in_flight(balancer) == {"0": 1}
    balancer.settle(node, OK, 0.0, 0.0)
    assert in_flight(balancer) == {"0": 0}


def test_what_has_left_and_ended_is_forgotten():
    balancer, rng = balancer_of(1, 1), Random(1)
    node = balancer.pick(None, (), 0.0, rng)
    balancer.update([])
    assert list(balancer.loads) == [node.id]
    balancer.settle(node, OK, 0.0, 0.0)
    balancer.update([])
    assert balancer.loads == {}
    balancer.settle(node, OK, 0.0, 0.0)


def test_many_threads_pick_and_settle_and_no_count_is_lost():
    balancer = balancer_of(*[1] * 5)

    def calls(seed):
        rng, held = Random(seed), []
        for number in range(3000):
            held.append(balancer.pick(None, (), number / 1000, rng))
            if len(held) > 3:
                outcome = rng.choice([OK, None, failure()])
                balancer.settle(held.pop(rng.randrange(4)), outcome, 0.001, number / 1000)
        for node in held:
            balancer.settle(node, OK, 0.001, 3.0)

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(calls, seed) for seed in range(8)]:
            done.result()
    assert set(in_flight(balancer).values()) == {0}


class Interrupted(BaseException):
    """As KeyboardInterrupt, which pytest would take for itself."""


def test_an_exception_anywhere_in_a_pick_leaves_no_call_behind():
    class Random2:
        def __init__(self, after):
            self.left = after

        def random(self):
            self.left -= 1
            if self.left < 0:
                raise Interrupted
            return 0.4

    balancer = balancer_of(1, 2, 1)
    for after in range(3):
        for tried in ((), ("0",)):
            try:
                node = balancer.pick(None, tried, 0.0, Random2(after))
            except Interrupted:
                continue
            balancer.settle(node, None, 0.0, 0.0)
    assert set(in_flight(balancer).values()) == {0}


def test_a_signal_just_after_a_call_was_counted_leaves_no_call_behind():
    class Full(list):
        def append(self, value):
            super().append(value)
            raise Interrupted

    balancer = balancer_of(1)
    load_of(balancer, "0").running = Full()
    with pytest.raises(Interrupted):
        balancer.pick(None, (), 0.0, Random(1))
    assert in_flight(balancer) == {"0": 0}


def test_in_a_forked_child_the_calls_of_the_parent_do_not_count():
    balancer = balancer_of(1, 1)
    picked = picks_without_settling(balancer, 5)
    balancer.after_fork()
    assert set(in_flight(balancer).values()) == {0}
    for name in picked:  # the parent's call goes on in the child that made the fork
        balancer.settle(load_of(balancer, name).node, OK, 0.0, 0.0)
    assert set(in_flight(balancer).values()) == {0}


def test_it_says_what_it_knows_of_a_node():
    balancer = balancer_of(1, 1)
    (node, other) = nodes(1, 1)
    assert balancer.remark(node, 0.0) == ""
    reporting(balancer, "0", 7, 0.0, seconds=0.0123)
    balancer.settle(node, failure(), 0.0, 0.0)
    assert balancer.remark(node, 0.0) == (
        "0 in flight, 12.3 ms, 10% of its calls failed, its server said 7 in flight"
    )
    assert balancer.remark(other, 0.0) == ""


def test_a_fresh_node_gets_a_tenth_at_first_and_its_share_in_the_end():
    balancer = PowerOfTwoChoices()
    balancer.start_slowly(100.0)
    balancer.update(nodes(1, 1, 1, 1))
    picks(balancer, 10)
    balancer.update(nodes(1, 1, 1, 1, 1))
    shares = [picks(balancer, 4000, now=now)["4"] / 4000 for now in (0.0, 50.0, 101.0)]
    assert shares == [
        pytest.approx(0.1 * 0.2, abs=0.02),
        pytest.approx(0.5 * 0.2, abs=0.05),
        pytest.approx(0.2, abs=0.03),
    ]


def test_a_pick_costs_the_same_in_a_large_fleet():
    """Calls of functions, which are counted exactly."""
    import sys

    def calls(number):
        balancer = balancer_of(*[1] * number)
        count, rng = 0, Random(1)

        def count_calls(frame, event, arg):
            nonlocal count
            count += event in {"call", "c_call"}

        sys.setprofile(count_calls)
        try:
            for _ in range(100):
                balancer.pick(None, (), 0.0, rng)
        finally:
            sys.setprofile(None)
        return count

    assert calls(10) == calls(10_000)


@pytest.mark.parametrize("decay", [0, -1, float("inf")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match="decay"):
        P2cOptions(decay=decay)


# ── small simulations in virtual time ──


def simulate(make, clients=1, rate=1000, seconds=5, **of_the_first):
    """Twenty nodes that serve in 10 ms; one of them is different."""
    servers = [Server(node, 0.010) for node in fleet_of(20)]
    for name, value in of_the_first.items():
        setattr(servers[0], name, value)
    return Fleet(servers, [make() for _ in range(clients)], rate).run(seconds)


def test_one_node_that_is_50_times_slower_hardly_shows(record_property):
    healthy = simulate(PowerOfTwoChoices).percentile(0.99, after=1)
    slow = simulate(PowerOfTwoChoices, mean=0.5)
    by_chance = simulate(WeightedRandom, mean=0.5)
    figures = [one.percentile(0.99, after=1) for one in (slow, by_chance)]
    record_property("p99 of healthy, p2c, random", [healthy, *figures])
    assert figures[0] <= 1.5 * healthy
    assert figures[1] > 10 * healthy
    assert slow.share_of("n0", after=1) < 0.01


def test_twenty_clients_agree_on_a_noisy_node(record_property):
    quiet = simulate(PowerOfTwoChoices, clients=20).percentile(0.99, after=2)
    noisy = simulate(PowerOfTwoChoices, clients=20, slots=1, mean=0.05)
    figure = noisy.percentile(0.99, after=2)
    record_property("p99 of quiet, noisy", [quiet, figure])
    assert figure <= 1.3 * quiet


def test_a_node_that_fails_at_once_gets_next_to_nothing_in_a_fleet():
    broken = simulate(PowerOfTwoChoices, fails=1.0)
    assert broken.share_of("n0", after=1) < 0.01


def test_a_node_that_has_recovered_has_its_share_again():
    servers = [Server(node, 0.010) for node in fleet_of(5)]
    servers[0].mean = 0.5
    fleet = Fleet(servers, [PowerOfTwoChoices()], 500).run(5)
    servers[0].mean = 0.010
    recovered = fleet.run(60)
    assert recovered.share_of("n0", after=50) > 0.1
