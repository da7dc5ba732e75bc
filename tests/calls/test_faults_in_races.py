"""``faults`` of a client's service where several attempts of a call run at the same time."""

from __future__ import annotations

from bee_core.config.fault_model import FaultConfig
from bee_core.errors import DeadlineExceeded
from calls.test_race import Hedged
from support.call_harness import SUCCESS, Harness, later


class Draws:
    """Randomness that gives these numbers, and then one that no fault's rate is above."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0) if self.numbers else 1.0


def harness(fault, *draws, delay=1.0, **more):
    made = Harness(
        "abc",
        fail=Hedged(delay),
        gates={name: {} for name in "abc"},
        idempotent=True,
        faults=(fault,),
        **more,
    )
    made.service.rng = Draws(*draws)
    return made


def attempts(made):
    return [line for line in made.trace if line.startswith("attempt")]


def test_a_second_attempt_answers_for_a_first_one_that_is_late():
    made = harness(FaultConfig(kind="delay", rate=0.5, seconds=5.0), 0.0)
    result = made.run(("b", later(0.5, SUCCESS)))
    assert result.value == 3
    assert attempts(made) == ["attempt b"], "the first one was never sent"
    assert made.clock() - result.call.started == 1.5
    assert [made.gates[name].held for name in "abc"] == [0, 0, 0]


def test_a_late_attempt_is_sent_when_its_time_has_come():
    made = harness(FaultConfig(kind="delay", rate=0.5, seconds=3.0), 0.0)
    result = made.run(None, ("a", later(0.5, SUCCESS)))
    assert result.value == 3
    assert attempts(made) == ["attempt b", "attempt a"]
    assert made.clock() - result.call.started == 3.5


def test_an_error_leaves_the_race_to_the_retry():
    made = harness(FaultConfig(kind="error", rate=0.5), 0.0)
    made.run()
    assert attempts(made) == []
    assert made.gates["a"].verdicts == ["unavailable"]


def test_a_reply_that_never_comes_ends_with_the_read_timeout():
    made = harness(FaultConfig(kind="drop", rate=1.0), 0.0, 0.0, read_timeout=4.0, timeout=20.0)
    result = made.run()
    assert isinstance(result.error, DeadlineExceeded)
    assert result.error.executed == "maybe"
    assert attempts(made) == []
    assert [made.gates[name].held for name in "abc"] == [0, 0, 0]
