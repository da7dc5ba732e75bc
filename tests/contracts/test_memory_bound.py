"""What a process holds for its clients: who gets memory when, and in which order."""

from __future__ import annotations

from bee_core.contracts.memory_bound import MemoryBound, MemoryShare


class Client:
    """A connection that notes what it is granted."""

    def __init__(self, bound):
        self.granted = []
        self.relieved = 0
        self.share = MemoryShare(bound, self._relieve)

    def _relieve(self):
        self.relieved += 1

    def ask(self, size, name="", inflating=False):
        """The place in the queue, or None where it is granted at once."""
        return self.share.reserve(size, lambda: self.granted.append(name), inflating=inflating)

    def end(self, size, inflating=False):
        self.share.give_back(size, inflating=inflating)


def bound_of(limit, largest=10):
    bound = MemoryBound(limit, largest)
    return bound, [Client(bound) for _ in range(4)]


def test_a_connection_holds_the_larger_of_the_largest_request_and_an_eighth():
    assert MemoryBound(80, 5).share == 10
    assert MemoryBound(80, 64).share == 64


def test_requests_get_half_of_the_total_and_wait_for_more():
    bound, (a, b, c, _) = bound_of(40)
    assert a.ask(10) is b.ask(10) is None
    assert c.ask(1, "c") is not None
    a.end(10)
    assert (c.granted, bound.held) == (["c"], 11)


def test_unread_replies_leave_the_rest_to_requests():
    bound, (a, b, *_) = bound_of(40)
    bound.unread = 35
    assert a.ask(5) is None
    assert b.ask(1) is not None


def test_a_frame_that_is_larger_than_all_is_read_when_nobody_else_holds_anything():
    bound, (a, b, *_) = bound_of(8, largest=100)
    assert a.ask(50) is None
    assert b.ask(50, "b") is not None
    a.end(50)
    assert (b.granted, bound.held) == (["b"], 50)


def test_one_body_may_always_be_inflated_however_full_it_is():
    bound, (a, b, *_) = bound_of(8, largest=100)
    a.share.take(4)
    b.share.take(4)
    assert a.ask(100, inflating=True) is None
    assert b.ask(100, "b", inflating=True) is not None
    a.end(100, inflating=True)
    assert (b.granted, bound.inflated) == (["b"], 100)


def test_bodies_come_before_frames_and_each_queue_is_in_order():
    _, (a, b, c, d) = bound_of(20)
    assert a.ask(10, inflating=True) is None
    order = []
    for client, name, inflating in ((b, "frame", False), (c, "one", True), (d, "two", True)):
        client.granted = order
        assert client.ask(10, name, inflating=inflating) is not None
    a.end(10, inflating=True)
    assert order == ["one"]
    c.end(10, inflating=True)
    d.end(10, inflating=True)
    assert order == ["one", "two", "frame"]


def test_who_waits_for_its_own_share_does_not_hold_up_others():
    _, (a, b, *_) = bound_of(100)
    assert a.ask(10, inflating=True) is None
    assert a.ask(10, "a", inflating=True) is not None
    assert b.ask(10, inflating=True) is None
    a.end(10, inflating=True)
    assert a.granted == ["a"]


def test_who_waits_for_the_total_is_not_overtaken():
    _, (a, b, c, d) = bound_of(24)
    assert a.ask(10) is None
    assert b.ask(10, "b") is not None
    assert c.ask(1, "c") is not None
    a.end(10)
    assert (b.granted, c.granted) == (["b"], ["c"])
    assert d.ask(1) is None


def test_a_place_that_is_given_up_lets_the_next_one_in():
    _, (a, b, c, _) = bound_of(20)
    assert a.ask(10) is None
    big = b.ask(10, "b")
    assert c.ask(1, "c") is not None
    a.end(5)
    assert (b.granted, c.granted) == ([], [])
    big.leave()
    assert (b.granted, c.granted) == ([], ["c"])


def test_a_share_that_was_used_up_says_when_it_has_room_again():
    _, (a, *_) = bound_of(80, largest=10)
    a.share.take(12)
    assert a.share.full
    a.end(1)
    assert (a.share.full, a.relieved) == (True, 0)
    a.end(5)
    assert (a.share.full, a.relieved) == (False, 1)
