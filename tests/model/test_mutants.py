"""The model finds bee wrong where bee is made wrong: each promise that it checks can break."""

from __future__ import annotations

import pytest

from bee_core.control import (
    cache_writer,
    discovery,
    doubts,
    node_states,
    registration,
    registry_states,
    renewals,
    roster,
)
from model.language import History
from model.world import replay

HIDDEN = "wait 2; blank; wait 2; show"
LONG = "world 10 3 2 0; wait 2"
LET_GO = "go without evidence, and it serves"


def broken(history):
    return replay(History.parse(history.replace(";", "\n")))


@pytest.mark.parametrize(
    "history",
    [
        HIDDEN,
        f"{LONG}; drain 0; wait 2",
        f"{LONG}; kill 0; wait 5",
        f"{LONG}; freeze 0; wait 5",
        f"{LONG}; blank; wait 0.2; freeze 0; wait 0.2; thaw 0; wait 1",
        "wait 2; blank; wait 0.5; down; wait 6; come; wait 0.2; show",
        "wait 2; cut_server 0; wait 8",
        "wait 2; wipe; wait 5",
        f"{LONG}; restart 0; wait 5",
        f"{LONG}; blank; wait 0.2; again 0; wait 0.1; down; again 0; wait 0.2",
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(history):
    assert broken(history) == ""


@pytest.mark.parametrize(
    ("state", "event", "wrong", "history", "found"),
    [
        ("listed", "vanished", "gone", HIDDEN, "does not say that it doubts"),
        ("doubted", "serving", "gone", HIDDEN, LET_GO),
        ("doubted", "draining", "doubted", f"{LONG}; drain 0; wait 2", "still picked"),
        ("doubted", "refused", "doubted", f"{LONG}; kill 0; wait 5", "still picked"),
        ("doubted", "failed", "doubted", f"{LONG}; freeze 0; wait 5", "still picked"),
    ],
)
def test_a_wrong_entry_in_the_table_of_a_node_is_found(
    monkeypatch, state, event, wrong, history, found
):
    monkeypatch.setitem(node_states.STATES[state], event, wrong)
    assert found in broken(history)


def test_a_node_that_is_let_go_too_early_is_found(monkeypatch):
    monkeypatch.setattr(discovery, "HELD_HEARTBEATS", 1)
    assert LET_GO in broken(HIDDEN)


def test_an_outage_that_counts_as_answers_is_found(monkeypatch):
    monkeypatch.setattr(registry_states.Hearing, "answered", lambda self, now: now)
    assert LET_GO in broken("wait 2; blank; wait 0.5; down; wait 6; come; wait 0.2; show")


def test_a_client_that_gives_up_after_one_ping_is_found(monkeypatch):
    monkeypatch.setattr(roster, "MOST_FAILURES", 1)
    history = f"{LONG}; blank; wait 0.2; freeze 0; wait 0.2; thaw 0; wait 1"
    assert "let calc-1 go without evidence" in broken(history)


def test_too_many_pings_are_found(monkeypatch):
    monkeypatch.setattr(discovery, "ASK_AGAIN", 0.01)
    monkeypatch.setattr(doubts, "_SPACING", 0.01)
    assert "pings in a second" in broken("wait 2; blank; wait 2")


def test_a_server_that_does_not_hear_that_its_lease_has_gone_is_found(monkeypatch):
    monkeypatch.setattr(renewals, "LeaseLost", KeyError)
    assert "the record of" in broken("wait 2; wipe; wait 5")


def test_a_server_that_asks_without_a_pause_is_found(monkeypatch):
    class Hasty:
        def __init__(self, *_):
            pass

        def delay(self, *_):
            return 0.0

    monkeypatch.setattr(registration, "Backoff", Hasty)
    monkeypatch.setattr(registration, "_OF_A_BEAT", 0.01)
    assert "requests in" in broken("wait 2; cut_server 0; wait 8")


def test_a_node_that_is_picked_where_a_newer_one_is_is_found(monkeypatch):
    monkeypatch.setattr(roster.Roster, "_cover", lambda *_: None)
    assert "whose addresses newer records have" in broken(f"{LONG}; restart 0; wait 1")


def test_a_client_that_does_not_keep_what_it_picks_is_found(monkeypatch):
    monkeypatch.setattr(cache_writer.CacheWriter, "keep", lambda self: None)
    assert "did not keep ['calc-1'" in broken(f"{LONG}; blank; wait 0.2; again 0")
