"""When the call flow repeats a write that may have run, at the process that may have run it."""

import pytest

from bee_core.calls.retries import Repeat, Stop, may_repeat
from bee_core.calls.trace import CallRecorder
from bee_core.contracts.effects import Attempt, Pause
from bee_core.contracts.flight_recorder import FlightRecorder
from bee_core.interfaces import Again, Success
from bee_core.terms.request import Sent
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from support.call_harness import Harness, failure

FAILTRY = FailTry(BackoffOptions(base=0.5, cap=0.5))
EPOCH, NUMBER = b"epoch", b"12345678"
UNKNOWN = failure(executed="maybe")
REFUSED = failure(executed="no", retry="other", blame="none")


class Channel:
    """Keeps how each attempt was made. Its server remembers answers unless ``forgetful``."""

    def __init__(self, harness, name, *, forgetful=False):
        self.harness, self.name, self.forgetful = harness, name, forgetful
        self.ways = []

    def start(self, call):
        self.ways.append("start")
        if not self.forgetful:
            call.sent = Sent(EPOCH, 60.0, NUMBER, self.harness.clock())

    def repeat(self, call):
        assert call.sent.repeated
        self.ways.append("repeat")


def world(nodes="ab", *, channel=Channel, forgetful=False, **settings):
    made = {}

    def make(node):
        made[node.id] = channel(harness, node.id, forgetful=forgetful)
        return made[node.id]

    harness = Harness(nodes, make_channel=make, **{"fail": FAILTRY, "timeout": 100.0, **settings})
    harness.channels = made
    return harness


def run(harness, *outcomes, flow=None, **options):
    """Make a call; returns the call, what the flow ended with, and the ways of the attempts."""
    call = harness.begin(**options)
    steps, answers = (flow or whole_flow)(call), iter(outcomes)
    answer = None
    try:
        while True:
            effect = steps.send(answer)
            if isinstance(effect, Pause):
                harness.clock.advance(effect.seconds)
                answer = None
            else:
                assert isinstance(effect, Attempt)
                effect.channel.start(call)
                answer = next(answers)
                if callable(answer):
                    answer = answer()
    except StopIteration as stop:
        assert list(answers) == []
        ways = {name: made.ways for name, made in harness.channels.items()}
        return call, stop.value, ways


def whole_flow(call):
    from bee_core.calls.flow import flow

    return flow(call)


def test_a_repetition_comes_no_sooner_than_the_server_asked_for():
    class AtOnce:
        def next(self, history, rng):
            return Again("same")

    harness, busy = world(fail=AtOnce()), failure(executed="maybe")
    busy.retry_after = 4.0
    began = harness.clock()
    _, end, _ = run(harness, busy, Success(b"3"))
    assert end is None
    assert 4.0 <= harness.clock() - began <= 4.4


def test_failtry_repeats_a_write_once_at_the_same_node():
    call, end, ways = run(world(), UNKNOWN, Success(b"3"))
    assert (end, call.value, call.attempts, call.executed) == (None, 3, 2, "maybe")
    assert ways == {"a": ["start", "repeat"]}


def test_a_repetition_that_is_refused_leaves_the_first_failure():
    call, end, ways = run(world(), UNKNOWN, REFUSED)
    assert ways == {"a": ["start", "repeat"]}
    assert call.executed == "maybe"
    assert end.message == "it failed; repeated in vain: it failed"
    assert end.executed == "maybe"


def test_a_repetition_that_did_not_get_there_is_tried_again_and_stays_a_repetition():
    gone = failure(executed="no", reached=False, refused=True)
    call, end, ways = run(world(retries=3), UNKNOWN, gone, gone, Success(b"3"))
    assert (end, call.value) == (None, 3)
    assert ways == {"a": ["start", "repeat", "repeat", "repeat"]}


def test_a_repetition_never_becomes_a_redial():
    unsent = failure(executed="no", unsent=True)
    _, end, ways = run(world(retries=1), UNKNOWN, unsent)
    assert ways == {"a": ["start", "repeat"]}
    assert end.executed == "maybe"


@pytest.mark.parametrize("executed", ["maybe", "yes"])
def test_a_repetition_that_may_have_run_is_the_last(executed):
    call, end, ways = run(world(retries=5), UNKNOWN, failure(executed=executed))
    assert ways == {"a": ["start", "repeat"]}
    assert (call.executed, end.executed) == (executed, executed)


def test_a_mistake_of_the_caller_that_the_repetition_shows_is_told():
    wrong = failure("invalid_argument", executed="no", retry="never", blame="caller")
    call, end, _ = run(world(), UNKNOWN, wrong)
    assert (end.kind, call.executed) == ("invalid_argument", "maybe")


def test_after_an_attempt_that_did_not_run_nothing_is_known_of_where_it_went():
    harness = world(retries=3)
    forgetful = []

    def not_run():
        harness.channels["a"].forgetful = True
        return failure("overloaded", executed="no", blame="none")

    call, end, ways = run(harness, not_run, UNKNOWN)
    assert ways == {"a": ["start", "start"]}
    assert (end.executed, call.where_sent, forgetful) == ("maybe", None, [])


@pytest.mark.parametrize(
    "settings",
    [
        {"fail": FailOver(BackoffOptions())},
        {"fail": None},
        {"retries": 0},
        {"forgetful": True},
        {"timeout": 0.2},
    ],
    ids=["failover", "failfast", "no retries", "it remembers nothing", "no time"],
)
def test_a_write_is_not_repeated(settings):
    call, end, ways = run(world(**settings), UNKNOWN)
    assert ways == {"a": ["start"]}
    assert (end.executed, call.attempts) == ("maybe", 1)


def test_a_channel_that_cannot_repeat_gets_no_repetition():
    harness = world()

    def without():
        harness.channels["a"].__class__ = Plain
        return UNKNOWN

    _, end, ways = run(harness, without)
    assert ways == {"a": ["start"]}
    assert end.executed == "maybe"


class Plain:
    """A channel without ``repeat``."""

    def start(self, call):
        raise AssertionError("it was sent again")


def test_what_is_older_than_the_memory_is_not_repeated():
    harness = world()

    def much_later():
        harness.clock.advance(61)
        return UNKNOWN

    _, end, ways = run(harness, much_later)
    assert ways == {"a": ["start"]}
    assert end.executed == "maybe"


def test_a_repetition_pays_from_the_retry_budget():
    harness = world(budget={"ratio": 0.0, "floor_per_second": 0.0})
    _, end, ways = run(harness, UNKNOWN)
    assert ways == {"a": ["start"]}
    assert "retry budget" in end.message


def test_a_node_that_has_left_is_not_asked_again():
    harness = world()

    def leave():
        harness.list_nodes("b")
        return UNKNOWN

    call, end, ways = run(harness, leave)
    assert ways == {"a": ["start"]}
    assert (end.executed, call.attempts) == ("maybe", 1)


def test_idempotent_calls_are_retried_as_ever():
    harness = world(forgetful=True)
    call, end, ways = run(harness, UNKNOWN, Success(b"3"), idempotent=True)
    assert (end, call.value) == (None, 3)
    assert ways == {"a": ["start", "start"]}


def test_the_permit_of_a_breaker_goes_back():
    harness = world(gates={"a": {}, "b": {}})
    run(harness, UNKNOWN, REFUSED)
    assert harness.gates["a"].held == 0
    assert harness.gates["a"].verdicts == ["unavailable", "unavailable"]


def test_the_trace_says_why_it_was_repeated():
    recorder, harness = CallRecorder(), world()
    call, _, _ = run(harness, UNKNOWN, Success(b"3"), flow=recorder.flow)
    steps = recorder.finish(call, None).steps
    assert [step.kind for step in steps] == ["attempt", "pause", "attempt"]
    assert steps[0].decision == (
        "repeat on the same node: its process remembers the answers that it gave"
    )


def test_the_flight_recorder_has_the_repetition():
    harness = world()
    recorder = FlightRecorder(harness.clock)
    harness.service.recorder = recorder
    run(harness, UNKNOWN, Success(b"3"))
    (kept,) = recorder.recent()
    assert kept.attempts == 2
    assert "remembers the answers" in kept.steps[0]["decision"]


@pytest.mark.parametrize(
    ("found", "repeated", "age", "may"),
    [
        (failure(executed="maybe"), False, 1, True),
        (failure(executed="maybe"), False, 60, False),
        (failure(executed="maybe", retry="other"), False, 1, False),
        (failure(executed="maybe", retry="never"), False, 1, False),
        (failure(executed="no"), False, 1, False),
        (failure(executed="yes"), False, 1, False),
        (failure(executed="maybe"), True, 1, False),
        (failure(executed="no"), True, 1, True),
        (failure(executed="yes"), True, 1, False),
    ],
)
def test_the_rule(found, repeated, age, may):
    sent = Sent(EPOCH, 60.0, NUMBER, 0.0)
    sent.repeated = repeated
    assert may_repeat(found, sent, age) is may


def test_a_repeat_is_a_step_of_its_own():
    assert Repeat(0.5).where == "repeat"
    assert type(Repeat(0.5)) not in {Again, Stop}
