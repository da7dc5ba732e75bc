"""A part of the contract suite for transports: requests and replies of blocking channels."""

from __future__ import annotations

import time
from abc import abstractmethod
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from bee_core.contracts.transport import ChannelSettings
from bee_core.terms.failures import Failure, Load, Outcome, Success
from bee_core.terms.node import Node
from bee_core.terms.request import MIXED, POSITIONAL, Request, RequestHead

from .transport_rig import BOUND, MAX_BODY, SERVICE, TransportRig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bee_core.contracts.channels import Channel, Pending
    from bee_core.contracts.transport import Transport

SHORT = 0.2
"""Seconds of a timeout that is to be over; the suite waits for it."""


def a_request(
    method: str = "echo",
    body: bytes = b"[1,2]",
    *,
    timeout: float = BOUND,
    read_timeout: float = BOUND,
    oneway: bool = False,
    **head: Any,
) -> Request:
    """A request with wide bounds."""
    return Request(
        RequestHead(SERVICE, method, oneway=oneway, **head),
        POSITIONAL,
        body,
        False,
        time.monotonic() + timeout,
        BOUND,
        BOUND,
        read_timeout,
    )


def settings(**kwargs: Any) -> ChannelSettings:
    """The settings of a channel."""
    given: dict[str, Any] = {
        "service": SERVICE,
        "codec": "json",
        "compressor": None,
        "max_body": MAX_BODY,
        "clock": time.monotonic,
    }
    return ChannelSettings(**given | kwargs)


def started(channel: Channel, request: Request) -> Pending:
    """A request that has begun."""
    pending = channel.start(request)
    assert not isinstance(pending, Failure), pending
    noted = request.pending is pending
    assert noted, "start() sets request.pending before it returns"
    return pending


def failed(outcome: Outcome | object, kind: str, executed: str) -> Failure:
    """A failure of this kind."""
    assert isinstance(outcome, Failure), outcome
    assert (outcome.kind, outcome.executed) == (kind, executed), outcome
    return outcome


def body_of(outcome: Outcome | None) -> bytes:
    """The body of a success."""
    assert isinstance(outcome, Success), outcome
    return outcome.body


class TransportRequests:
    """Requests and waits; :class:`.transport_contract.TransportContract` has the rest."""

    @abstractmethod
    def make_transport(self) -> Transport:
        """A transport that reaches what it listens on: one object for both sides."""

    @abstractmethod
    def make_url(self) -> str:
        """An address to listen on, a free one at each call; port 0 will do."""

    # How the suite gets at it.

    @pytest.fixture
    def transport(self) -> Transport:
        """The transport under test."""
        return self.make_transport()

    @pytest.fixture
    def rig(self, transport: Transport) -> Iterator[TransportRig]:
        """A server."""
        with TransportRig(transport, self.make_url()) as rig:
            yield rig

    @pytest.fixture
    def channel(self, transport: Transport, rig: TransportRig) -> Iterator[Channel]:
        """A blocking channel to the server."""
        channel = transport.channel(Node("n", rig.listener.url), settings())
        yield channel
        channel.close()

    def ask(self, channel: Channel, request: Request | None = None) -> Outcome:
        """One request from its beginning to its end."""
        request = request or a_request()
        pending = channel.start(request)
        if isinstance(pending, Failure):
            assert request.pending is None, "a request that did not begin has nothing pending"
            return pending
        noted = request.pending is pending
        assert noted, "start() sets request.pending before it returns"
        outcome = pending.wait()
        assert outcome is not None, "wait() without seconds ends with an outcome"
        assert request.pending is None, "what has an outcome is no longer pending"
        return outcome

    # Requests and replies.

    @pytest.mark.parametrize("size", [0, 1, 70_000, MAX_BODY])
    def test_a_body_comes_back_as_it_was_sent(self, channel: Channel, size: int) -> None:
        """Whatever its size, and again on the same channel."""
        body = bytes(index % 251 for index in range(size))
        for _ in range(2):
            assert body_of(self.ask(channel, a_request(body=body))) == body

    def test_what_a_request_says_reaches_the_endpoint(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """Names, metadata of text and bytes, the key, the form and the time left."""
        request = a_request(
            timeout=5.0, metadata={"t": "é", "raw": b"\xff\x00"}, baggage={"b": "", "c": b""}
        )
        request.form, request.dedupe_key, request.compressed = MIXED, b"key", False
        self.ask(channel, request)
        (call,) = rig.endpoint.begun
        assert (call.method, call.form, call.body) == ("echo", MIXED, b"[1,2]")
        assert call.metadata == {"t": "é", "raw": b"\xff\x00", "b": "", "c": b""}
        assert (call.baggage, call.dedupe_key) == ({"b": "", "c": b""}, b"key")
        assert call.granted is not None
        assert 0 < call.granted <= 5.0
        assert call.caller.codec == "json"
        assert not call.oneway

    def test_a_reply_carries_metadata_and_the_epoch(self, channel: Channel) -> None:
        """As the handler wrote it; the epoch may be unknown to the transport."""
        outcome = self.ask(channel, a_request("described"))
        assert isinstance(outcome, Success)
        assert outcome.metadata == {"text": "é", "raw": b"\x00\xff"}
        assert outcome.epoch in {b"epoch", None}
        plain = self.ask(channel)
        assert isinstance(plain, Success)
        assert not plain.metadata

    def test_an_error_comes_as_the_server_said_it(self, channel: Channel) -> None:
        """With its metadata; the channel is of use afterwards."""
        failure = failed(self.ask(channel, a_request("fail")), "remote_error", "yes")
        assert (failure.message, failure.error_type) == ("no", "Oops")
        assert failure.metadata == {"why": b"\xff"}
        assert body_of(self.ask(channel)) == b"[1,2]"

    def test_the_load_comes_where_it_is_wanted(
        self, transport: Transport, rig: TransportRig
    ) -> None:
        """And nowhere else. A transport that has no place for it gives None."""
        channel = transport.channel(Node("n", rig.listener.url), settings(load_wanted=True))
        try:
            outcomes = [self.ask(channel), self.ask(channel, a_request("fail"))]
        finally:
            channel.close()
        assert {outcome.load for outcome in outcomes} in ({Load(7, 0.03)}, {None})

    def test_threads_share_a_channel(self, channel: Channel) -> None:
        """Each gets the reply to its own request."""
        wrong: list[object] = []

        def call(number: int) -> None:
            for turn in range(10):
                body = b"%d-%d" % (number, turn)
                outcome = self.ask(channel, a_request(body=body))
                if not isinstance(outcome, Success) or outcome.body != body:
                    wrong.append((body, outcome))

        threads = [Thread(target=call, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND)
        assert not wrong

    # Waiting.

    def test_wait_comes_back_after_the_seconds_and_may_go_on(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """None is no outcome: the request goes on, and its bound counts from its beginning."""
        request = a_request("hold")
        pending = started(channel, request)
        held = rig.held()
        began = time.monotonic()
        assert pending.wait(0) is None
        assert pending.wait(SHORT) is None
        assert SHORT <= time.monotonic() - began < BOUND / 2
        assert request.pending is pending
        assert pending.fileno() >= 0
        rig.answer(held)
        assert body_of(pending.wait(BOUND)) == b"late"
        assert request.pending is None

    def test_no_wait_is_longer_than_the_read_timeout(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """However often it is asked; then the server is told."""
        pending = started(channel, a_request("hold", read_timeout=SHORT))
        outcome = None
        while outcome is None:
            outcome = pending.wait(SHORT / 3)
        failure = failed(outcome, "deadline_exceeded", "maybe")
        assert failure.blame == "node"
        rig.wait(lambda: rig.held().cancelled, "the server hears that nobody waits")
        assert body_of(self.ask(channel)) == b"[1,2]"

    def test_the_deadline_bounds_the_wait_and_blames_nobody(self, channel: Channel) -> None:
        """A caller without patience says nothing of the node."""
        failure = failed(
            self.ask(channel, a_request("hold", timeout=SHORT)), "deadline_exceeded", "maybe"
        )
        assert failure.blame != "node"

    def test_a_request_without_time_left_is_not_sent(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """It did not run, or the server refuses it."""
        outcome = self.ask(channel, a_request(timeout=-1.0))
        assert isinstance(outcome, Failure)
        assert outcome.kind == "deadline_exceeded"

    def test_a_cancelled_request_is_given_up_at_the_server(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """Twice is like once, and others are not touched."""
        request = a_request("hold")
        pending = started(channel, request)
        other = started(channel, a_request("hold"))
        rig.held(1)
        pending.cancel()
        assert request.pending is None
        first = rig.endpoint.held[0]
        rig.wait(lambda: first.cancelled, "the server hears of the cancel")
        second = rig.endpoint.held[1]
        assert not second.cancelled
        rig.answer(second)
        assert body_of(other.wait()) == b"late"
        assert body_of(self.ask(channel)) == b"[1,2]"

    def test_a_oneway_request_ends_when_it_is_sent(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """It arrives, and nothing answers."""
        began = time.monotonic()
        assert isinstance(self.ask(channel, a_request("hold", oneway=True)), Success)
        assert time.monotonic() - began < BOUND / 2
        assert rig.held().call.oneway
        assert body_of(self.ask(channel)) == b"[1,2]"

    def test_a_body_over_the_servers_bound_is_refused(self, channel: Channel) -> None:
        """It did not run, and the channel is of use afterwards."""
        self.ask(channel)
        outcome = self.ask(channel, a_request(body=bytes(MAX_BODY + 1)))
        failed(outcome, "message_too_large", "no")
        assert body_of(self.ask(channel)) == b"[1,2]"

    def test_metadata_that_cannot_be_sent_is_a_bad_argument(self, channel: Channel) -> None:
        """It did not run. A transport with room for it sends it."""
        outcome = self.ask(channel, a_request(metadata={"large": "x" * 1_000_000}))
        if isinstance(outcome, Failure):
            failed(outcome, "invalid_argument", "no")
        assert body_of(self.ask(channel)) == b"[1,2]"
