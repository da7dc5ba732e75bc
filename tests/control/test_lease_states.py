"""The table of a lease's states: each state with each event."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from bee_core.control.lease_states import TABLE, TROUBLES, Event, LeaseState, State, after

STATES, EVENTS = get_args(State), get_args(Event)

# What follows, as "state what-is-told"; nothing where the event cannot come.
EXPECTED = """
none         ask        registering
none         leave      left
registering  ask        registering
registering  granted    held         registered
registering  unknown    registering  registry_out_of_reach
registering  refused    registering  registration_refused
registering  taken      registering  id_taken
registering  lost       registering  registration_refused
registering  leave      left
held         renewed    held
held         unknown    unsure       registry_out_of_reach
held         refused    unsure       registration_refused
held         taken      lost         id_taken
held         lost       lost         lease_lost
held         time_over  lost         lease_lost
held         leave      left
unsure       renewed    held         registry_in_reach
unsure       unknown    unsure       registry_out_of_reach
unsure       refused    unsure       registration_refused
unsure       taken      lost         id_taken
unsure       lost       lost         lease_lost
unsure       time_over  lost         lease_lost
unsure       leave      left
lost         ask        registering
lost         leave      left
left         granted    left
left         lost       left
left         taken      left
left         unknown    left         not_deregistered
left         refused    left         not_deregistered
left         leave      left
"""
ROWS = {
    (state, event): (then, tells[0] if tells else None)
    for state, event, then, *tells in (line.split() for line in EXPECTED.split("\n") if line)
}


@pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)))
def test_each_state_meets_each_event(state, event):
    if (state, event) in ROWS:
        step = after(state, event)
        assert (step.state, step.tells) == ROWS[state, event]
    else:
        with pytest.raises(ValueError, match=f"'{state}' cannot meet '{event}'"):
            after(state, event)


def test_the_table_has_no_row_of_another_name():
    assert set(TABLE) == set(ROWS)


@pytest.mark.parametrize("event", ["unknown", "refused"])
def test_no_answer_but_the_registrys_own_word_costs_the_lease(event):
    lease = met("ask", "granted")
    for _ in range(100):
        lease.meet(event)
        assert lease.state == "unsure"
    lease.meet("renewed")
    assert lease.state == "held"


def met(*events):
    lease = LeaseState()
    for event in events:
        lease.meet(event)
    return lease


@pytest.mark.parametrize("start", [(), ("granted",)], ids=["registering", "held"])
def test_a_trouble_is_told_once_until_it_ends_or_another_comes(start):
    lease = met("ask", *start)
    told = [lease.meet(e) for e in ("unknown", "unknown", "refused", "refused", "unknown")]
    assert told == ["registry_out_of_reach", None, "registration_refused", None, told[0]]
    assert set(told) - {None} <= TROUBLES
    assert lease.trouble == "registry_out_of_reach"
    assert lease.meet("renewed" if start else "granted") == (
        "registry_in_reach" if start else "registered"
    )
    assert lease.trouble == ""
    assert lease.meet("unknown") == "registry_out_of_reach"


def test_a_trouble_that_outlasts_the_lease_is_not_told_anew():
    lease = met("ask", "granted", "unknown")
    told = [lease.meet(e) for e in ("time_over", "ask", "unknown", "ask", "granted")]
    assert told == ["lease_lost", None, None, None, "registered_again"]


def test_a_taken_id_is_told_once_however_it_was_found():
    lease = met("ask", "granted")
    assert [lease.meet(e) for e in ("taken", "ask", "taken", "ask", "taken")] == [
        "id_taken",
        None,
        None,
        None,
        None,
    ]
    assert lease.meet("granted") == "registered_again"
