"""The breaker ``consecutive``."""

from __future__ import annotations

import pytest

from bee_core.interfaces import Change, Node, Success
from bee_core.terms.causes import lost, read_timed_out, reported
from bee_core.testing import BreakerContract
from bee_plugins.breakers.consecutive import Consecutive, ConsecutiveOptions

WELL = Success(b"1")
ILL = lost("end of file")
RAISED = reported("remote_error", "division by zero")
OVERLOADED = reported("overloaded", "full")
IMPATIENT = read_timed_out(0.1, full=False)


class TestConsecutive(BreakerContract):
    def make_breakers(self):
        return Consecutive(ConsecutiveOptions())


class TestConsecutiveAtTheFirstError(BreakerContract):
    def make_breakers(self):
        return Consecutive(ConsecutiveOptions(max_error_count=1))


NODE = Node("a", "tcp://a:9000")


def breaker(limit=3):
    return Consecutive(ConsecutiveOptions(max_error_count=limit)).node(NODE)


def settle(breaker, *outcomes):
    """Calls with these outcomes: after each the state that the breaker changed to, or None."""
    changes = [breaker.settle(breaker.admit(0.0), outcome, 0.1, 0.0) for outcome in outcomes]
    return [None if change is None else change.after for change in changes]


def test_it_opens_at_the_count_and_not_before():
    assert settle(cut := breaker(), ILL, ILL) == [None, None]
    assert cut.state == "closed"
    assert settle(cut, ILL) == ["open"]
    assert cut.state == "open"


def test_ten_in_a_row_are_the_default():
    cut = Consecutive(ConsecutiveOptions()).node(NODE)
    assert settle(cut, *[ILL] * 10) == [None] * 9 + ["open"]


@pytest.mark.parametrize("good", [WELL, RAISED], ids=["a success", "the handler's own error"])
def test_an_answer_of_the_node_ends_the_row(good):
    cut = breaker()
    settle(cut, ILL, ILL, good, ILL, ILL)
    assert cut.state == "closed"
    assert settle(cut, ILL) == ["open"]


@pytest.mark.parametrize(
    "silent", [OVERLOADED, IMPATIENT, None], ids=["overload", "an impatient caller", "no verdict"]
)
def test_what_says_nothing_of_the_node_neither_counts_nor_ends_the_row(silent):
    cut = breaker()
    settle(cut, ILL, ILL, silent)
    assert settle(cut, ILL) == ["open"]


def half_open():
    cut = breaker(1)
    settle(cut, ILL)
    assert cut.probed(True, 0.0) == Change(NODE, "open", "half-open")
    return cut


def test_half_open_one_call_at_a_time_may_try():
    cut = half_open()
    trial = cut.admit(0.0)
    assert trial is not None
    assert cut.admit(0.0) is None
    assert cut.settle(trial, None, 0.1, 0.0) is None
    assert cut.admit(0.0) is not None, "dropped without a verdict, the place is free"


@pytest.mark.parametrize("silent", [OVERLOADED, IMPATIENT])
def test_a_trial_that_says_nothing_of_the_node_leaves_it_half_open(silent):
    cut = half_open()
    assert settle(cut, silent) == [None]
    assert cut.state == "half-open"
    assert cut.admit(0.0) is not None


@pytest.mark.parametrize(
    ("outcome", "state"), [(WELL, "closed"), (RAISED, "closed"), (ILL, "open")]
)
def test_the_trial_decides(outcome, state):
    cut = half_open()
    assert settle(cut, outcome) == [state]
    assert cut.state == state


def test_after_it_closed_the_count_begins_anew():
    cut = breaker(2)
    settle(cut, ILL, ILL)
    cut.probed(True, 0.0)
    settle(cut, WELL, ILL)
    assert cut.state == "closed"


def test_failures_of_calls_from_before_the_trial_do_not_count_against_it():
    cut = breaker(1)
    old = [cut.admit(0.0) for _ in range(3)]
    settle(cut, ILL)
    cut.probed(True, 0.0)
    assert [cut.settle(permit, ILL, 0.1, 0.0) for permit in old] == [None] * 3
    assert cut.state == "half-open"


def test_a_node_that_is_cut_off_is_not_cut_off_again_by_calls_from_before():
    breakers = Consecutive(ConsecutiveOptions(max_error_count=1, base_ejection_time=10.0))
    cut, _ = (breakers.node(node) for node in (NODE, Node("b", "tcp://b:9000")))
    old = [cut.admit(0.0) for _ in range(3)]
    settle(cut, ILL)
    assert [cut.settle(permit, ILL, 0.1, 5.0) for permit in old] == [None] * 3
    assert cut.probed(True, 10.0) is not None, "its time was not made longer"


def test_each_row_of_trials_begins_anew():
    cut = Consecutive(ConsecutiveOptions(max_error_count=1, trials=3)).node(NODE)
    settle(cut, ILL)
    cut.probed(True, 0.0)
    assert settle(cut, WELL, WELL, ILL) == [None, None, "open"]
    cut.probed(True, 0.0)
    assert settle(cut, WELL, WELL) == [None, None]
    assert settle(cut, WELL) == ["closed"]


def test_a_base_above_the_longest_time_holds():
    options = ConsecutiveOptions(max_error_count=1, base_ejection_time=60.0, max_ejection_time=10.0)
    cut = Consecutive(options).node(NODE)
    settle(cut, ILL)
    assert cut.probed(True, 59.0) is None
    assert cut.probed(True, 60.0) is not None


def test_a_forked_child_begins_with_the_same_state_and_no_trial_of_its_parent():
    cut = half_open()
    cut.admit(0.0)
    cut.after_fork()
    assert cut.state == "half-open"
    assert cut.admit(0.0) is not None


def test_a_count_below_one_is_refused():
    with pytest.raises(
        ValueError, match=r"^max_error_count: 0 is impossible here; write 1 or more$"
    ):
        ConsecutiveOptions(max_error_count=0)


def test_a_permit_stands_while_no_failure_is_counted():
    one = breaker()
    standing = one.standing
    assert standing is one.admit(0.0)
    settle(one, ILL)
    assert one.standing is None
    settle(one, WELL)
    assert one.standing is standing


def test_a_success_after_a_failure_is_heard_under_the_permit_that_stood_before():
    one = breaker(limit=2)
    standing = one.standing
    settle(one, ILL)
    one.settle(standing, WELL, 0.1, 0.0)
    assert settle(one, ILL) == [None]
    assert one.state == "closed"


def test_it_says_in_a_row_only_of_ejections_without_a_time_of_being_well_between():
    one = breaker(limit=1)
    for _ in range(3):
        settle(one, ILL)
        one.probed(True, 0.0)
        settle(one, WELL)
    settle(one, ILL)
    assert "in a row" not in one.why(0.0).partition("last:")[2]
    one.probed(True, 0.0)
    settle(one, ILL)
    assert "(ejection 2 in a row)" in one.why(0.0)
