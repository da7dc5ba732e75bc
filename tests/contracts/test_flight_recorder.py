"""What the flight recorder keeps, for how long, and how much memory it takes."""

from __future__ import annotations

import sys
import threading
import tracemalloc

import attrs
import pytest

from bee_core.contracts.flight_recorder import (
    FAILED,
    LAST,
    LISTEN_AFTER,
    LONGEST,
    MOST_STEPS,
    PERIOD,
    REFUSED,
    RETRIED,
    SLOW,
    FlightRecorder,
    Kept,
    trace_of,
)
from bee_core.terms.metadata import NOTHING
from bee_core.terms.node import Node
from bee_core.testing import FakeClock

NODE = Node("1", "tcp://10.0.0.1:9000")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def recorder(clock):
    return FlightRecorder(clock)


def call(recorder, clock, seconds=0.001, method="add", metadata=NOTHING):
    """An ordinary call, as the hot path tells of it."""
    began = clock()
    clock.advance(seconds)
    well(recorder, "calc", method, NODE, began, clock(), metadata)


def well(recorder, service, method, where, began, ended, metadata=NOTHING):
    recorder.append((service, method, where, began, ended))
    if ended - began > recorder.slow_above:
        recorder.slow(service, method, where, began, ended, metadata)


def failed(recorder, clock, seconds=0.001, **more):
    began = clock()
    clock.advance(seconds)
    values = {"kind": "unavailable", "message": "no node", "attempts": 2, **more}
    recorder.keep(Kept("calc", "add", NODE.url, began, clock(), **values))


def test_an_ordinary_call_is_told_with_its_node_its_times_and_its_trace(recorder, clock):
    call(recorder, clock, 0.25, metadata={"traceparent": PARENT})
    (one,) = recorder.recent()
    assert (one.service, one.method, one.where, one.kind) == ("calc", "add", NODE.url, "")
    assert one.ended - one.began == 0.25
    assert one.trace == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_calls_are_told_in_order_and_those_of_one_service_alone(recorder, clock):
    for service in ("a", "b", "a"):
        clock.advance(0.5)
        well(recorder, service, "add", NODE, clock() - 0.25, clock())
    numbers = [one.number for one in recorder.recent()]
    assert numbers == sorted(numbers)
    assert [one.service for one in recorder.recent(service="a")] == ["a", "a"]
    assert recorder.find(numbers[1]).service == "b"
    assert recorder.find(numbers[-1] + 1) is None


def test_a_failure_outlives_thousands_of_ordinary_calls(recorder, clock):
    failed(recorder, clock, steps=({"kind": "attempt"},))
    for _ in range(3 * LAST):
        call(recorder, clock)
    (kept,) = recorder.recent("failed")
    assert (kept.kind, kept.steps) == ("unavailable", ({"kind": "attempt"},))
    assert recorder.recent()[0] == kept
    assert len(recorder.recent()) <= LAST + FAILED + RETRIED + REFUSED + 2 * SLOW


def test_a_call_that_a_fallback_answered_counts_as_failed_and_a_retried_one_does_not(
    recorder, clock
):
    failed(recorder, clock, fallback="fallback 'static'")
    failed(recorder, clock, kind="", message="")
    assert [one.fallback for one in recorder.recent("failed")] == ["fallback 'static'"]
    assert [one.attempts for one in recorder.recent()] == [2, 2]


def test_requests_that_were_refused_push_no_failure_out(recorder, clock):
    failed(recorder, clock)
    for number in range(5 * FAILED):
        now = float(number)
        recorder.refuse(Kept("calc", "add", "peer", now, now, "overloaded", "full"))
    kinds = [one.kind for one in recorder.recent("failed")]
    assert kinds.count("unavailable") == 1
    assert kinds.count("overloaded") == REFUSED


def test_the_slowest_outlive_the_others_the_slowest_last(recorder, clock):
    for seconds in (0.5, 0.9, 0.7):
        call(recorder, clock, seconds, method=f"after {seconds}")
    for _ in range(2 * LAST):
        call(recorder, clock, 0.0001)
    slow = [one.method for one in recorder.recent("slow")]
    assert slow[-3:] == ["after 0.5", "after 0.7", "after 0.9"]
    assert len(slow) == SLOW
    assert recorder.find(recorder.recent("slow")[-1].number).method == "after 0.9"


def test_calls_of_a_clock_that_is_coarse_are_kept_side_by_side(recorder, clock):
    began, ended = clock(), clock() + 0.015
    for number in range(60):
        recorder.slow("calc", f"m{number}", None, began, ended, NOTHING)
    recorder.keep(Kept("calc", "failed", "", began, ended + 1, "unavailable"))
    assert recorder.slow_above == pytest.approx(0.015)
    assert [kept.method for kept in recorder.failed] == ["failed"]


def test_the_slowest_of_one_period_are_kept_through_the_next_and_then_forgotten(recorder, clock):
    call(recorder, clock, 9.0, method="monday")
    clock.advance(PERIOD)
    recorder.turn()
    recorder.turn()  # once is enough
    call(recorder, clock, 0.1, method="tuesday")
    assert [one.method for one in recorder.recent("slow")] == ["tuesday", "monday"]
    clock.advance(PERIOD)
    call(recorder, clock, 0.2, method="wednesday")
    assert [one.method for one in recorder.recent("slow")] == ["tuesday", "wednesday"]
    clock.advance(3 * PERIOD)
    call(recorder, clock, 0.1, method="much later")
    assert [one.method for one in recorder.recent("slow")] == ["much later"]


def test_a_new_period_begins_with_any_call_as_slow(recorder, clock):
    for _ in range(SLOW):
        call(recorder, clock, 1.0)
    assert recorder.slow_above == pytest.approx(1.0)
    clock.advance(PERIOD)
    recorder.turn()
    assert recorder.slow_above == 0.0


def test_an_ordinary_call_is_not_looked_at_twice_once_slower_ones_are_known(recorder, clock):
    for _ in range(SLOW):
        call(recorder, clock, 1.0)
    assert recorder.slow_above == pytest.approx(1.0)
    call(recorder, clock, 0.5, method="quick")
    assert "quick" not in {one.method for one in recorder.recent("slow")}


def test_a_thread_that_keeps_a_slow_call_holds_up_no_other(recorder, clock):
    assert recorder._lock.acquire(blocking=False)  # noqa: SLF001  # as that thread does
    call(recorder, clock, 5.0)
    failed(recorder, clock)
    assert len(recorder.recent()) == 2


def test_the_memory_is_bounded_whatever_calls_are_like(clock):
    tracemalloc.start()
    try:
        recorder = FlightRecorder(clock)
        before = tracemalloc.get_traced_memory()[0]
        for index in range(2 * LAST):
            text = f"{index:06d}" * (LONGEST // 6)
            step = {
                "kind": "attempt",
                "node": text[:40],
                "seconds": float(index),
                "failure": {"kind": text[:20], "message": text + "!"},
                "decision": text + "?",
            }
            steps = tuple(dict(step) for _ in range(MOST_STEPS))
            kept = Kept("calc", text, text, index, index + 1, "kind", text, steps=steps)
            recorder.keep(kept)
            recorder.keep(attrs.evolve(kept, kind="", began=index + 0.1))
            recorder.refuse(attrs.evolve(kept, steps=()))
            well(recorder, "calc", f"{index} add", f"peer {index}", index + 0.2, index + 0.3)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used < 3_000_000
    assert sys.getsizeof(recorder.last) < 100_000


def test_ordinary_calls_take_little_memory(recorder, clock):
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2 * LAST):
            call(recorder, clock)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used < 400_000


def test_calls_end_on_many_threads(clock):
    recorder = FlightRecorder(clock)

    def work():
        for number in range(300):
            well(recorder, "calc", "add", NODE, 0.0, 1.0)
            failed(recorder, clock, 0.0)
            if number % 50 == 0:
                recorder.recent()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.last) == LAST
    assert len(recorder.failed) == FAILED


def test_somebody_can_ask_once_a_call_was_kept_and_the_first_second_is_over(recorder, clock):
    asked = []
    recorder.listen = lambda: asked.append(1)
    recorder.listen_at = clock() + LISTEN_AFTER
    failed(recorder, clock)
    assert asked == []
    clock.advance(LISTEN_AFTER)
    failed(recorder, clock)
    failed(recorder, clock)
    assert asked == [1]


def test_what_cannot_listen_costs_no_call(recorder, clock):
    def listen():
        raise RuntimeError("can't start new thread")

    recorder.listen = listen
    recorder.listen_at = clock()
    failed(recorder, clock)
    assert len(recorder.recent()) == 1


@pytest.mark.parametrize("parent", [None, b"00-" + b"0" * 52, "00-short", "0" * 60_000])
def test_what_is_no_traceparent_gives_no_trace(parent):
    assert trace_of({} if parent is None else {"traceparent": parent}) is None


def test_a_forked_child_forgets_the_calls_of_its_parent(recorder, clock):
    call(recorder, clock, 1.0)
    failed(recorder, clock)
    recorder.clear()
    assert (recorder.recent(), recorder.recent("slow"), recorder.recent("failed")) == ([], [], [])
