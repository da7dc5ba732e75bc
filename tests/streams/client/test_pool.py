"""The idle connections of a blocking channel.

The last one used comes back first, and old ones are returned to be closed.
"""

from __future__ import annotations

import pytest

from bee_core.streams.client.blocking_channel import IdlePool

IDLE_SECONDS = 60.0


class Connection:
    idle_since = 0.0


@pytest.fixture
def three():
    return [Connection() for _ in range(3)]


def test_the_connection_used_last_is_taken_first(three):
    pool = IdlePool(IDLE_SECONDS)
    for connection in three:
        assert pool.give(connection, 1.0) == []
    assert [pool.take() for _ in range(4)] == [*reversed(three), None]


def test_one_that_is_given_back_knows_since_when_it_is_idle(three):
    pool = IdlePool(IDLE_SECONDS)
    pool.give(three[0], 12.5)
    assert three[0].idle_since == 12.5


def test_the_oldest_is_handed_out_to_be_closed_once_it_is_too_old(three):
    pool = IdlePool(IDLE_SECONDS)
    pool.give(three[0], 0.0)
    pool.give(three[1], 1.0)
    assert pool.give(three[2], IDLE_SECONDS) == []
    connection = pool.take()
    assert pool.give(connection, IDLE_SECONDS + 0.5) == [three[0]]
    assert len(pool.clear()) == 2


def test_the_only_connection_is_kept_however_old(three):
    pool = IdlePool(IDLE_SECONDS)
    pool.give(three[0], 0.0)
    assert pool.give(pool.take(), 10 * IDLE_SECONDS) == []
    assert pool.take() is three[0]


def test_clear_takes_all(three):
    pool = IdlePool(IDLE_SECONDS)
    for connection in three:
        pool.give(connection, 0.0)
    assert set(pool.clear()) == set(three)
    assert pool.take() is None


def test_a_closed_pool_keeps_nothing(three):
    pool = IdlePool(IDLE_SECONDS)
    pool.give(three[0], 0.0)
    pool.closed = True
    assert set(pool.give(three[1], 0.0)) == set(three[:2])
    assert pool.take() is None
