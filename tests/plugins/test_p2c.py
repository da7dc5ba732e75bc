from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from bee_core.testing import BalancerContract
from bee_plugins.balancers import p2c, usual_times
from bee_plugins.balancers.p2c import PowerOfTwoChoices
from support.p2c import (
    OK,
    balancer_of,
    failure,
    load_of,
    nodes,
    picks,
    picks_without_settling,
    reporting,
)


class TestP2cContract(BalancerContract):
    def make_balancer(self):
        return PowerOfTwoChoices()


class TestP2cWithSlowStartContract(BalancerContract):
    def make_balancer(self):
        balancer = PowerOfTwoChoices()
        balancer.start_slowly(30.0)
        return balancer


# ── latency ──


def test_the_node_with_the_lower_latency_gets_the_call():
    balancer = balancer_of(1, 1)
    one, other = nodes(1, 1)
    balancer.settle(one, OK, 0.010, 0.0)
    balancer.settle(other, OK, 0.020, 0.0)
    assert set(picks(balancer, 50)) == {"0"}


def test_calls_in_flight_count_with_the_latency():
    balancer, rng = balancer_of(1, 1), Random(1)
    one, other = nodes(1, 1)
    balancer.settle(one, OK, 0.010, 0.0)
    balancer.settle(other, OK, 0.035, 0.0)
    # 10 ms x 1, 2, 3 are below 35 ms x 1; 10 ms x 4 is not; and so on.
    assert [balancer.pick(None, (), 0.0, rng).id for _ in range(5)] == ["0", "0", "0", "1", "0"]


def test_a_weight_that_is_nothing_beside_another_one_divides_nothing_by_zero():
    balancer, rng = balancer_of(1e-320, 1e300), Random(1)
    assert all(balancer.pick(None, (), 0.0, rng) for _ in range(50))
    assert load_of(balancer, "0").weight > 0


def test_a_slow_answer_counts_at_once_and_fast_ones_little_by_little():
    balancer = balancer_of(1, 1)
    (node, _), load = nodes(1, 1), load_of(balancer, "0")
    balancer.settle(node, OK, 0.010, 0.0)
    balancer.settle(node, OK, 1.0, 1.0)
    assert load.latency == 1.0
    balancer.settle(node, OK, 0.010, 11.0)  # after one decay of 10 s
    assert load.latency == pytest.approx(1.0 * 0.3679 + 0.010 * 0.6321, rel=1e-3)


def test_without_calls_the_latency_fades_to_what_is_usual_and_not_to_nothing():
    balancer = balancer_of(1, 1, 1)
    slow, *_ = nodes(1, 1, 1)
    for now in range(200):
        balancer.settle(nodes(1, 1, 1)[1], OK, 0.010, now / 10)
    balancer.settle(slow, OK, 1.0, 20.0)
    expected = [
        load_of(balancer, "0").expected(now, balancer.times.typical, 10.0)[0]
        for now in (20, 40, 80, 1e6)
    ]
    assert expected == sorted(expected, reverse=True)
    assert expected[-1] == pytest.approx(balancer.times.typical)
    assert balancer.times.typical == pytest.approx(0.010, rel=0.1)


def test_a_new_node_looks_like_any_other():
    balancer = balancer_of(1, 1)
    picks(balancer, 100)
    balancer.update(nodes(1, 1, 1))
    counts = picks(balancer, 3000)
    assert counts["2"] / 3000 == pytest.approx(1 / 3, abs=0.05)


def test_a_call_that_was_given_up_shows_that_the_node_takes_at_least_as_long():
    balancer = balancer_of(1, 1)
    one, other = nodes(1, 1)
    for node in (one, other):
        balancer.settle(node, OK, 0.010, 0.0)
    balancer.settle(one, None, 0.5, 0.0)
    assert load_of(balancer, "0").latency == 0.5
    balancer.settle(other, None, 0.001, 0.0)
    assert load_of(balancer, "1").latency == 0.010


# ── failures ──


@pytest.mark.parametrize(
    "bad",
    [
        failure(),
        failure("overloaded", blame="none"),
        failure("deadline_exceeded", "maybe"),
    ],
    ids=lambda one: one.kind,
)
def test_a_node_that_fails_fast_attracts_no_calls(bad):
    balancer, rng, counts = balancer_of(1, 1, 1), Random(1), Counter()
    for number in range(3000):
        now = number / 1000
        node = balancer.pick(None, (), now, rng)
        counts[node.id] += 1
        outcome, seconds = (bad, 0.0001) if node.id == "0" else (OK, 0.010)
        balancer.settle(node, outcome, seconds, now)
    assert counts["0"] < 30  # 0.5 % are forced, and some are needed to learn it


def test_one_failure_among_many_calls_changes_little():
    balancer = balancer_of(1, 1)
    picks(balancer, 200)
    balancer.settle(nodes(1, 1)[0], failure(), 0.0001, 0.0)
    rng, counts = Random(1), Counter()
    for number in range(2000):
        now = number / 100
        node = balancer.pick(None, (), now, rng)
        counts[node.id] += 1
        balancer.settle(node, OK, 0.010 * rng.uniform(0.7, 1.3), now)
    assert counts["0"] > 500


def test_an_error_of_the_handler_is_no_failure_of_the_node_and_no_sign_of_speed():
    balancer = balancer_of(1, 1)
    node, load = nodes(1, 1)[0], load_of(balancer, "0")
    balancer.settle(node, OK, 0.010, 0.0)
    balancer.settle(node, failure("remote_error", "yes", "none"), 0.0001, 0.0)
    assert (load.latency, load.failing) == (0.010, 0.0)


def test_what_the_caller_did_wrong_changes_nothing():
    balancer = balancer_of(1, 1)
    balancer.settle(nodes(1, 1)[0], failure("invalid_argument", "no", "caller"), 0.0, 0.0)
    assert load_of(balancer, "0").failing == 0.0


def test_a_failure_that_is_fast_is_no_sample_and_does_not_stop_an_old_one_from_fading():
    balancer = balancer_of(1, 1)
    (node, other), load = nodes(1, 1), load_of(balancer, "0")
    for _ in range(100):
        balancer.settle(other, OK, 0.010, 0.0)
    balancer.settle(node, OK, 1.0, 0.0)
    before = [load.expected(now, balancer.times.typical, 10.0)[0] for now in (10.0, 20.0)]
    balancer.settle(node, failure(), 0.0001, 10.0)
    after = [load.expected(now, balancer.times.typical, 10.0)[0] for now in (10.0, 20.0)]
    assert after == pytest.approx(before)


def test_a_node_that_fails_now_and_then_is_as_dear_as_one_that_is_slower():
    balancer = balancer_of(1, 1)
    one, other = nodes(1, 1)
    for outcome in (OK, failure(), failure()):  # a share of 0.19: 2.1 times the latency
        balancer.settle(one, outcome, 0.010, 0.0)
    balancer.settle(other, OK, 0.020, 0.0)
    assert set(picks(balancer, 20, seconds=0.020)) == {"1"}
    balancer.settle(other, OK, 0.022, 0.0)
    assert picks_without_settling(balancer, 1) == ["0"]


# ── what servers report ──


def with_reports(*in_flight, now=0.0):
    """Balancer of nodes that report so many requests of others; 3 are usual."""
    balancer = balancer_of(*[1] * len(in_flight))
    for _ in range(300):
        reporting(balancer, "1", 3, now)
    for index, busy in enumerate(in_flight):
        reporting(balancer, str(index), busy, now)
    return balancer


def test_the_load_is_asked_for():
    assert PowerOfTwoChoices().wants_load is True


def test_a_node_that_is_busy_with_the_calls_of_others_is_avoided():
    assert set(picks_without_settling(with_reports(40, 3), 5)) == {"1"}


def test_of_two_busy_nodes_the_less_busy_one_gets_the_call():
    balancer = with_reports(40, 3, 30)
    balancer.update([load_of(balancer, name).node for name in ("0", "2")])
    assert set(picks_without_settling(balancer, 1)) == {"2"}


def test_own_calls_count_beside_those_of_others():
    # 41 / 4 times as dear with 40 of others: ten own calls at the other node are as dear.
    picked = picks_without_settling(with_reports(40, 3), 40)
    assert "0" not in picked[:9]
    assert picked.count("0") == pytest.approx(40 * 4 / 45, abs=1)


def test_a_report_fades_within_two_latencies():
    balancer = with_reports(40, 3)  # latencies of 10 ms
    assert set(picks_without_settling(balancer, 1, now=0.01)) == {"1"}
    balancer = with_reports(40, 3)
    assert set(picks(balancer, 100, now=0.021)) == {"0", "1"}


def test_an_empty_node_does_not_attract_every_call():
    balancer = with_reports(0, 3)
    picked = picks_without_settling(balancer, 50)
    assert set(picked[:3]) == {"0"}
    assert picked.count("1") >= 5


def test_an_idle_node_that_is_slow_is_not_preferred():
    balancer = with_reports(40, 3)
    reporting(balancer, "1", 3, 0.0, seconds=0.5)
    assert set(picks_without_settling(balancer, 4)) == {"0"}


def test_a_loop_that_lags_is_as_slow_as_its_lag():
    balancer = balancer_of(1, 1)
    reporting(balancer, "0", 0, 0.0, lag=0.3)
    assert load_of(balancer, "0").latency == 0.3


def test_a_server_that_says_nothing_of_its_load_is_judged_by_latency():
    balancer = balancer_of(1, 1)
    reporting(balancer, "0", 500, 0.0, seconds=0.010)
    balancer.settle(nodes(1, 1)[1], OK, 0.020, 0.0)
    assert picks_without_settling(balancer, 1) == ["0"]


# ── weights ──


def test_a_node_that_has_nearly_all_the_weight_does_not_hide_the_others_once_it_was_tried():
    balancer = balancer_of(1e9, *[1] * 7)
    picked = {balancer.pick(None, ("0",), 0.0, Random(seed)).id for seed in range(20)}
    assert picked <= set("1234567")


# ── methods of different times ──


def mixed(balancer, node, now, quick=0.001, slow=1.0):
    """Nineteen calls of a quick method, and one of a slow one."""
    for _ in range(19):
        balancer.settle(node, OK, quick, now, "quick")
    balancer.settle(node, OK, slow, now, "slow")


def test_the_method_is_asked_for():
    assert PowerOfTwoChoices().wants_method is True


def test_a_node_is_not_slow_because_it_answered_a_slow_method():
    balancer = balancer_of(1, 1)
    one, other = nodes(1, 1)
    for turn in range(50):
        mixed(balancer, one, turn / 10)
        mixed(balancer, other, turn / 10)
    balancer.settle(one, OK, 0.001, 5.0, "quick")
    balancer.settle(other, OK, 1.0, 5.0, "slow")
    costs = [load_of(balancer, name).expected(5.0, 0.0, 10.0)[0] for name in ("0", "1")]
    assert costs[0] == pytest.approx(costs[1], rel=0.25)


def test_a_node_that_is_slow_for_its_method_is_avoided():
    balancer = balancer_of(1, 1)
    one, other = nodes(1, 1)
    for turn in range(50):
        mixed(balancer, one, turn / 10)
        mixed(balancer, other, turn / 10)
    balancer.settle(one, OK, 10.0, 5.0, "slow")
    assert set(picks_without_settling(balancer, 3, now=5.0)) == {"1"}


def test_a_short_wait_of_a_quick_method_behind_a_slow_one_is_ordinary():
    balancer = balancer_of(1, 1)
    one, other = nodes(1, 1)
    for turn in range(50):
        mixed(balancer, one, turn / 10)
        mixed(balancer, other, turn / 10)
    before = load_of(balancer, "0").latency
    balancer.settle(one, OK, 0.1, 5.0, "quick")
    assert load_of(balancer, "0").latency < 1.3 * before


def test_names_that_a_caller_makes_up_do_not_fill_the_memory():
    balancer = balancer_of(1)
    (node,) = nodes(1)
    for number in range(3000):
        balancer.settle(node, OK, 0.01, number / 1000, f"method-{number}")
    assert len(balancer.times) <= usual_times.METHODS + 1


# ── forced picks ──


def test_a_node_without_a_pick_for_a_second_is_tried_again_but_seldom():
    balancer, rng, slow = balancer_of(1, 1), Random(1), []
    picks(balancer, 100)
    balancer.settle(nodes(1, 1)[0], OK, 5.0, 0.0)
    for number in range(4000):
        now = number / 100
        node = balancer.pick(None, (), now, rng)
        balancer.settle(node, OK, 5.0 if node.id == "0" else 0.010, now)
        if node.id == "0":
            slow.append(number)
    assert len(slow) >= 15
    assert all(after - before > p2c.FORCE_EVERY for before, after in pairwise(slow))


def test_a_node_that_was_picked_within_a_second_is_not_forced():
    balancer = balancer_of(1, 1)
    picks(balancer, 100)
    balancer.settle(nodes(1, 1)[0], OK, 5.0, 0.0)
    load_of(balancer, "0").picked_at = 10.0
    assert "0" not in picks(balancer, 500, now=10.9)
    assert "0" in picks(balancer, 500, now=11.1)
