"""What goes out together, and when."""

from __future__ import annotations

from bee_core.streams.batched_writer import BATCH, BatchedWriter


class Loop:
    """Keeps callbacks until its turn is over."""

    def __init__(self):
        self.soon = []

    def call_soon(self, callback):
        self.soon.append(callback)

    def turn(self):
        callbacks, self.soon = self.soon, []
        for callback in callbacks:
            callback()


class Transport:
    """Notes each write."""

    def __init__(self):
        self.written = []
        self.closing = False

    def is_closing(self):
        return self.closing

    def write(self, data):
        self.written.append(data)


def made():
    loop, transport = Loop(), Transport()
    return loop, transport, BatchedWriter(loop, transport)


def test_writes_of_one_turn_go_out_in_one_write_at_its_end():
    loop, transport, writer = made()
    writer.write(b"a")
    writer.write(b"b")
    assert transport.written == []
    loop.turn()
    assert transport.written == [b"ab"]
    writer.write(b"c")
    loop.turn()
    assert transport.written == [b"ab", b"c"]


def test_a_full_batch_goes_out_before_the_turn_is_over():
    loop, transport, writer = made()
    for _ in range(BATCH + 1):
        writer.write(b"x")
    assert transport.written == [b"x" * BATCH]
    loop.turn()
    assert transport.written == [b"x" * BATCH, b"x"]


def test_a_corked_writer_holds_everything_until_it_is_flushed():
    loop, transport, writer = made()
    writer.corked = True
    for _ in range(2 * BATCH):
        writer.write(b"x")
    loop.turn()
    assert transport.written == []
    writer.corked = False
    writer.flush()
    assert transport.written == [b"x" * 2 * BATCH]


def test_a_large_body_is_not_copied_and_keeps_its_place():
    loop, transport, writer = made()
    body = bytes(1 << 20)
    writer.write(b"head")
    writer.write(body)
    writer.write(b"next")
    loop.turn()
    assert transport.written == [b"head", body, b"next"]
    assert transport.written[1] is body


def test_nothing_is_written_to_a_closing_connection():
    loop, transport, writer = made()
    writer.write(b"a")
    transport.closing = True
    writer.write(bytes(1 << 20))
    loop.turn()
    assert transport.written == []
