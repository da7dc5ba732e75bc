"""Random histories, in the language of ``tests/model``, against real registries.

Real processes are killed, frozen and cut off. No call of a client that knows nodes fails, and in
the end the registry's list and each client's are right.
"""

from __future__ import annotations

import pytest

from model.language import History, random_steps
from registry_faults.conftest import KINDS
from registry_faults.history_world import HistoryWorld

VERBS = (
    *("kill", "freeze", "thaw", "drain", "restart", "upgrade", "erase"),
    *("wipe", "renew", "down", "silence", "come"),
    *("lose_server", "cut_server", "mend_server", "lose_client", "cut_client", "mend_client"),
    *("again", "fresh"),
)
PAUSES = (0.0, 0.3, 1.0, 2.0)
SEEDS = range(8)
"""A history each, one after the other on the same registry: to start it takes longer than one."""


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    world = HistoryWorld(request.param, tmp_path)
    yield world
    world.close()


@pytest.mark.timeout(600)
def test_random_histories_fail_no_call_and_come_right(world, record):
    for seed in SEEDS:
        history = History(steps=random_steps(seed, 5, VERBS, PAUSES))
        try:
            calls, seconds = live(world, history)
        except AssertionError as error:
            raise AssertionError(f"{error}\nseed {seed}:\n{history}") from error
        record(
            f"a random history, {world.name}, seed {seed}",
            calls=calls,
            failed=0,
            recover=seconds,
        )


def live(world, history):
    """How many calls were made in it, and the seconds until everything was right in its end."""
    for step in history.steps:
        world.do(step)
    seconds = world.settle()
    calls, failed = world.ledger()
    assert failed == []
    assert calls >= 10
    return calls, seconds
