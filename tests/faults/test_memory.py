"""What a server holds for its clients is bounded, per connection and per process.

The servers are processes of their own, and their memory is what the system says of them.
"""

from __future__ import annotations

import functools
import threading
import time
from pathlib import Path

import pytest

from bee_core.wire import frames
from bee_core.wire.messages import Hello
from bee_plugins.compressors.zstd_compressor import zstd
from faults.processes import ServingProcess
from faults.rawpeer import RawClient, request
from support.patience import PATIENCE, scaled

MIB = 1 << 20
BEYOND = 64 * MIB
"""What may come on top of the bound: what is made of a body while it is decoded, and small things."""


class LargeProcess(ServingProcess):
    PROGRAM = Path(__file__).with_name("memory_program.py")


@pytest.fixture
def large():
    """Starts a server with a bound; the bound is in MiB."""
    made = []

    def start(bound, **settings):
        settings = {"max_buffered": f"{bound}m", "compressors": ["zstd"], **settings}
        made.append(LargeProcess(**settings))
        return made[-1]

    yield start
    for process in made:
        process.kill()


def greeted(server):
    """A connection that takes replies of any size."""
    peer = RawClient(server.url)
    peer.send(frames.encode(frames.HELLO, 0, Hello("calc", "json", "zstd", None, 1 << 28).encode()))
    peer.expect(frames.HELLO_ACK)
    return peer


@functools.cache
def swollen(size):
    """The arguments of a call with one empty text, which inflate to ``size`` MiB from some hundred bytes."""
    return zstd.compress(b'[""' + b" " * (size * MIB) + b"]", 3)


class Others:
    """Another client that calls on, each call within its own patience."""

    def __init__(self, server):
        self._peer = greeted(server)
        self._stop = threading.Event()
        self.calls = self.served = self.refused = 0
        self.slowest = 0.0
        self._thread = threading.Thread(target=self._call_on)
        self._thread.start()

    def _call_on(self):
        while not self._stop.is_set():
            self.calls += 1
            begun = time.monotonic()
            self._peer.send(request(self.calls, "add", b"[1,2]"))
            answer = self._peer.next()
            self.refused += answer.kind == frames.ERROR  # all places are taken for a moment
            self.served += answer.body == b"3"
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self._stop.wait(0.01)

    def end(self):
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a call of another client hangs"
        self._peer.sock.close()


@pytest.fixture
def others():
    made = []

    def start(server):
        made.append(Others(server))
        return made[-1]

    yield start
    for one in made:
        one.end()


def pipeline(peer, method, count):
    peer.send(*[request(id_, method, b"[]") for id_ in range(1, count + 1)])


def asking_on(server, peer, id_):
    """The connection with one request more; a new one if it was cut off."""
    try:
        peer.send(request(id_, "later", b"[]"))
    except OSError:
        peer.sock.close()
        peer = greeted(server)
        pipeline(peer, "later", 100)
    return peer


def take_all(peer, count):
    """Every reply, each once."""
    ids = [peer.expect(frames.RESPONSE).id for _ in range(count)]
    assert sorted(ids) == list(range(1, count + 1))


COUNT = 160
"""Replies of 1 MiB: more than the bound and what may come on top of it."""


def long(*methods):
    """Further kinds of handlers, for the long session."""
    return [pytest.param(method, marks=pytest.mark.slow) for method in methods]


KINDS = ["here", "later", "thread", *long("fresh", "task", "fresh_task", "fresh_thread")]


@pytest.mark.parametrize("method", KINDS)
def test_replies_that_nobody_reads_stay_within_the_bound_and_none_is_lost(large, others, method):
    server = large(64, write_timeout=PATIENCE, max_pool_size=16)
    before = server.peak_memory()
    other = others(server)
    peer = greeted(server)
    pipeline(peer, method, COUNT)
    served = other.served
    while other.served < served + 20:  # the server has gone on with what it took
        time.sleep(0.01)
    unread = server.peak_memory() - before
    take_all(peer, COUNT)
    other.end()
    assert unread < (64 << 20) + BEYOND
    assert other.slowest < scaled(1.0)


def test_clients_that_read_nothing_do_not_keep_the_places_of_others(large, others):
    server = large(64, write_timeout=PATIENCE, max_in_flight=50)
    other = others(server)
    peers = [greeted(server) for _ in range(4)]
    for peer in peers:
        pipeline(peer, "later", 100)
    until = time.monotonic() + PATIENCE
    while not other.refused:  # all places are taken
        assert time.monotonic() < until
        peers = [asking_on(server, peer, 200 + other.calls) for peer in peers]
        time.sleep(0.01)
    served = other.served
    while other.served < served + 50:
        assert time.monotonic() < until
        time.sleep(0.01)
    for peer in peers:
        peer.sock.close()


def test_results_that_wait_for_a_compressor_are_within_the_bound(large):
    server = large(64, write_timeout=PATIENCE)
    before = server.peak_memory()
    peer = greeted(server)
    pipeline(peer, "packed", 60)
    take_all(peer, 60)
    assert server.peak_memory() - before < (64 << 20) + 2 * BEYOND


def test_unread_replies_on_many_connections_cost_the_slowest_ones_their_connection(large, others):
    server = large(64, write_timeout=PATIENCE, max_pool_size=16)
    before = server.peak_memory()
    other = others(server)
    peers = [greeted(server) for _ in range(100)]
    for peer in peers:
        pipeline(peer, "thread", 20)
    served = other.served
    while other.served < served + 50:
        time.sleep(0.01)
    other.end()
    assert server.peak_memory() - before < (64 << 20) + 2 * BEYOND
    for peer in peers:
        peer.sock.close()


@pytest.mark.parametrize("method", ["size", *long("hold", "hold_thread")])
def test_small_bodies_that_become_large_wait_for_memory_and_all_run(large, others, method):
    server = large(128)
    before = server.peak_memory()
    other = others(server)
    peers = [greeted(server) for _ in range(4)]
    for peer in peers:
        peer.send(*[request(id_, method, swollen(32), flags=1) for id_ in range(1, 4)])
    for peer in peers:
        take_all(peer, 3)
        peer.sock.close()
    other.end()
    assert server.peak_memory() - before < (128 << 20) + BEYOND


def test_a_request_that_is_larger_than_the_bound_runs_alone(large):
    server = large(16)
    peers = [greeted(server) for _ in range(3)]
    for peer in peers:
        peer.send(request(1, "size", swollen(48), flags=1))
    for peer in peers:
        assert peer.expect(frames.RESPONSE).body == b"0"
        peer.sock.close()


@pytest.mark.parametrize("method", ["size", *long("size_task", "size_thread")])
def test_requests_exactly_as_large_as_their_connections_share_are_served_one_after_the_other(
    large, method
):
    codec = {"name": "json", "options": {"max_inflated": "2m"}}
    server = large(16, codecs=[codec])  # so the share of a connection is 2 MiB as well
    body = b'["' + b"a" * (2 * MIB - 4) + b'"]'
    peers = [greeted(server) for _ in range(3)]
    for peer in peers:
        sender = threading.Thread(
            target=peer.send, args=[request(id_, method, body) for id_ in range(1, 5)]
        )
        sender.start()
        take_all(peer, 4)
        sender.join(PATIENCE)
        peer.sock.close()


def test_a_call_that_is_given_up_while_it_waits_for_memory_leaves_the_queue(large):
    server = large(16, max_in_flight=2)
    first, second = greeted(server), greeted(server)
    first.send(request(1, "hold", swollen(32), flags=1), frames.encode(frames.PING, 2))
    first.expect(frames.PONG)  # so the memory is taken before the other call asks for it
    second.send(request(1, "hold", swollen(32), flags=1), frames.encode(frames.CANCEL, 1))
    second.send(request(2, "hold", b'["ab"]'))
    # It has taken the place in flight of the one that was given up.
    assert second.expect(frames.RESPONSE).body == b"2"
    assert first.expect(frames.RESPONSE).body == b"0"
    for peer in (first, second):
        peer.sock.close()


def test_frames_of_which_the_rest_does_not_come_are_bounded_and_others_are_read(large, others):
    server = large(16, read_timeout=PATIENCE)
    before = server.peak_memory()
    other = others(server)
    whole = request(1, "size", b'["' + b"a" * (2 * MIB - 4) + b'"]')
    peers = [greeted(server) for _ in range(50)]
    for peer in peers:
        peer.sock.setblocking(False)
        begun = peer.sock.send(whole[: MIB + MIB // 2])
        peer.rest = whole[begun:]
        peer.sock.setblocking(True)
    served = other.served
    while other.served < served + 20:
        time.sleep(0.01)
    held = server.peak_memory() - before
    # In the order in which they may go on: each waits for those before it.
    senders = [threading.Thread(target=peer.send, args=(peer.rest,)) for peer in peers]
    for sender in senders:
        sender.start()
    for peer in peers:
        assert peer.expect(frames.RESPONSE).body == str(2 * MIB - 4).encode()
    for sender in senders:
        sender.join(PATIENCE)
    for peer in peers:
        peer.sock.close()
    other.end()
    assert held < (16 << 20) + BEYOND


def test_pings_whose_pongs_nobody_reads_are_not_taken_for_ever(large):
    server = large(16, write_timeout=PATIENCE)
    before = server.peak_memory()
    peer = greeted(server)
    pings = frames.encode(frames.PING, 1) * 4096
    peer.sock.settimeout(scaled(0.5))
    with pytest.raises(TimeoutError):
        peer.sock.sendall(pings * 2000)
    assert server.peak_memory() - before < 16 * MIB
    peer.sock.close()
