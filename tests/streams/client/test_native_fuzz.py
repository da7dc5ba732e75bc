"""The native exchange against the path in Python: the same conversations, with the same results.

Hypothesis writes a conversation: what is asked, how the answer is cut, what shows up on an idle
connection, which signals come. A thread plays the server. What every call returned, what the server
heard and what is left must be the same on both paths. ``test_native_exchange.py`` looks at the step
by itself.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import sys
import termios
import threading
from itertools import pairwise

import attrs
import hypothesis
import pytest
from hypothesis import strategies as st

from bee_core.streams import StreamTransport, byte_streams
from bee_core.streams.client import busy_poll
from bee_core.streams.client.native import exchange
from bee_core.streams.client.native_connection import NativeConnection
from bee_core.terms.failures import Failure
from bee_core.terms.request import Request
from bee_core.wire import frames
from support.patience import PATIENCE
from support.stream_peers import ack, channel_on, error, goaway, request, response

pytestmark = [
    pytest.mark.skipif(exchange is None, reason="bee is installed without the native exchange"),
    pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much is unread"),
]

MAX_BODY = 1 << 20
SHORT = 0.02
"""Seconds of a read_timeout that is to be over."""
SENT_AT_ONCE = 8192
"""Bytes of the buffer of a socket. Requests of tens of kilobytes go out in parts."""


@attrs.frozen
class Step:
    """One call, and what the server does.

    Attributes:
        asked: Bytes of the request's body.
        answered: Bytes of the answer's body.
        plot: How the server answers.
        cuts: Where the answer is cut, in thousandths.
        one_by_one: Each part is read before the next one is written.
        signals: How many signals come during the call, which a handler takes and nothing else.
        before: What shows up on the idle connection before the call.
    """

    asked: int
    answered: int
    plot: str
    cuts: list[int]
    one_by_one: bool
    signals: int
    before: str


PLOTS = {
    "answers": response,
    "fails": lambda id_, body: error(id_),
    "answers another first": lambda id_, body: response(id_ - 1, b"old") + response(id_, body),
    "says goodbye and answers": lambda id_, body: goaway(id_) + response(id_, body),
    "did not take it": lambda id_, body: goaway(id_ - 1),
    "talks nonsense": lambda id_, body: b"\0\0\0\0" + body,
    "ends within the answer": lambda id_, body: response(id_, body)[:-1],
    "ends": lambda id_, body: b"",
    "resets": lambda id_, body: b"",
    "is silent": lambda id_, body: b"",
}
USUAL = ["answers"] * 6
INTERRUPTED = "interrupts the caller"

steps = st.builds(
    Step,
    asked=st.sampled_from([1, 200, 200, 60_000, 200_000]),
    answered=st.sampled_from([0, 1, 200, 16_384 - 14, 16_384, 16_385, 100_000]),
    plot=st.sampled_from([*USUAL, *PLOTS]),
    cuts=st.lists(st.integers(0, 1000), max_size=4).map(sorted),
    one_by_one=st.booleans(),
    signals=st.integers(0, 2),
    before=st.sampled_from(["nothing"] * 4 + ["end", "goaway", "late bytes"]),
)


class Server(StreamTransport):
    """Plays the steps on a thread. Each connection is a pair of sockets, of TCP or of the system.

    Args:
        tcp: Which.
        main: The thread that gets the signals.
    """

    def __init__(self, tcp, main):
        self.tcp = tcp
        self.main = main
        self.sockets = []
        self.dialed = []
        self.heard = []
        self.at = -1  # the newest connection that it knows
        self.bell, self._ears = socket.socketpair()

    def dial(self, url, timeout):
        if self.tcp:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                theirs = socket.create_connection(listening.getsockname())
                ours, _ = listening.accept()
            for sock in (ours, theirs):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AT_ONCE)
        ours.sendall(ack())
        self.heard.append(Heard())
        self.dialed.append(theirs)
        self.sockets.append(ours)
        self.bell.send(b"n")  # a new connection
        return theirs

    async def dial_async(self, url, factory):
        raise AssertionError

    async def accept(self, url, factory, backlog):
        raise AssertionError

    def play(self, step):
        """Until the request has come and is answered, or the call is over."""
        poll, fd = select.poll(), -1
        poll.register(self._ears, select.POLLIN)
        if self.at >= 0 and (fd := self.sockets[self.at].fileno()) >= 0:
            poll.register(fd, select.POLLIN)
        while True:
            shown = dict(poll.poll(PATIENCE * 1000))
            assert shown, "nothing happens"
            if self._ears.fileno() in shown:
                if self._ears.recv(1) == b"o":  # over
                    return
                if fd >= 0:
                    poll.unregister(fd)
                self.at += 1
                fd = self.sockets[self.at].fileno()
                poll.register(fd, select.POLLIN)
            elif (id_ := self.heard[self.at].listen(self.sockets[self.at])) is not None:
                poll.unregister(fd)  # the call's end follows, or another connection
                fd = -1
                if id_ > 0:
                    self._answer(step, id_)

    def _answer(self, step, id_):
        sock, bell_rings = self.sockets[self.at], select.poll()
        bell_rings.register(self._ears, select.POLLIN)
        if step.plot == INTERRUPTED:
            # More than once: one that comes just before a poll of Python would end no wait.
            while not bell_rings.poll(1):
                signal.pthread_kill(self.main, signal.SIGUSR1)
            return
        said = PLOTS[step.plot](id_, b"a" * step.answered)
        places = [0, *(len(said) * cut // 1000 for cut in step.cuts), len(said)]
        signals = step.signals
        for start, end in pairwise(places):
            if signals:
                signals -= 1
                signal.pthread_kill(self.main, signal.SIGUSR1)
            try:
                sock.sendall(said[start:end])
            except OSError:
                return  # the client has heard enough
            # What a client has left unread at its end stays unread.
            while step.one_by_one and unread(sock) and not bell_rings.poll(0):
                os.sched_yield()
        if step.plot == "resets" and self.tcp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if step.plot.startswith(("ends", "resets")):
            self.heard[self.at].end()
            sock.close()

    def show(self, what):
        """Let something show up on the idle connection."""
        sock = self.sockets[-1] if self.sockets else None
        if sock is None or sock.fileno() < 0 or what == "nothing":
            return
        try:
            if what == "end":
                sock.shutdown(socket.SHUT_WR)
            else:
                sock.sendall(goaway(1) if what == "goaway" else response(1, b"late"))
        except OSError:
            pass  # the client has closed it

    def close(self):
        for heard, sock in zip(self.heard, self.sockets, strict=True):
            heard.rest(sock)
            sock.close()
        self.bell.close()
        self._ears.close()


class Heard:
    """What a client has said on one connection."""

    def __init__(self):
        self.frames = []
        self.ended = False
        self._decoder = frames.FrameDecoder(MAX_BODY)

    def listen(self, sock):
        """Read once. The id of a request that is whole, 0 at the end, else None."""
        try:
            data = sock.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            self.end()
            return 0
        found = [(frame.kind, frame.id, len(frame.body)) for frame in self._decoder.feed(data)]
        self.frames += found
        return next((id_ for kind, id_, _ in found if kind == frames.REQUEST), None)

    def end(self):
        self.ended = True

    def rest(self, sock):
        """Read to the end, which the client has made already."""
        while not self.ended:
            self.listen(sock)

    @property
    def all(self):
        return self.frames, self._decoder.partial, self._decoder.error

    @property
    def comparable(self):
        """Without a cancel behind a large request: it is only sent if there is room by then."""
        small = {
            id_
            for kind, id_, size in self.frames
            if kind == frames.REQUEST and size <= SENT_AT_ONCE
        }
        said = [one for one in self.frames if one[0] != frames.CANCEL or one[1] in small]
        return said, self._decoder.partial, self._decoder.error


def unread(sock):
    """Bytes that the other end has not read, as far as the system tells."""
    if sock.fileno() < 0:
        return 0
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]


def told(outcome):
    """What matters of an outcome."""
    if isinstance(outcome, Failure):
        names = ("kind", "message", "executed", "retry", "blame", "unsent", "reached")
        return tuple(getattr(outcome, name) for name in names)
    return outcome.body


def converse(script, *, tcp, path, looks):
    """Play a conversation; return what can be compared."""
    server = Server(tcp, threading.get_ident())
    server.busy_poll = 0.01 if looks else 0.0
    channel = channel_on(server, attended=True, max_body=MAX_BODY)
    if looks and channel.busy_poll is not None:
        channel.busy_poll.worth_it = True
    outcomes = []
    with pytest.MonkeyPatch.context() as patch:
        if path == "pure":
            patch.setattr(byte_streams, "exchange", None)
        for step in script:
            server.show(step.before)
            thread = threading.Thread(target=server.play, args=[step])
            thread.start()
            asked = request(
                bytes(step.asked), read_timeout=SHORT if step.plot == "is silent" else PATIENCE
            )
            pending = channel.start(asked)
            if not isinstance(pending, Failure):
                assert isinstance(pending, NativeConnection) == (path == "native")
                pending = pending.wait(PATIENCE)
            outcomes.append(told(pending))
            server.bell.send(b"o")
            thread.join(PATIENCE)
            assert not thread.is_alive()
            assert asked.pending is None
            assert not channel.active
        kept = len(channel.idle.connections)
        channel.close()
    assert not busy_poll.waiting
    assert all(sock.fileno() == -1 for sock in server.dialed)
    server.close()
    return outcomes, [heard.comparable for heard in server.heard], kept


@pytest.fixture(autouse=True, scope="module")
def handled_signal():
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    yield
    signal.signal(signal.SIGUSR1, before)


@hypothesis.settings(max_examples=50)
@hypothesis.given(
    script=st.lists(steps, min_size=1, max_size=4),
    tcp=st.booleans(),
    looks=st.booleans(),
    moment=st.sampled_from([0, 20]),
)
def test_both_paths_have_the_same_conversations(script, tcp, looks, moment):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Request, "moment", moment)
        native = converse(script, tcp=tcp, path="native", looks=looks)
    assert native == converse(script, tcp=tcp, path="pure", looks=looks)


class Stopped(BaseException):
    pass


class SoftTimeLimitError(TimeoutError):
    pass


class Interrupting:
    """A handler of signals that raises once a call has begun; the call may be over by then."""

    def __init__(self, kind):
        self.kind = kind
        self.armed = False

    def __call__(self, number, frame):
        if self.armed:
            self.armed = False
            raise self.kind


@pytest.mark.parametrize("path", ["native", "pure"])
@hypothesis.settings(max_examples=25)
@hypothesis.given(
    steps=st.lists(steps, min_size=1, max_size=4),
    tcp=st.booleans(),
    kind=st.sampled_from([Stopped, SoftTimeLimitError]),
)
def test_a_handler_of_signals_that_raises_leaves_nothing_behind(path, steps, tcp, kind):
    """Where it raises depends on the moment; what holds afterwards does not."""
    server, handler = Server(tcp, threading.get_ident()), Interrupting(kind)
    channel = channel_on(
        server,
        attended=True,
        max_body=MAX_BODY,
        interrupts=lambda error: isinstance(error, SoftTimeLimitError),
    )
    before = signal.signal(signal.SIGUSR1, handler)
    with pytest.MonkeyPatch.context() as patch:
        if path == "pure":
            patch.setattr(byte_streams, "exchange", None)
        try:
            for step in steps:
                interrupt(channel, server, attrs.evolve(step, plot=INTERRUPTED), handler)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert not channel.idle.connections
        assert not channel.active
        assert not busy_poll.waiting
        assert all(sock.fileno() == -1 for sock in server.dialed)
    channel.close()
    server.close()
    for step, heard in zip(steps, server.heard, strict=True):
        said, partial, error = heard.all
        assert (partial, error) == (False, None)
        kinds = [kind for kind, *_ in said]
        # The server has the whole request, so it is told. Python may be interrupted just before it
        # notes that the last byte has left: then the end of the connection tells the same.
        one_step = path == "native" and step.asked <= SENT_AT_ONCE
        assert kinds == [frames.HELLO, frames.REQUEST, frames.CANCEL] or (
            not one_step and kinds == [frames.HELLO, frames.REQUEST]
        )


def interrupt(channel, server, step, handler):
    """A call whose request has arrived whole when its thread is interrupted."""
    thread = threading.Thread(target=server.play, args=[step])
    thread.start()
    asked = request(bytes(step.asked), read_timeout=PATIENCE)
    handler.armed = True
    with pytest.raises(handler.kind):
        channel.start(asked).wait(PATIENCE)
    if asked.pending is not None:
        asked.pending.cancel()  # as the driver does
    assert asked.pending is None
    server.bell.send(b"o")
    thread.join(PATIENCE)
    assert not thread.is_alive()
