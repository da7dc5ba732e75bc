"""The breakers ``success-rate`` and ``outlier``, by themselves, and what all breakers share."""

from __future__ import annotations

import statistics
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_core import build_client
from bee_core.errors import ConfigError
from bee_core.interfaces import Node, Success
from bee_core.terms.causes import lost, read_timed_out, refused, reported
from bee_core.testing import BreakerContract
from bee_plugins.breakers.consecutive import Consecutive, ConsecutiveOptions
from bee_plugins.breakers.ejection import Rules
from bee_plugins.breakers.outlier import (
    Deviation,
    FailurePercentage,
    Outlier,
    OutlierOptions,
    Sample,
    far_from_the_mean,
    mostly_failing,
)
from bee_plugins.breakers.success_rate import BUCKETS, SuccessRate, SuccessRateOptions
from bee_plugins.breakers.verdicts import Tally

WELL = Success(b"1")
ILL = lost("end of file")
GONE = refused(ConnectionRefusedError())
RAISED = reported("remote_error", "division by zero")
OVERLOADED = reported("overloaded", "full")
IMPATIENT = read_timed_out(0.1, full=False)


class TestSuccessRate(BreakerContract):
    others = 3

    def make_breakers(self):
        return SuccessRate(SuccessRateOptions(base_ejection_time=1.0))


class TestOutlierByDeviation(BreakerContract):
    others = 8

    def make_breakers(self):
        return Outlier(
            OutlierOptions(interval=1.0, base_ejection_time=1.0, failure_percentage=None)
        )


class TestOutlierByPercentage(BreakerContract):
    others = 8

    def make_breakers(self):
        return Outlier(OutlierOptions(interval=1.0, base_ejection_time=1.0, success_rate=None))


class TestConsecutiveWithEjectionTimes(BreakerContract):
    others = 3

    def make_breakers(self):
        options = {"max_ejected": 0.2, "base_ejection_time": 0.5, "trials": 3}
        return Consecutive(ConsecutiveOptions(**options))


def node(name):
    return Node(name, f"tcp://{name}:9000")


class Fleet:
    """Breakers of some nodes, driven as the core drives them."""

    def __init__(self, breakers, names, now=0.0):
        self.breakers = breakers
        self.now = now
        breakers.resize(len(names))
        self.due = breakers.sweep(now)[1]
        self.of = {name: breakers.node(node(name)) for name in names}

    def calls(self, name, *outcomes):
        """Calls with these outcomes: after each the state that the breaker changed to, or None."""
        changes = [self.call(name, outcome) for outcome in outcomes]
        return [None if change is None else change.after for change in changes]

    def call(self, name, outcome):
        breaker = self.of[name]
        permit = breaker.standing
        if permit is None:
            permit = breaker.admit(self.now)
        elif outcome is WELL and hasattr(breaker, "succeeded"):
            breaker.succeeded()
            return None
        if permit is None:
            return None
        return breaker.settle(permit, outcome, 0.1, self.now)

    def pass_time(self, seconds):
        """Time passes, with the sweeps that are due in it: the changes that they made."""
        until, changes = self.now + seconds, []
        while self.due is not None and self.due <= until:
            self.now = self.due
            made, self.due = self.breakers.sweep(self.now)
            changes += made
        self.now = until
        return changes

    def ping(self, name):
        change = self.of[name].probed(True, self.now)
        return None if change is None else change.after

    def bring_back(self, name, trials):
        assert self.ping(name) == "half-open"
        return self.calls(name, *[WELL] * trials)

    @property
    def cut_off(self):
        return {name for name, breaker in self.of.items() if breaker.state != "closed"}


def success_rate(names="ab", **options):
    return Fleet(SuccessRate(SuccessRateOptions(**options)), names)


# ── success-rate ──


def test_a_node_is_cut_off_when_too_few_of_enough_calls_succeed():
    fleet = success_rate(min_calls=10, min_success_rate=0.8)
    assert fleet.calls("a", *[WELL] * 8, ILL, ILL) == [None] * 10, "8 of 10 are enough"
    assert fleet.calls("a", ILL) == ["open"]


def test_fewer_calls_than_the_minimum_decide_nothing():
    fleet = success_rate(min_calls=10)
    assert fleet.calls("a", *[ILL] * 9) == [None] * 9
    assert fleet.calls("a", ILL) == ["open"]


def test_one_success_in_ten_calls_does_not_save_a_node():
    fleet = success_rate()
    told = fleet.calls("a", *([ILL] * 9 + [WELL]) * 3)
    assert told.count("open") == 1
    assert told.index("open") < 21


def test_calls_that_are_older_than_the_window_do_not_count():
    fleet = success_rate(window=10.0, min_calls=10)
    fleet.calls("a", *[ILL] * 9)
    fleet.pass_time(11.0)
    assert fleet.calls("a", *[ILL] * 9) == [None] * 9
    assert fleet.calls("a", ILL) == ["open"]


def test_an_hour_of_successes_does_not_hide_what_fails_now():
    fleet = success_rate(window=10.0, min_calls=10)
    for _ in range(100):
        fleet.calls("a", *[WELL] * 100)
        fleet.pass_time(36.0)
    assert "open" in fleet.calls("a", *[ILL] * 10)


@pytest.mark.parametrize("silent", [OVERLOADED, IMPATIENT, None])
def test_what_says_nothing_of_the_node_is_not_counted(silent):
    fleet = success_rate(min_calls=10)
    fleet.calls("a", *[ILL] * 9)
    assert fleet.calls("a", *[silent] * 50) == [None] * 50
    assert fleet.calls("a", ILL) == ["open"]


def test_the_handlers_own_error_is_a_success_of_the_node():
    fleet = success_rate(min_calls=10, min_success_rate=0.5)
    fleet.calls("a", *[RAISED] * 6, *[ILL] * 6)
    assert fleet.of["a"].state == "closed"
    assert fleet.calls("a", ILL) == ["open"]


def test_after_it_closed_the_window_begins_anew():
    fleet = success_rate(min_calls=10, base_ejection_time=1.0)
    fleet.calls("a", *[ILL] * 10)
    fleet.pass_time(1.0)
    assert fleet.bring_back("a", 3) == [None, None, "closed"]
    assert fleet.calls("a", *[ILL] * 9) == [None] * 9


@given(
    st.lists(
        st.one_of(st.booleans(), st.floats(0.0, 8.0).map(lambda one: round(one, 2))), max_size=120
    )
)
@settings(max_examples=300, deadline=None)
def test_the_window_counts_as_a_plain_list_of_calls_does(steps):
    """A bool is a call, a number is time that passes."""
    options = SuccessRateOptions(window=10.0, min_calls=7, min_success_rate=0.6)
    fleet = Fleet(SuccessRate(options), "abcdefghij")
    calls = []
    for step in steps:
        if not isinstance(step, bool):
            fleet.pass_time(step)
            continue
        fleet.pass_time(0.000137)  # so no call is at the very moment of a sweep
        calls.append((fleet.now, step))
        told = fleet.calls("a", WELL if step else ILL)
        since = fleet.of["a"].marks[0][0]
        if step:
            assert told == [None]
            continue
        assert fleet.now - since < options.window * (1 + 1 / BUCKETS) + 1e-6
        assert since == 0.0 or fleet.now - since >= options.window - 1e-6
        counted = [well for at, well in calls if at > since]
        bad = len(counted) >= 7 and sum(counted) / len(counted) < 0.6
        assert told == (["open"] if bad else [None])
        if bad:
            return


# ── outlier ──


def outlier(names="abcdefghij", **options):
    return Fleet(Outlier(OutlierOptions(**options)), names)


def an_interval(fleet, calls=200, **failures):
    """Ten seconds in which each node gets calls, and some of them fail."""
    for name in fleet.of:
        failed = failures.get(name, 0)
        fleet.calls(name, *[ILL] * failed, *[WELL] * (calls - failed))
    return [(change.node.id, change.after) for change in fleet.pass_time(10.0)]


def test_a_node_that_fails_every_other_call_is_cut_off_at_the_first_interval():
    fleet = outlier()
    assert an_interval(fleet, a=100) == [("a", "open")]
    assert fleet.of["a"].why(fleet.now) == (
        "50.0% of 200 calls in an interval succeeded, and 95.0% is the mean of 10 nodes; "
        "tried again in 30 s at the earliest"
    )


def test_a_few_failures_among_nodes_without_any_are_no_reason():
    fleet = outlier()
    assert an_interval(fleet, a=4) == []
    assert an_interval(fleet, a=5) == [("a", "open")]


def test_where_all_fail_alike_none_is_cut_off():
    fleet = outlier()
    assert an_interval(fleet, **dict.fromkeys("abcdefghij", 100)) == []


def test_with_too_few_nodes_or_calls_nothing_is_decided():
    assert an_interval(outlier("abcd"), a=200) == []
    assert an_interval(outlier(), calls=40, a=40) == []


def test_the_failure_percentage_needs_no_deviation():
    fleet = outlier(success_rate=None)
    assert an_interval(fleet, a=170) == [], "85 % is not above 85 %"
    assert an_interval(fleet, a=171) == [("a", "open")]
    assert "171 of 200 calls in an interval failed, and 85% may" in fleet.of["a"].why(fleet.now)


def test_a_node_that_both_algorithms_name_is_cut_off_once():
    fleet = outlier([f"n{index}" for index in range(30)])
    assert an_interval(fleet, n3=200) == [("n3", "open")]
    assert "in a row" not in fleet.of["n3"].why(fleet.now)


def test_a_node_that_cannot_be_connected_to_is_cut_off_at_once():
    fleet = outlier()
    fleet.calls("a", *[GONE] * 4)
    assert fleet.of["a"].state == "closed"
    fleet.calls("a", GONE)
    assert fleet.of["a"].state == "open"
    assert fleet.of["a"].why(fleet.now) == (
        "5 connections in a row cannot be made: unavailable: cannot connect: connection refused; "
        "tried again in 30 s at the earliest"
    )


@pytest.mark.parametrize("between", [WELL, ILL])
def test_only_connections_in_a_row_count_as_a_node_that_is_gone(between):
    fleet = outlier()
    fleet.calls("a", *[GONE] * 4, between, *[GONE] * 4)
    assert fleet.of["a"].state == "closed"


def test_the_rule_for_connections_can_be_left_out_and_keeps_to_the_share():
    fleet = outlier(max_connect_failures=None)
    fleet.calls("a", *[GONE] * 50)
    assert fleet.of["a"].state == "closed"
    fleet = outlier()
    fleet.calls("a", *[GONE] * 5)
    fleet.calls("b", *[GONE] * 50)
    assert fleet.of["b"].state == "closed", "one of ten is a tenth"


def test_the_worst_nodes_are_cut_off_first_and_no_more_than_the_share():
    names = [f"n{index}" for index in range(20)]
    fleet = outlier(names, success_rate=None)
    assert an_interval(fleet, n3=180, n7=199, n9=190) == [("n7", "open"), ("n9", "open")]
    assert an_interval(fleet, n3=200) == [], "two of twenty are a tenth"


def test_at_least_one_node_may_be_cut_off():
    assert an_interval(outlier("abcde"), a=100) == [("a", "open")]


def ejection_time(fleet, name):
    """How long a node that is cut off stays so, when each ping is answered."""
    since = fleet.now
    while fleet.ping(name) is None:
        fleet.pass_time(1.0)
    return fleet.now - since


def test_the_ejection_time_grows_with_each_trial_that_fails_up_to_its_bound():
    fleet = outlier(max_ejection_time=70.0)
    an_interval(fleet, a=150)
    took = [ejection_time(fleet, "a")]
    for _ in range(3):
        assert fleet.calls("a", ILL) == ["open"]
        took.append(ejection_time(fleet, "a"))
    assert took == [30.0, 60.0, 70.0, 70.0]


def test_each_interval_that_a_node_stays_closed_forgives_an_ejection():
    fleet = outlier()
    an_interval(fleet, a=150)
    for _ in range(3):
        ejection_time(fleet, "a")
        fleet.calls("a", ILL)
    assert ejection_time(fleet, "a") == 120.0
    assert fleet.calls("a", WELL, WELL, WELL) == [None, None, "closed"]
    fleet.pass_time(20.0)
    an_interval(fleet, a=150)
    assert ejection_time(fleet, "a") == 60.0, "four, less three intervals, and one more"


def test_pings_do_not_shorten_the_ejection():
    fleet = outlier()
    an_interval(fleet, a=150)
    fleet.pass_time(29.0)
    assert fleet.ping("a") is None
    fleet.pass_time(1.0)
    assert fleet.ping("a") == "half-open"


def test_a_half_open_node_must_answer_three_calls_in_a_row_one_at_a_time():
    fleet = outlier()
    an_interval(fleet, a=150)
    fleet.pass_time(30.0)
    fleet.ping("a")
    trial = fleet.of["a"].admit(fleet.now)
    assert fleet.of["a"].admit(fleet.now) is None
    fleet.of["a"].settle(trial, WELL, 0.1, fleet.now)
    assert fleet.calls("a", OVERLOADED, WELL, WELL) == [None, None, "closed"]


def test_calls_that_ended_while_it_was_cut_off_do_not_count_against_it_later():
    fleet = outlier(base_ejection_time=5.0)
    old = [fleet.of["a"].standing for _ in range(200)]
    an_interval(fleet, a=150)
    for permit in old:
        fleet.of["a"].settle(permit, ILL, 0.1, fleet.now)
    fleet.pass_time(5.0)
    fleet.bring_back("a", 3)
    assert an_interval(fleet) == []


def rates(samples):
    return [Sample(f"n{index}", *one) for index, one in enumerate(samples)]


SAMPLES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=12).map(rates)


@given(SAMPLES, st.floats(0.1, 3.0))
def test_the_deviation_is_that_of_the_textbook(samples, factor):
    options = Deviation(factor, min_nodes=3, min_failures=1)
    found = [one.breaker for one, _ in far_from_the_mean(samples, options)]
    asked = {one.breaker: one.successes / one.calls for one in samples if one.calls >= 100}
    if len(asked) < 3:
        assert found == []
        return
    mean, stdev = statistics.fmean(asked.values()), statistics.pstdev(asked.values())
    least = mean - factor * stdev
    assert {name for name, rate in asked.items() if rate < least - 1e-9} <= set(found)
    assert all(asked[name] < least + 1e-9 for name in found)
    assert found == sorted(found, key=asked.get)


@given(SAMPLES, st.floats(0.0, 1.0))
def test_the_percentage_is_that_of_the_textbook(samples, threshold):
    found = [
        one.breaker for one, _ in mostly_failing(samples, FailurePercentage(threshold, min_nodes=2))
    ]
    asked = [one for one in samples if one.calls >= 50]
    bad = [one.breaker for one in asked if one.failures > threshold * one.calls]
    assert sorted(found) == (sorted(bad) if len(asked) >= 2 else [])


# ── what all share ──

KINDS = {
    "consecutive": lambda **more: Consecutive(ConsecutiveOptions(max_error_count=3, **more)),
    "success-rate": lambda **more: SuccessRate(SuccessRateOptions(min_calls=3, **more)),
    "outlier": lambda **more: Outlier(
        OutlierOptions(
            interval=1.0,
            success_rate=Deviation(min_nodes=2, min_calls=3, min_failures=1),
            failure_percentage=FailurePercentage(0.5, min_nodes=1, min_calls=3),
            **more,
        )
    ),
}
STATISTICAL = ("success-rate", "outlier")


@given(st.integers(0, 300), st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_how_many_nodes_may_be_cut_off(nodes, share, panic):
    rules = Rules(share, panic, 1.0, 1.0, 1.0, 1)
    allowed = rules.may_be_cut_off(nodes)
    assert 0 <= allowed <= nodes
    assert allowed <= max(1, share * nodes + 1e-6)
    assert nodes - allowed >= panic * nodes - 1e-6
    if nodes > 1 and panic <= 0.5:
        assert allowed >= 1
    if panic <= 0.5 and share <= 0.5 and nodes > 1:
        assert allowed + 1 > share * nodes - 1e-6 or allowed == nodes // 2


@pytest.mark.parametrize("kind", STATISTICAL)
def test_the_only_node_of_a_service_is_never_cut_off_by_statistics(kind):
    fleet = Fleet(KINDS[kind](max_ejected=1.0), "a")
    for _ in range(20):
        fleet.calls("a", *[ILL] * 20)
        fleet.pass_time(1.0)
    assert fleet.cut_off == set()


def test_consecutive_cuts_the_only_node_off_also_with_a_share():
    fleet = Fleet(KINDS["consecutive"](max_ejected=0.1), "a")
    assert fleet.calls("a", ILL, ILL, ILL) == [None, None, "open"]


def test_consecutive_cuts_all_off_unless_a_share_is_stated():
    fleet = Fleet(KINDS["consecutive"](), "abcde")
    for name in "abcde":
        fleet.calls(name, *[ILL] * 3)
    assert fleet.cut_off == set("abcde")
    fleet = Fleet(KINDS["consecutive"](max_ejected=0.4), "abcde")
    for name in "abcde":
        fleet.calls(name, *[ILL] * 30)
    assert fleet.cut_off == set("ab")


def test_a_node_that_fails_on_is_cut_off_as_soon_as_there_is_room():
    fleet = Fleet(KINDS["consecutive"](max_ejected=0.5), "ab")
    fleet.calls("a", *[ILL] * 3)
    assert fleet.calls("b", *[ILL] * 5) == [None] * 5
    fleet.ping("a")
    fleet.calls("a", WELL)
    assert fleet.calls("b", ILL) == ["open"]


@pytest.mark.parametrize("kind", STATISTICAL)
def test_the_last_node_of_a_list_that_shrinks_comes_back_at_once(kind):
    fleet = Fleet(KINDS[kind](), "abcde")
    for name in "bcde":
        fleet.calls(name, *[WELL] * 9)
    fleet.calls("a", *[ILL] * 9)
    fleet.pass_time(1.0)
    assert fleet.cut_off == {"a"}
    for name in "bcde":
        fleet.breakers.forget(node(name))
    (change,) = fleet.breakers.resize(1)
    assert change == (node("a"), "open", "closed")
    assert fleet.of["a"].standing is fleet.of["a"].admit(fleet.now) is not None
    assert fleet.of["a"].why(fleet.now) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_left_takes_no_place_of_the_others(kind):
    fleet = Fleet(KINDS[kind](max_ejected=0.2), "abcdef")

    def fail(bad):
        for name in fleet.of:
            fleet.calls(name, *[ILL if name == bad else WELL] * 9)
        fleet.pass_time(1.0)

    fail("a")
    fail("b")
    assert fleet.cut_off == {"a"}
    fleet.breakers.forget(node("a"))
    fleet.breakers.resize(5)
    left = fleet.of.pop("a")
    fail("b")
    assert fleet.cut_off == {"b"}
    assert left.settle(left.admit(0.0) or object(), ILL, 0.1, fleet.now) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_breaker_whose_node_has_left_cuts_nothing_off(kind):
    fleet = Fleet(KINDS[kind](), "abcdef")
    fleet.breakers.forget(node("a"))
    fleet.calls("a", *[ILL] * 50)
    fleet.pass_time(1.0)
    assert fleet.of["a"].state == "closed"


STEP = st.one_of(
    st.tuples(st.just("call"), st.sampled_from("abcdefgh"), st.sampled_from([WELL, ILL, RAISED])),
    st.tuples(st.just("calls"), st.sampled_from("abcdefgh"), st.sampled_from([WELL, ILL])),
    st.tuples(st.just("ping"), st.sampled_from("abcdefgh"), st.booleans()),
    st.tuples(st.just("leave"), st.sampled_from("abcdefgh"), st.none()),
    st.tuples(st.just("come"), st.sampled_from("abcdefgh"), st.none()),
    st.tuples(st.just("time"), st.sampled_from([0.3, 1.0, 7.0, 60.0]), st.none()),
)


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(STEP, max_size=80), st.sampled_from([0.1, 0.3, 0.5, 1.0]))
@settings(max_examples=80, deadline=None)
def test_whatever_happens_no_more_nodes_are_cut_off_than_may_be(kind, steps, max_ejected):
    """The model is a list of who is not closed, made of the changes that were told."""
    breakers = KINDS[kind](max_ejected=max_ejected)
    rules = Rules(max_ejected, 0.0 if kind == "consecutive" else 0.5, 1.0, 1.0, 1.0, 1)
    fleet = Fleet(breakers, "abcdefgh")
    told = dict.fromkeys(fleet.of, "closed")

    def take(*changes):
        for change in filter(None, changes):
            assert told[change.node.id] == change.before != change.after
            told[change.node.id] = change.after

    for what, subject, more in steps:
        if what == "time":
            take(*fleet.pass_time(subject))
        elif what == "come" and subject not in fleet.of:
            fleet.of[subject] = breakers.node(node(subject))
            told[subject] = "closed"
            take(*breakers.resize(len(fleet.of)))
        elif subject not in fleet.of:
            continue
        elif what == "call":
            take(fleet.call(subject, more))
        elif what == "calls":
            take(*[fleet.call(subject, more) for _ in range(5)])
        elif what == "ping":
            take(fleet.of[subject].probed(more, fleet.now))
        elif what == "leave":
            breakers.forget(node(subject))
            del fleet.of[subject], told[subject]
            take(*breakers.resize(len(fleet.of)))
        assert {name: breaker.state for name, breaker in fleet.of.items()} == told
        assert len(fleet.cut_off) <= rules.may_be_cut_off(len(fleet.of))
        for breaker in fleet.of.values():
            assert (breaker.standing is not None) <= (breaker.state == "closed")
            assert bool(breaker.why(fleet.now)) == (breaker.state != "closed")


# ── threads ──


def test_no_success_is_lost_among_threads_that_count_while_others_read():
    tally, lock, stop = Tally(), threading.Lock(), threading.Event()
    seen = []

    def read():
        while not stop.is_set():
            with lock:
                seen.append(tally.successes())

    def succeed(_):
        for _ in range(20_000):
            tally.succeeded()

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(succeed, range(4)))
    stop.set()
    reader.join()
    assert tally.successes() == 80_000
    assert seen == sorted(seen)


def test_no_call_is_lost_among_threads_that_settle_while_the_control_plane_sweeps():
    breakers = Outlier(OutlierOptions(interval=1.0))
    taken = []
    made = [breakers.node(node(name)) for name in "ab"]
    breakers.sweep(0.0)

    def call(index):
        breaker = made[index % 2]
        for turn in range(5_000):
            if turn % 3:
                breaker.succeeded()
            else:
                breaker.settle(breaker.standing, ILL, 0.1, 0.0)

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(call, index) for index in range(4)]
        while not all(one.done() for one in running):
            with breakers.lock:
                taken += [one.take() for one in made]
        for one in running:
            one.result()
    taken += [one.take() for one in made]
    assert sum(one.failures for one in taken) == 4 * 1_667
    assert sum(one.successes for one in taken) == 4 * 3_333


# ── options ──


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("consecutive", {"max_ejected": 0}, "max_ejected"),
        ("consecutive", {"trials": 0}, "trials"),
        ("success-rate", {"min_success_rate": 1.5}, "min_success_rate"),
        ("success-rate", {"window": 0}, "window"),
        ("success-rate", {"panic_threshold": -1}, "panic_threshold"),
        ("success-rate", {"window": "0.000001"}, "window"),
        ("outlier", {"interval": "0s"}, "interval"),
        ("outlier", {"interval": "0.000001"}, "interval"),
        ("outlier", {"max_ejected": 10}, "max_ejected"),
        ("outlier", {"success_rate": {"stdev_factor": 0}}, "success_rate.stdev_factor"),
        ("outlier", {"failure_percentage": {"min_nodes": "x"}}, "failure_percentage.min_nodes"),
    ],
)
def test_an_impossible_option_is_an_error_with_its_path(name, options, key):
    client = {"breaker": {"name": name, "options": options}, "address": "127.0.0.1:1"}
    with pytest.raises(ConfigError) as caught:
        build_client({"bee": {"rpc": {"client": {"calc": client}}}})
    assert caught.value.path == f"bee.rpc.client.calc.breaker.options.{key}"


def test_an_algorithm_can_be_left_out():
    options = {"success_rate": None, "failure_percentage": {"threshold": 0.5}}
    client = {"breaker": {"name": "outlier", "options": options}, "address": "127.0.0.1:1"}
    with build_client({"bee": {"rpc": {"client": {"calc": client}}}}) as made:
        fleet = Fleet(made.find("calc").nodes.breakers.plugin, "abcdefghij", now=1e9)
    assert an_interval(fleet, a=100) == []
    assert an_interval(fleet, a=101) == [("a", "open")]
