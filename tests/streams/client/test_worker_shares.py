"""A blocking client's connections are spread over the workers of a node again, if they are not."""

from __future__ import annotations

from bee_core.streams.client.worker_shares import WorkerShares
from bee_core.wire.messages import HelloAck


class Connection:
    def __init__(self, epoch, workers=4):
        self.ack = None if epoch is None else HelloAck("calc", "1", epoch, workers=workers)


def some(**counts):
    return [Connection(epoch.encode()) for epoch, count in counts.items() for _ in range(count)]


def surplus(connections, shares=None, now=0.0):
    shares = shares or WorkerShares()
    return {one.ack.epoch for one in connections if shares.is_surplus(one, connections, now)}


def test_while_all_have_about_the_same_nothing_is_closed_and_it_is_looked_at_seldom():
    shares = WorkerShares()
    assert surplus(some(a=3, b=2, c=2, d=3), shares) == set()
    assert shares.look_at == 0.5


def test_the_worker_with_the_most_gives_while_one_has_none():
    assert surplus(some(a=4, b=3, c=3)) == {b"a"}


def test_the_worker_with_the_most_gives_while_one_has_two_less():
    assert surplus(some(a=4, b=3, c=3, d=2)) == {b"a"}


def test_fewer_connections_than_workers_stay():
    assert surplus(some(a=1, b=1)) == set()


def test_one_process_or_one_that_has_not_answered_yet_is_never_too_much():
    connections = [Connection(b"a", workers=1) for _ in range(9)]
    assert surplus(connections) == set()
    waiting = Connection(None)
    assert not WorkerShares().is_surplus(waiting, [waiting, *some(a=5)], 0.0)


def test_a_worker_that_stays_away_does_not_make_the_client_dial_for_ever():
    shares, connections, now, closed = WorkerShares(), some(a=4, b=3, c=3), 0.0, 0
    while now < 60:
        closed += shares.is_surplus(connections[0], connections, now)
        now = shares.look_at
    assert closed < 20 + 60 / 0.5 + 1
    assert shares.look_at - 0.5 <= now
