"""The table of a node's state, and the nodes of a service that follow it."""

from __future__ import annotations

import pytest

from bee_core.control.node_states import MOST_FAILURES, STATES, NodeEvent, NodeStatus, event_of
from bee_core.control.roster import Roster
from bee_core.terms.causes import (
    broken_peer,
    connect_timed_out,
    lost,
    passed_over,
    read_timed_out,
    refused,
    reported,
)
from bee_core.terms.failures import HandshakeError
from bee_core.terms.node import Changes, Node

REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
SLOW = read_timed_out(1.0, full=True)
BOUND = 30.0

EXPECTED = """
              cached   listed   doubted  gone
listed        listed   listed   listed   listed
vanished      cached   doubted  doubted  gone
address_taken gone     gone     gone     gone
serving       doubted  listed   doubted  gone
draining      gone     listed   gone     gone
refused       gone     listed   gone     gone
failed        gone     listed   gone     gone
time_over     gone     listed   gone     gone
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
    assert set(STATES) == set(NodeStatus.__args__)
    assert {frozenset(row) for row in STATES.values()} == {frozenset(NodeEvent.__args__)}
    assert {event for _, event, _ in pairs()} == set(NodeEvent.__args__)


@pytest.mark.parametrize(
    ("answer", "event"),
    [
        ("serving", "serving"),
        ("draining", "draining"),
        (REFUSED, "refused"),
        (refused(FileNotFoundError(2, "No such file or directory")), "refused"),
        (refused(OSError(113, "No route to host")), "failed"),
        (refused(ConnectionResetError(104, "Connection reset")), "failed"),
        (refused(HandshakeError("the certificate is of another host")), "failed"),
        (refused(HandshakeError("bad certificate", rejected=True)), "serving"),
        (passed_over("max_conn_size is reached", kind="overloaded"), "serving"),
        (reported("overloaded", "busy"), "serving"),
        (passed_over("bad token", kind="unauthenticated"), "serving"),
        (passed_over("another service", kind="protocol_error"), "failed"),
        (passed_over("the server is shutting down"), "failed"),
        (connect_timed_out(1.0, full=True), "failed"),
        (SLOW, "failed"),
        (lost("the server closed it"), "failed"),
        (broken_peer(ValueError("HTTP")), "failed"),
    ],
)
def test_what_an_answer_to_a_ping_says_of_its_node(answer, event):
    assert event_of(answer) == event


# ── all nodes of a service ──


def at(*names, port=1):
    return tuple(Node(name, f"tcp://{name}:{port}", "1.0.0") for name in names)


def ids(nodes):
    return sorted(node.id for node in nodes)


@pytest.fixture
def roster():
    made = Roster(BOUND)
    made.whole(at("a", "b", "c"), 0.0, 0.0)
    return made


def suspect(roster, node_id):
    return next(one for one in roster.suspects if one.node.id == node_id)


def test_the_first_list_is_new_for_calls():
    delta = Roster(BOUND).whole(at("a", "b"), 0.0, 0.0)
    assert (delta.put, delta.gone, delta.suspects) == (at("a", "b"), frozenset(), ())


def test_the_same_list_again_makes_no_difference(roster):
    assert not roster.whole(at("a", "b", "c"), 1.0, 1.0).matters


def test_a_node_that_vanishes_is_picked_and_asked(roster):
    delta = roster.whole(at("a", "c"), 5.0, 7.0)
    assert not delta.matters
    assert [(one.node, one.since, one.began) for one in delta.suspects] == [(at("b")[0], 5.0, 7.0)]
    assert ids(roster.picked) == ["a", "b", "c"]
    assert roster.status("b") == "doubted"


def test_changes_and_whole_lists_say_the_same():
    by_list, by_changes = Roster(BOUND), Roster(BOUND)
    first, then = at("a", "b", "c"), (*at("a", port=2), *at("c", "d"))
    for one in (by_list, by_changes):
        one.whole(first, 0.0, 0.0)
    changes = Changes(1, (*at("a", port=2), *at("d")), frozenset({"b"}))
    whole, part = by_list.whole(then, 1.0, 1.0), by_changes.change(changes, then, 1.0, 1.0)
    assert (set(whole.put), whole.gone) == (set(part.put), part.gone)
    assert ids(by_list.picked) == ids(by_changes.picked) == ["a", "b", "c", "d"]
    assert set(whole.put) == {*at("a", port=2), *at("d")}


def test_a_node_that_is_listed_again_was_never_away_for_calls(roster):
    roster.whole(at("a"), 0.0, 0.0)
    delta = roster.change(Changes(1, at("b")), at("a", "b"), 1.0, 1.0)
    assert not delta.matters
    assert [one.status for one in delta.settled] == ["listed"]
    assert ids(one.node for one in roster.suspects) == ["c"], "the others stay in doubt"


def test_a_node_that_is_listed_again_and_has_changed_is_put(roster):
    roster.whole(at("a", "b"), 0.0, 0.0)
    assert roster.whole((*at("a", "b"), *at("c", port=2)), 1.0, 1.0).put == at("c", port=2)


def test_a_node_goes_when_a_listed_one_has_its_address(roster):
    other = Node("new", "tcp://b:1")
    assert roster.whole((*at("a", "c"), other), 0.0, 0.0).gone == {"b"}
    assert roster.suspects == ()


def test_a_node_in_doubt_goes_when_a_listed_one_takes_its_address_later(roster):
    roster.whole(at("a", "c"), 0.0, 0.0)
    delta = roster.change(
        Changes(1, (Node("new", "tcp://b:1"),)), (*at("a", "c"), Node("new", "tcp://b:1")), 0.0, 0.0
    )
    assert (delta.gone, ids(delta.put)) == ({"b"}, ["new"])
    assert ids(roster.picked) == ["a", "c", "new"]


def test_an_address_that_was_given_up_is_free_again(roster):
    roster.change(Changes(1, at("a", port=2)), (*at("a", port=2), *at("b", "c")), 0.0, 0.0)
    roster.whole((*at("a", port=2), *at("b", "c"), Node("d", "tcp://a:1")), 0.0, 0.0)
    assert roster.change(
        Changes(1, gone=frozenset({"d"})), (*at("a", port=2), *at("b", "c")), 0.0, 0.0
    ).suspects
    assert roster.status("d") == "doubted"


def changed(roster, nodes, put=(), gone=(), answered=0.0):
    """The roster's next list, as changes."""
    return roster.change(Changes(1, tuple(put), frozenset(gone)), tuple(nodes), answered, 0.0)


def by_whole_lists(roster, nodes, put=(), gone=(), answered=0.0):
    """The same, whole."""
    return roster.whole(tuple(nodes), answered, 0.0)


LISTS = pytest.mark.parametrize("next_list", [changed, by_whole_lists])
NEW = Node("new", "tcp://b:1", "9.0.0")


@LISTS
def test_of_two_listed_nodes_at_one_url_the_last_one_is_there(roster, next_list):
    delta = next_list(roster, (*at("a", "b", "c"), NEW), put=[NEW])
    assert (delta.put, delta.gone, delta.suspects) == ((NEW,), {"b"}, ())
    assert ids(roster.picked) == ["a", "c", "new"]
    assert (roster.status("b"), roster.status("new")) == ("gone", "listed")
    assert not next_list(roster, (*at("c", "b"), NEW, *at("a"))).matters
    assert not next_list(roster, (NEW, *at("a", "c")), gone=["b"]).matters, "never doubted"
    assert roster.suspects == ()


@LISTS
def test_the_older_one_is_there_again_when_the_newer_one_leaves_the_list(roster, next_list):
    next_list(roster, (*at("a", "b", "c"), NEW), put=[NEW])
    delta = next_list(roster, at("a", "b", "c"), gone=["new"])
    assert (delta.put, delta.gone, delta.suspects) == (at("b"), {"new"}, ())
    assert roster.status("b") == "listed"
    moved = Node("new", "tcp://d:1", "9.0.0")
    next_list(roster, (*at("a", "b", "c"), NEW), put=[NEW])
    delta = next_list(roster, (*at("a", "b", "c"), moved), put=[moved])
    assert (set(delta.put), delta.gone) == ({moved, *at("b")}, frozenset())


@LISTS
def test_a_covered_node_that_changes_stays_covered_and_one_that_moves_is_there(roster, next_list):
    next_list(roster, (*at("a", "b", "c"), NEW), put=[NEW])
    heavier = Node("b", "tcp://b:1", "1.0.0", weight=2.0)
    assert not next_list(roster, (*at("a", "c"), heavier, NEW), put=[heavier]).matters
    delta = next_list(roster, (*at("a", "c"), *at("b", port=2), NEW), put=at("b", port=2))
    assert (delta.put, delta.gone) == (at("b", port=2), frozenset())


def test_of_two_that_are_first_seen_together_the_last_one_is_there():
    roster = Roster(BOUND)
    assert roster.whole((*at("b"), NEW), 0.0, 0.0).put == (NEW,)
    assert (roster.picked, roster.present) == ((NEW,), (NEW,))
    roster.begin((NEW, *at("b")))
    assert roster.picked == at("b")


@LISTS
def test_an_older_one_that_is_seen_later_is_not_there(roster, next_list):
    """A registry that left it out for a moment lists it again."""
    delta = next_list(roster, (*at("a", "c"), NEW), put=[NEW], gone=["b"])
    assert (delta.put, delta.gone) == ((NEW,), {"b"})
    assert not next_list(roster, (*at("a", "b", "c"), NEW), put=at("b")).matters
    assert ids(roster.picked) == ["a", "c", "new"]


@LISTS
def test_a_node_in_doubt_that_comes_back_where_another_is_listed_now_is_not_picked(
    roster, next_list
):
    next_list(roster, at("a", "c"), gone=["b"])
    delta = next_list(roster, (*at("a", "b", "c"), NEW), put=[*at("b"), NEW])
    assert (delta.put, delta.gone) == ((NEW,), {"b"})
    assert [one.status for one in delta.settled] == ["listed"]


@LISTS
def test_two_that_stay_at_one_url_are_told_apart_from_one_that_has_gone(roster, next_list):
    assert roster.shared_for(60.0, 1000.0) == ""
    next_list(roster, (*at("a", "b", "c"), NEW), put=[NEW], answered=10.0)
    next_list(roster, (*at("a", "b", "c"), NEW), answered=60.0)
    assert roster.shared_for(60.0, 69.9) == ""
    assert roster.shared_for(60.0, 70.0) == "tcp://b:1"
    next_list(roster, (*at("a", "c"), NEW), gone=["b"], answered=80.0)
    assert roster.shared_for(60.0, 1000.0) == ""


@pytest.mark.parametrize("answer", ["draining", REFUSED])
def test_draining_and_refused_let_go_at_once(roster, answer):
    roster.whole(at("a", "c"), 0.0, 0.0)
    assert roster.answer(suspect(roster, "b"), answer).gone == {"b"}
    assert ids(roster.picked) == ["a", "c"]


def test_three_failures_in_a_row_let_go_and_a_sign_of_life_counts_anew(roster):
    roster.whole(at("a", "c"), 0.0, 0.0)
    one = suspect(roster, "b")
    for answer in (SLOW, SLOW, reported("overloaded", "busy"), SLOW, SLOW):
        assert not roster.answer(one, answer).matters
    assert one.failures == MOST_FAILURES - 1
    assert "2 of 3 pings failed: no reply within" in one.reason
    assert roster.answer(one, SLOW).gone == {"b"}


def test_what_serves_goes_when_its_time_is_over_and_not_before(roster):
    roster.whole(at("a", "b"), 0.0, 0.0)
    roster.whole(at("a"), 10.0, 0.0)
    for one in roster.suspects:
        roster.answer(one, "serving")
    assert not roster.pass_time(BOUND - 0.1).matters
    assert roster.pass_time(BOUND).gone == {"c"}, "each has its own time"
    assert roster.pass_time(BOUND + 9.9).gone == frozenset()
    assert roster.pass_time(BOUND + 10.0).gone == {"b"}


def test_a_node_that_comes_and_goes_begins_a_new_doubt(roster):
    roster.whole(at("a", "b"), 0.0, 0.0)
    old = suspect(roster, "c")
    roster.whole(at("a", "b", "c"), 20.0, 0.0)
    roster.whole(at("a", "b"), 25.0, 0.0)
    assert not roster.answer(old, REFUSED).matters, "an answer to the question of before"
    assert not roster.pass_time(BOUND + 20.0).matters
    assert roster.pass_time(BOUND + 25.0).gone == {"c"}


def test_what_only_the_disk_knows_is_picked_once_it_serves():
    roster = Roster(BOUND)
    roster.remember(at("a", "b", "c"), 0.0)
    assert roster.picked == ()
    roster.whole(at("a"), 0.0, 0.0)
    assert [(one.node.id, one.status) for one in roster.suspects] == [
        ("b", "cached"),
        ("c", "cached"),
    ]
    delta = roster.answer(suspect(roster, "b"), "serving")
    assert (delta.put, ids(roster.picked)) == (at("b"), ["a", "b"])
    assert not roster.answer(suspect(roster, "c"), REFUSED).matters
    assert ids(roster.picked) == ["a", "b"]


def test_a_list_that_stands_in_is_held_against_the_registrys_first_one():
    roster = Roster(BOUND)
    roster.remember(at("a", "b"), 0.0)
    roster.begin(at("a", "b"))
    assert (roster.picked, roster.suspects) == (at("a", "b"), ())
    assert ids(one.node for one in roster.whole((), 0.0, 0.0).suspects) == ["a", "b"]
    assert ids(roster.picked) == ["a", "b"]


def test_the_reason_says_what_was_heard(roster):
    roster.whole(at("a", "b"), 0.0, 0.0)
    one = suspect(roster, "c")
    said = [one.reason]
    for answer in ("serving", reported("overloaded", "max_conn_size is reached")):
        roster.answer(one, answer)
        said.append(one.reason)
    assert said == [
        "the registry does not list it, and it has not been asked yet",
        "the registry does not list it, and it answers pings",
        "the registry does not list it, and it answers pings: max_conn_size is reached",
    ]
