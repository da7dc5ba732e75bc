"""The parts of ``bee bench`` that have no clock: schedule, course, tally, results, comparison."""

from __future__ import annotations

import json
import threading

import click
import pytest

pytest.importorskip("hdrh.histogram")

from bee_core.cli.bench.comparison import compare, print_comparison, read_earlier
from bee_core.cli.bench.course import Course, Load
from bee_core.cli.bench.progress import said
from bee_core.cli.bench.results import POINTS, describe, time_text
from bee_core.cli.bench.schedule import Schedule
from bee_core.cli.bench.tally import KINDS, Tally
from bee_core.client.proxies import Reply
from bee_core.errors import DeadlineExceeded, RemoteError, Unavailable


def open_load(rate=10.0, concurrency=1, most_waiting=5, duration=2.0, warmup=1.0):
    return Load(concurrency, duration, warmup, rate, most_waiting)


def closed_load(duration=2.0, warmup=1.0):
    return Load(1, duration, warmup, None, 1)


def reply(attempts=1, degraded=False):
    return Reply(1, None, attempts, degraded, 0.0)


def failure(kind=Unavailable, executed="no", attempts=1, raised=""):
    error = kind("so it was", service="calc", method="add", attempts=attempts, executed=executed)
    if raised:
        error.type = raised
    return error


def taken(schedule):
    starts = []
    while (start := schedule.take()) is not None:
        starts.append(start)
    return starts


def test_starts_are_planned_at_a_constant_rate_and_then_no_more():
    assert taken(Schedule(4.0, 100.0, 6)) == [100.0, 100.25, 100.5, 100.75, 101.0, 101.25]


def test_a_long_schedule_does_not_drift():
    starts = taken(Schedule(3.0, 0.0, 30_000))
    assert starts[29_997] == 9999.0


def test_what_is_due_and_not_taken_waits():
    schedule = Schedule(10.0, 100.0, 20)
    assert schedule.waiting(99.0) == 0
    assert schedule.waiting(100.55) == 6
    schedule.take()
    assert schedule.waiting(100.55) == 5
    assert schedule.waiting(500.0) == 19
    taken(schedule)
    assert (schedule.waiting(500.0), schedule.next_start(), schedule.taken) == (0, None, 20)


def test_a_start_that_is_not_due_is_left_for_others():
    schedule = Schedule(10.0, 100.0, 20)
    assert schedule.take(100.0) == 100.0
    assert schedule.take(100.05) is None
    assert schedule.next_start() == schedule.take() == 100.1


def test_each_start_is_taken_once_however_many_take():
    schedule = Schedule(1000.0, 0.0, 5000)
    each = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(taken(schedule))) for mine in each
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(start for mine in each for start in mine) == [n / 1000.0 for n in range(5000)]


def test_calls_are_planned_in_the_warm_up_too():
    course = Course(open_load(rate=10.0, duration=2.0, warmup=1.0), 100.0)
    assert (course.measured_from, course.until, course.schedule.total) == (101.0, 103.0, 30)


@pytest.mark.parametrize("began", [0.0, 12_345.678, 98_765_432.1])
def test_rounding_makes_no_call_more_and_counts_none_less(began):
    course = Course(open_load(rate=150.0, duration=0.2, warmup=0.1), began)
    starts = taken(course.schedule)
    assert len(starts) == 45
    assert sum(start >= course.counted_from for start in starts) == 30


def test_a_queue_over_its_bound_ends_the_run():
    course = Course(open_load(rate=10.0, most_waiting=5), 100.0)
    course.look(100.45)
    assert (course.ending, course.longest_queue) == ("", 5)
    course.look(100.55)
    assert (course.ending, course.longest_queue) == ("cannot keep up", 6)
    assert not course.kept_up
    assert course.never_begun == 30


def test_what_waits_at_the_end_gets_as_long_again():
    course = Course(open_load(rate=10.0, most_waiting=1000), 100.0)
    course.look(103.0)
    assert (course.ending, course.queue_at_end) == ("", 30)
    course.look(105.0)
    assert course.ending == ""
    course.look(105.1)
    assert course.ending == "cannot keep up"


@pytest.mark.parametrize(("left", "kept_up"), [(0, True), (4, True), (5, False)])
def test_a_queue_longer_than_one_stall_explains_was_not_kept_up_with(left, kept_up):
    course = Course(open_load(rate=10.0, concurrency=4, most_waiting=1000), 100.0)
    for _ in range(course.schedule.total - left):
        course.schedule.take()
    course.look(103.0)
    taken(course.schedule)
    assert (course.queue_at_end, course.kept_up, course.never_begun) == (left, kept_up, 0)


def test_the_first_reason_to_end_counts():
    course = Course(open_load(), 100.0)
    course.end("interrupted")
    course.look(102.0)
    assert course.ending == "interrupted"


def test_a_closed_loop_has_no_queue():
    course = Course(closed_load(), 100.0)
    course.look(500.0)
    assert (course.ending, course.kept_up, course.never_begun) == ("", True, 0)


def test_the_time_measured_is_whole_unless_the_run_ended_early():
    course = Course(closed_load(duration=2.0, warmup=1.0), 100.0)
    assert course.measured(102.5) == 2.0  # the last call was planned for then
    assert course.measured(103.5) == 2.5  # the last call took longer
    course.end("interrupted")
    assert course.measured(102.5) == 1.5
    assert course.measured(100.5) == 0.0  # in the warm-up


def test_replies_are_counted_with_their_attempts():
    tally = Tally()
    tally.add_reply(reply(), 0.001, None)
    tally.add_reply(reply(attempts=3, degraded=True), 0.002, None)
    tally.add_reply(reply(attempts=0, degraded=True), 0.003, None)
    assert (tally.calls, tally.attempts, tally.retried, tally.degraded) == (3, 4, 1, 2)
    assert tally.from_real_start.total_count == 0


def test_failures_are_told_apart_by_kind_exception_and_whether_they_ran():
    tally = Tally()
    for _ in range(3):
        tally.add_error(failure(DeadlineExceeded, "maybe", attempts=2), 1.0)
    tally.add_error(failure(), 0.001)
    tally.add_error(failure(RemoteError, "yes", raised="KeyError"), 0.001)
    found = describe({}, course_with(tally), 2.0)
    assert [
        (one["kind"], one["type"], one["executed"], one["count"]) for one in found["failures"]
    ] == [
        ("deadline_exceeded", "", "maybe", 3),
        ("unavailable", "", "no", 1),
        ("remote_error", "KeyError", "yes", 1),
    ]
    assert (found["calls"], found["answered"], found["failed"]) == (5, 0, 5)
    assert (found["attempts"], found["retried"]) == (8, 3)
    assert found["latency"] is None
    assert found["latency_of_failures"]["longest"] == pytest.approx(1.0, rel=0.001)


def test_a_handler_that_raises_a_new_class_each_time_fills_no_memory():
    tally = Tally()
    for number in range(KINDS + 30):
        tally.add_error(failure(RemoteError, "yes", raised=f"Error{number}"), 0.001)
    assert len(tally.failures) == KINDS + 1
    assert tally.failures["others", "", ""][0] == 30


def course_with(tally, load=None):
    course = Course(load or closed_load(), 100.0)
    course.tally = tally
    return course


def test_percentiles_are_right_to_a_thousandth():
    tally = Tally()
    for number in range(1, 10_001):
        tally.add_reply(reply(), number / 10_000, None)  # 0.1 ms to 1 s
    found = describe({}, course_with(tally), 4.0)
    assert found["per_second"] == 2500.0
    assert found["latency"] == {
        "mean": pytest.approx(0.50005, rel=0.001),
        "p50": pytest.approx(0.5, rel=0.001),
        "p90": pytest.approx(0.9, rel=0.001),
        "p99": pytest.approx(0.99, rel=0.001),
        "p99.9": pytest.approx(0.999, rel=0.001),
        "p99.99": pytest.approx(0.9999, rel=0.001),
        "longest": pytest.approx(1.0, rel=0.001),
    }
    assert tuple(found["latency"]) == POINTS


def test_the_saved_histogram_is_read_by_hdrhistogram():
    from hdrh.histogram import HdrHistogram

    tally = Tally()
    for number in range(1, 1001):
        tally.add_reply(reply(), number / 1000, None)
    found = json.loads(json.dumps(describe({}, course_with(tally), 1.0)))
    histogram = HdrHistogram.decode(found["histogram"])
    assert histogram.total_count == 1000
    assert histogram.get_value_at_percentile(50) == pytest.approx(0.5e9, rel=0.001)


def test_times_out_of_all_bounds_are_counted_at_the_bounds():
    tally = Tally()
    tally.add_reply(reply(), -1.0, None)  # a clock is no promise
    tally.add_reply(reply(), 1e9, None)
    found = describe({}, course_with(tally), 1.0)
    assert found["calls"] == 2
    assert found["latency"]["longest"] == pytest.approx(3600.0, rel=0.001)


def test_an_open_loop_tells_what_waited():
    tally = Tally()
    tally.add_reply(reply(), 0.5, 0.1)
    found = describe({}, course_with(tally, open_load()), 2.0)
    assert found["latency"]["p50"] == pytest.approx(0.5, rel=0.001)
    assert found["latency_from_real_start"]["p50"] == pytest.approx(0.1, rel=0.001)
    assert (found["kept_up"], found["longest_queue"], found["never_begun"]) == (True, 0, 0)


RESULT = {
    "format": 1,
    "service": "calc",
    "method": "add",
    "concurrency": 1,
    "per_second": 1000.0,
    "latency": dict.fromkeys(POINTS, 0.001),
}


def test_a_comparison_is_ratios_of_now_over_before():
    now = RESULT | {"per_second": 1500.0, "latency": {**RESULT["latency"], "p99": 0.0005}}
    compared = compare(RESULT, now)
    assert compared["per_second"] == 1.5
    assert compared["latency"] == dict.fromkeys(POINTS, 1.0) | {"p99": 0.5}
    assert compared["differences"] == {}


def test_a_comparison_says_which_settings_differ():
    assert compare(RESULT, RESULT | {"concurrency": 8, "method": "mul"})["differences"] == {
        "method": ["add", "mul"],
        "concurrency": [1, 8],
    }


@pytest.mark.parametrize("before", [{"per_second": 0.0, "latency": None}, {"per_second": "fast"}])
def test_what_was_not_measured_has_no_ratio(capsys, before):
    earlier = RESULT | before | {"latency": None}
    compared = compare(earlier, RESULT)
    assert compared["per_second"] is None
    assert set(compared["latency"].values()) == {None}


def test_a_comparison_is_printed_with_both_figures(capsys):
    now = RESULT | {"per_second": 1500.0, "concurrency": 8}
    print_comparison(RESULT, now, compare(RESULT, now))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["calls", "a", "second", "1,000.0", "1,500.0", "1.50"] in lines
    assert ["p99", "1.00", "ms", "1.00", "ms", "1.00"] in lines
    assert lines[-1] == ["not", "the", "same:", "concurrency", "was", "1", "and", "is", "8"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 0}', "\x00"])
def test_a_file_that_is_no_result_is_refused(tmp_path, text):
    path = tmp_path / "before.json"
    path.write_text(text)
    with pytest.raises(click.ClickException, match="no result of this version") as caught:
        read_earlier(str(path))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0000042, "4.20 µs"),
        (0.0000831, "83.1 µs"),
        (0.0009994, "999.4 µs"),
        (0.0009996, "1.00 ms"),
        (0.0157, "15.7 ms"),
        (0.9996, "1.00 s"),
        (12.5, "12.50 s"),
    ],
)
def test_times_have_three_digits_and_a_unit(seconds, text):
    assert time_text(seconds) == text


def test_progress_says_how_many_and_how_fast():
    tally = Tally()
    for _ in range(1500):
        tally.add_reply(reply(), 0.001, None)
    tally.add_error(failure(), 0.001)
    course = course_with(tally)
    assert said(course, 100.5) == "warm-up"
    assert said(course, 102.0) == "1,501 calls  1,500 a second  1 failed"
