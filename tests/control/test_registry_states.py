"""The table of a registry's state, and the time for which it has answered."""

from __future__ import annotations

import pytest

from bee_core.control.registry_states import STATES, Hearing, RegistryEvent, grace
from bee_core.nodes.outlook import RegistryState

EXPECTED = """
             unheard   answering lying     silent    refusing
heard        answering answering lying     answering answering
silence      silent    silent    silent    silent    refusing
lost         silent    silent    silent    silent    silent
refused      refusing  refusing  refusing  refusing  refusing
contradicted unheard   lying     lying     silent    refusing
agreed       unheard   answering answering silent    refusing
"""


def pairs():
    head, *rows = EXPECTED.strip().splitlines()
    for row in rows:
        event, *after = row.split()
        for before, then in zip(head.split(), after, strict=True):
            yield before, event, then


@pytest.mark.parametrize(("before", "event", "then"), list(pairs()))
def test_each_event_in_each_state(before, event, then):
    assert STATES[before][event] == then


def test_the_table_has_every_state_and_every_event():
    assert set(STATES) == set(RegistryState.__args__)
    assert {frozenset(row) for row in STATES.values()} == {frozenset(RegistryEvent.__args__)}
    assert {event for _, event, _ in pairs()} == set(RegistryEvent.__args__)


def hearing(confirms_every, *events):
    """One that has had events, each with its time."""
    made = Hearing()
    made.expect(confirms_every)
    for event, at in events:
        made.on(event, at)
    return made


def test_only_the_time_between_two_answers_counts():
    one = hearing(10.0, ("heard", 0.0))
    assert one.answered(9.0) == 0.0, "it may turn out to be a silence"
    one.on("heard", 9.0)
    one.on("heard", 12.0)
    assert one.answered(20.0) == 12.0


@pytest.mark.parametrize("event", ["silence", "lost", "refused"])
def test_a_silence_and_what_follows_it_do_not_count(event):
    one = hearing(10.0, ("heard", 0.0), ("heard", 5.0), (event, 14.0), ("heard", 100.0))
    assert one.answered(100.0) == 5.0
    one.on("heard", 101.0)
    assert one.answered(101.0) == 6.0


def test_a_gap_longer_than_its_patience_does_not_count_even_if_nobody_saw_it():
    one = hearing(10.0, ("heard", 0.0), ("heard", 15.1))
    assert one.patience == 15.0
    assert one.answered(16.0) == 0.0


def test_where_nothing_is_confirmed_a_watch_that_waits_counts_until_it_raises():
    one = hearing(None, ("heard", 0.0))
    assert (one.patience, one.answered(50.0)) == (None, 50.0)
    one.on("lost", 60.0)
    assert one.answered(100.0) == 60.0
    one.on("heard", 100.0)
    assert one.answered(101.0) == 61.0


@pytest.mark.parametrize(("every", "seconds"), [(0.1, 1.0), (4.0, 2.0), (10.0, 5.0), (60.0, 5.0)])
def test_a_confirmation_may_be_late(every, seconds):
    assert grace(every) == seconds


def test_it_is_told_when_the_registry_goes_out_of_hearing_and_when_it_is_back():
    one = Hearing()
    one.expect(1.0)
    told = [
        one.on(event, at)
        for at, event in enumerate(
            ("heard", "silence", "lost", "refused", "heard", "contradicted", "lost", "heard")
        )
    ]
    assert told == [False, True, False, False, True, False, True, True]


def test_a_registry_that_was_never_heard_can_go_and_come_back():
    one = Hearing()
    assert one.on("lost", 1.0)
    assert one.on("heard", 2.0)


def test_it_is_silent_since_it_was_heard_last_and_out_of_reach_since_it_failed():
    one = hearing(1.0, ("heard", 3.0), ("silence", 5.0), ("lost", 9.0))
    assert (one.heard_at, one.silent_since) == (3.0, 3.0)
    one.on("heard", 10.0)
    assert (one.heard_at, one.silent_since) == (10.0, None)
    one.on("lost", 12.0)
    assert one.silent_since == 12.0
