"""The two ends of a connection as state machines without I/O.

Which frames are legal when::

    client may send      state at the server      server may send
    ───────────────      ───────────────────      ───────────────
    hello                HELLO (nothing yet)      goaway (refused)
    request cancel ping  OPEN                     hello-ack (first), response error pong goaway
    cancel ping          GOING (goaway sent)      response error pong goaway
    (ignored)            REFUSED                  -

A server in GOING or REFUSED drops requests: its goaway has told the client that they did not run.
Ids grow by at least one with each request. Anything else is an error of the peer: the state machine
records it in ``error`` and ignores the rest of the input. It never raises for bytes that came in.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Literal

from ..errors import ProtocolError
from . import first_frame, frames, messages
from .deduplication import note_sent
from .fields import DEDUPE_KEY, field
from .frames import (
    COMPRESSED,
    HEADER_SIZE,
    MAX_ID,
    REQUEST,
    RESPONSE,
    VERSION,
    Frame,
    FrameDecoder,
    encode_head,
    pack_header,
)
from .requests import (
    KEY,
    KEY_FIELD_SIZE,
    KEY_PACKERS,
    KEY_SIZE,
    MAX_MILLISECONDS,
    PACKERS,
    TIME,
    TIME_LEFT_SIZE,
    new_key_packer,
    new_packer,
    time_left_field,
    whole_milliseconds,
)

if TYPE_CHECKING:
    from ..errors import CallError
    from ..terms.request import Request
    from .messages import Goaway, Hello, HelloAck

_NO_LIMIT = 1 << 62
_LENGTH = first_frame.LENGTH
_HEADER_REST = HEADER_SIZE - _LENGTH
LARGE = 64 * 1024
"""Bytes from which a body is handed over apart, not copied behind its header; tests read it."""


class ClientProtocol:
    """The client's end. Not thread-safe.

    Args:
        hello: The encoded hello frame; it goes out in front of the first frame.
        max_body: Bytes that a reply's body may have.

    Attributes:
        ack: What the server said of itself, once it did.
        epoch: The epoch in it, or None.
        peer_limit: Bytes that the body of a request may have there. A longer one would cost the
            connection and all that is on it.
        last_id: The id of the last request or ping.
        usable: Whether a new request may be sent.
        goaway: The server's goaway, once it came: no new requests.
        error: Why the connection is unusable.
        sole_response: See :meth:`bee_core.wire.frames.FrameDecoder.sole_response`. Once ``ack`` is
            there, it is a shorter way than :meth:`receive`.
        sole_answer: Likewise, for a response with fields.
    """

    __slots__ = (
        "_decoder",
        "_hello",
        "_start",
        "ack",
        "epoch",
        "error",
        "goaway",
        "last_id",
        "peer_limit",
        "sole_answer",
        "sole_response",
        "usable",
    )

    def __init__(self, hello: bytes, max_body: int) -> None:
        self._hello = hello
        self._start = b""
        self._decoder = FrameDecoder(max_body)
        self.sole_answer = self._decoder.sole_answer
        self.sole_response = self._decoder.sole_response
        self.last_id = 0
        self.usable = True
        self.ack: HelloAck | None = None
        self.epoch: bytes | None = None
        self.peer_limit = _NO_LIMIT
        self.goaway: Goaway | None = None
        self.error: CallError | None = None

    def request(self, request: Request, fields: bytes, now: float) -> tuple[bytes, bytes | None]:
        """The bytes of a request with these fields of its head; its id is ``last_id`` from now on.

        Returns:
            What to send. For a large body the body itself comes second, so that it is not copied.
        """
        self.last_id = id_ = self.last_id + 1
        if id_ >= MAX_ID:
            self.usable = False
        body = request.body
        # Written out, because each call has one. The fields were bounded when they were made, so
        # there is room for what is added here.
        size, room = len(body), len(fields) + TIME_LEFT_SIZE
        flags = COMPRESSED if request.compressed else 0
        form, key = request.form, request.dedupe_key
        ms = (request.deadline - now) * 1000
        ms = ceil(ms) if 0 < ms < MAX_MILLISECONDS else whole_milliseconds(ms)
        if key is None:
            pack = PACKERS.get(room) or new_packer(room)
            total = _HEADER_REST + room + size
            head = pack(total, VERSION, REQUEST, flags, form, id_, room, fields, TIME, ms)
        elif len(key) == KEY_SIZE:
            room += KEY_FIELD_SIZE
            pack = KEY_PACKERS.get(room) or new_key_packer(room)
            total = _HEADER_REST + room + size
            head = pack(total, VERSION, REQUEST, flags, form, id_, room, fields, TIME, ms, KEY, key)
        else:
            fields += time_left_field(request.deadline - now) + field(DEDUPE_KEY, key)
            head = encode_head(REQUEST, id_, fields, size, flags, form)
        if self._hello:
            head, self._hello = self._hello + head, b""
        return (head + body, None) if size < LARGE else (head, body)

    def greet(self) -> bytes:
        """The bytes of the hello alone; none where it is out already."""
        head, self._hello = self._hello, b""
        return head

    def ping(self) -> bytes:
        """The bytes of a ping; its id is ``last_id`` from now on."""
        self.last_id += 1
        self.usable = self.usable and self.last_id < MAX_ID
        return self.greet() + frames.encode(frames.PING, self.last_id)

    def cancel(self, id_: int) -> bytes:
        """The bytes that give a request up."""
        return frames.encode(frames.CANCEL, id_)

    def receive(self, data: bytes) -> list[Frame]:
        """Take a chunk; return the responses, errors and pongs in it.

        Sets ``ack``, ``goaway`` and ``error`` on the way.
        """
        if self.error is not None:
            return []
        decoder = self._decoder
        if len(self._start) < _LENGTH:
            # The first frame is small, so what it is not is known from its length.
            self._start = start = (self._start + data[:_LENGTH])[:_LENGTH]
            self.error = first_frame.judge(start)
            if self.error is not None:
                self.usable = False
                return []
        answers = decoder.feed(data)
        if self.ack is None:
            answers = self._sort_out(answers)
        else:
            for frame in answers:
                if frame.kind != RESPONSE:
                    answers = self._sort_out(answers)
                    break
        if decoder.error is not None and self.error is None:
            self.error = decoder.error
            self.usable = False
        return answers

    def _sort_out(self, received: list[Frame]) -> list[Frame]:
        answers = []
        for frame in received:
            kind = frame.kind
            try:
                if kind in (RESPONSE, frames.ERROR, frames.PONG) and self.ack is not None:
                    answers.append(frame)
                elif kind == frames.GOAWAY:
                    self.goaway = messages.Goaway.parse(frame.fields)
                elif kind == frames.HELLO_ACK and self.ack is None and self.goaway is None:
                    self.ack = ack = messages.HelloAck.parse(frame.fields)
                    self.epoch = ack.epoch or None
                    self.peer_limit = _NO_LIMIT if ack.max_body is None else ack.max_body
                    if ack.deduplication is not None:
                        self.__class__ = RememberedProtocol  # the others pay nothing for it
                else:
                    name = frames.KIND_NAMES.get(kind, kind)
                    what = f"the server sent a frame of kind {name}, which is not legal here"
                    self.error = ProtocolError(what)
            except ProtocolError as error:
                self.error = error
            if self.error is not None:
                break
        self.usable = self.usable and self.error is None and self.goaway is None
        return answers


class RememberedProtocol(ClientProtocol):
    """The client's end of a connection to a server that remembers its answers."""

    __slots__ = ()

    def request(self, request: Request, fields: bytes, now: float) -> tuple[bytes, bytes | None]:
        """See :meth:`ClientProtocol.request`."""
        said = None if self.ack is None else self.ack.deduplication
        return super().request(request, fields + note_sent(request, said, self.epoch, now), now)


class ServerProtocol:
    """The server's end. Not thread-safe.

    Args:
        max_body: Bytes that a request's body may have.

    Attributes:
        state: ``hello``, ``open``, ``going``, ``refused``.
        hello: What the client said, once it did. The caller then calls ``accept`` or ``leave``,
            before it looks at later frames.
        last_id: The last request accepted.
        most_id: The highest id that a request may have now; 0 while no request is taken.
        error: Why the connection is unusable.
        decoder: Splits the input. ``decoder.error`` is what ended it, behind the frames that
            ``receive`` returned.
    """

    __slots__ = ("_start", "decoder", "error", "hello", "last_id", "most_id", "state")

    def __init__(self, max_body: int) -> None:
        self.decoder = FrameDecoder(max_body)
        self._start = b""
        self.state: Literal["hello", "open", "going", "refused"] = "hello"
        self.hello: Hello | None = None
        self.last_id = 0
        self.most_id = 0
        self.error: CallError | None = None

    def receive(self, data: bytes) -> list[Frame]:
        """Take a chunk; return the frames in it in order.

        The caller passes each to :meth:`check` before it acts upon it. For a request whose id is
        above ``last_id`` and not above ``most_id`` it may set ``last_id`` instead.
        """
        if self.state != "open":
            if self.error is not None or self.state == "refused":
                return []
            if len(self._start) < _LENGTH and not self._is_small(data):
                return []
        elif self.error is not None:
            return []
        return self.decoder.feed(data)

    def _is_small(self, data: bytes) -> bool:
        """Whether the first frame, as far as it is known, is no longer than a hello may be."""
        self._start = start = (self._start + data[:_LENGTH])[:_LENGTH]
        self.error = first_frame.judge(start)
        return self.error is None

    def check(self, frame: Frame) -> bool:
        """Whether the frame is to be acted upon.

        Otherwise drop it. ``error`` is set where it was an error.
        """
        if self.error is not None or self.state == "refused":
            return False
        if self.state == "hello":
            return self._check_hello(frame)
        kind, last_id = frame.kind, self.last_id
        if kind == REQUEST:
            if self.state == "going":
                return False
            if last_id < frame.id <= MAX_ID:
                self.last_id = frame.id
                return True
            what = f"the request id {frame.id} does not follow {last_id}"
        elif kind in (frames.CANCEL, frames.PING):
            return True
        else:
            name = frames.KIND_NAMES.get(kind, kind)
            what = f"the client sent a frame of kind {name}, which is not legal here"
        self.error, self.most_id = ProtocolError(what), 0
        return False

    def _check_hello(self, frame: Frame) -> bool:
        if frame.kind != frames.HELLO:
            name = frames.KIND_NAMES.get(frame.kind, frame.kind)
            self.error = ProtocolError(f"the first frame is of kind {name}, not a hello")
            return False
        try:
            self.hello = messages.Hello.parse(frame.fields)
        except ProtocolError as error:
            self.error = error
            return False
        return True

    def accept(self, ack: HelloAck) -> bytes:
        """Agree to the hello; the bytes to send."""
        self.state = "open"
        self.most_id = MAX_ID
        return frames.encode(frames.HELLO_ACK, 0, ack.encode())

    def leave(
        self, kind: str = "unavailable", message: str = "the server is shutting down"
    ) -> bytes:
        """The bytes of a goaway. No more requests are taken from now on.

        It is a drain, a refusal (nothing was accepted yet), or the end after an error. A peer that
        began with a request of HTTP gets an answer of HTTP instead, which its user can read.
        """
        self.most_id = 0
        if self.state == "hello" and self._start in first_frame.HTTP:
            self.state = "refused"
            return first_frame.http_answer(message)
        self.state = (
            "going"
            if kind == "unavailable" and self.error is None and self.state in {"open", "going"}
            else "refused"
        )
        said = messages.Goaway(self.last_id, kind, message)
        return frames.encode(frames.GOAWAY, 0, said.encode())


def response(id_: int, body: bytes, *, compressed: bool, fields: bytes = b"") -> bytes:
    """The bytes of a response. Written out, because each call has one."""
    flags = COMPRESSED if compressed else 0
    if fields:
        return frames.encode(RESPONSE, id_, fields, body, flags)
    return pack_header(_HEADER_REST + len(body), VERSION, RESPONSE, flags, 0, id_, 0) + body


def pong(id_: int, status: messages.Status) -> bytes:
    """The bytes of a pong."""
    return frames.encode(frames.PONG, id_, messages.pong_fields(status))
