"""What every transport must do between a client and a server, whatever carries its bytes.

The suite plays the server's endpoint and the callers. It does not look at the bytes. The network's
own faults (a cable that is cut, a slow reader) are for the tests of the transport itself.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from bee_core.terms.causes import local
from bee_core.terms.failures import Failure, Outcome, Success
from bee_core.terms.node import Node

from .transport_requests import (
    SHORT,
    TransportRequests,
    a_request,
    body_of,
    failed,
    settings,
    started,
)
from .transport_rig import BOUND, TransportRig, open_descriptors, settles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bee_core.contracts.channels import AsyncChannel, Channel
    from bee_core.contracts.transport import Transport
    from bee_core.terms.request import Request

T = TypeVar("T")


class TransportContract(TransportRequests):
    """Derive a class of tests from it, and say how the transport is made."""

    # Refusals, and nodes that are not there.

    def test_nobody_there_is_a_failure_that_did_not_run(self, transport: Transport) -> None:
        """It never reached a server, so trying again costs nobody anything."""
        with TransportRig(transport, self.make_url()) as rig:
            url = rig.listener.url
        channel = transport.channel(Node("n", url), settings())
        failure = failed(self.ask(channel), "unavailable", "no")
        assert not failure.reached
        assert isinstance(channel.ping(BOUND), Failure)
        channel.close()

    @pytest.mark.parametrize("kind", ["unauthenticated", "protocol_error", "overloaded"])
    def test_a_refused_client_hears_why(
        self, channel: Channel, rig: TransportRig, kind: str
    ) -> None:
        """Nothing of what it sent ran, oneway requests included."""
        rig.endpoint.refusal = local(kind, "the reason")
        for oneway in (False, True):
            failure = failed(self.ask(channel, a_request(oneway=oneway)), kind, "no")
            assert "the reason" in failure.message
        assert not rig.endpoint.begun
        rig.endpoint.refusal = None
        assert body_of(self.ask(channel)) == b"[1,2]"

    def test_one_connection_too_many_is_refused_as_overload(self, transport: Transport) -> None:
        """Only for transports with connections: others may carry both requests on one."""
        with TransportRig(transport, self.make_url(), max_connections=1) as rig:
            channel = transport.channel(Node("n", rig.listener.url), settings())
            first = started(channel, a_request("hold"))
            held = rig.held()
            outcome = self.ask(channel)
            assert isinstance(outcome, Success) or outcome.kind == "overloaded", outcome
            rig.answer(held)
            assert body_of(first.wait()) == b"late"
            channel.close()

    def test_an_address_is_listened_on_once(self, transport: Transport, rig: TransportRig) -> None:
        """The error names the url."""
        with (
            pytest.raises(OSError, match=rig.listener.url.partition("://")[0]),
            TransportRig(transport, rig.listener.url),
        ):
            pass

    # A server that leaves.

    def test_a_draining_server_ends_what_it_accepted(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """What comes later did not run."""
        pending = started(channel, a_request("hold"))
        held = rig.held()
        rig.endpoint.draining = True
        rig.run(rig.listener.drain())
        begun = len(rig.endpoint.begun)
        later = self.ask(channel)
        assert isinstance(later, Failure)
        assert (later.executed, later.blame) == ("no", "none"), later
        assert len(rig.endpoint.begun) == begun
        rig.answer(held)
        assert body_of(pending.wait()) == b"late"

    def test_a_server_that_vanishes_leaves_its_requests_in_doubt(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """At once, and not when the time is over."""
        pending = started(channel, a_request("hold"))
        rig.held()
        rig.run(rig.listener.close())
        failed(pending.wait(), "unavailable", "maybe")
        rig.wait(lambda: rig.held().cancelled, "what runs for nobody is cancelled")
        failed(self.ask(channel), "unavailable", "no")

    def test_who_stops_accepting_serves_those_that_are_there(
        self, channel: Channel, transport: Transport, rig: TransportRig
    ) -> None:
        """New ones do not get in."""
        assert body_of(self.ask(channel)) == b"[1,2]"
        rig.do(rig.listener.stop_accepting)
        assert body_of(self.ask(channel)) == b"[1,2]"
        fresh = transport.channel(Node("n", rig.listener.url), settings())
        assert isinstance(self.ask(fresh, a_request(timeout=SHORT)), Failure)
        fresh.close()

    def test_a_client_that_goes_is_noticed(self, channel: Channel, rig: TransportRig) -> None:
        """What runs for it is cancelled."""
        pending = started(channel, a_request("hold"))
        rig.held()
        channel.close()
        failed(pending.wait(), "cancelled", "maybe")
        rig.wait(lambda: rig.held().cancelled, "what runs for nobody is cancelled")

    # Channels.

    def test_a_ping_tells_the_health(self, channel: Channel, rig: TransportRig) -> None:
        """Of the endpoint, as it is now."""
        assert channel.ping(BOUND) == "serving"
        rig.endpoint.draining = True
        assert channel.ping(BOUND) == "draining"

    def test_a_node_is_asked_on_a_connection_that_is_open(
        self, channel: Channel, rig: TransportRig
    ) -> None:
        """Where the channel can do it: there it answers, although nobody new gets in."""
        ask: Any = getattr(channel, "ping_open", None)
        if ask is None:
            pytest.skip("it has no ping_open")
        assert ask(BOUND) is None
        self.ask(channel)
        rig.do(rig.listener.stop_accepting)
        assert ask(BOUND) == "serving"
        rig.endpoint.draining = True
        assert ask(BOUND) == "draining"
        assert body_of(self.ask(channel)) == b"[1,2]", "and the connection goes on"

    def test_a_closed_channel_takes_nothing(self, channel: Channel, rig: TransportRig) -> None:
        """Closing twice is like once."""
        self.ask(channel)
        channel.close()
        channel.close()
        failed(self.ask(channel), "cancelled", "no")
        assert len(rig.endpoint.begun) == 1

    def test_nothing_stays_open(self, transport: Transport, rig: TransportRig) -> None:
        """After calls that ended in every way."""
        before = open_descriptors()
        channel = transport.channel(Node("n", rig.listener.url), settings())
        kept = started(channel, a_request("hold"))
        given_up = started(channel, a_request("hold"))
        late = started(channel, a_request("hold", read_timeout=SHORT))
        rig.held(2)
        given_up.cancel()
        failed(late.wait(), "deadline_exceeded", "maybe")
        assert isinstance(self.ask(channel, a_request("fail")), Failure)
        assert isinstance(self.ask(channel, a_request("log", oneway=True)), Success)
        assert channel.ping(BOUND) == "serving"
        channel.retire()
        rig.answer(rig.endpoint.held[0])
        assert body_of(kept.wait()) == b"late", "a retired channel ends what is on it"
        assert settles(lambda: open_descriptors() <= before), "the node left, its sockets stay"
        channel.close()

    def test_a_forked_child_lets_go_of_the_sockets(
        self, transport: Transport, rig: TransportRig
    ) -> None:
        """The channel is of use there afterwards, with sockets of its own."""
        before = open_descriptors()
        channel = transport.channel(Node("n", rig.listener.url), settings())
        self.ask(channel)
        channel.discard_after_fork()
        assert settles(lambda: open_descriptors() <= before)
        assert body_of(self.ask(channel)) == b"[1,2]"
        channel.close()

    # The asyncio channel.

    def on_loop(
        self, transport: Transport, rig: TransportRig, test: Callable[[AsyncChannel], Awaitable[T]]
    ) -> T:
        """Run a test with an asyncio channel, and see that it leaves nothing behind."""

        async def run() -> T:
            before = open_descriptors()
            channel = transport.async_channel(Node("n", rig.listener.url), settings())
            try:
                return await asyncio.wait_for(test(channel), BOUND)
            finally:
                await channel.close()
                assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()
                assert await asyncio.to_thread(settles, lambda: open_descriptors() <= before)

        return asyncio.run(run())

    def test_asyncio_calls_share_a_channel(self, transport: Transport, rig: TransportRig) -> None:
        """Each gets its own answer, in whatever order they come."""

        async def test(channel: AsyncChannel) -> None:
            bodies = [b"%d" % number for number in range(50)]
            held = channel.start(a_request("hold"))
            pendings = [channel.start(a_request(body=body)) for body in bodies]
            outcomes = [await pending.reply for pending in pendings]
            assert [body_of(outcome) for outcome in outcomes] == bodies
            described = await channel.start(a_request("described")).reply
            assert isinstance(described, Success)
            assert described.metadata == {"text": "é", "raw": b"\x00\xff"}
            failure = await channel.start(a_request("fail")).reply
            assert failed(failure, "remote_error", "yes").metadata == {"why": b"\xff"}
            assert isinstance(await channel.start(a_request("log", oneway=True)).reply, Success)
            rig.answer(await asyncio.to_thread(rig.held))
            assert body_of(await held.reply) == b"late"
            assert await channel.ping(BOUND) == "serving"
            ask: Any = getattr(channel, "ping_open", None)
            assert ask is None or await ask(BOUND) == "serving"

        self.on_loop(transport, rig, test)

    def test_asyncio_calls_end_in_time(self, transport: Transport, rig: TransportRig) -> None:
        """By the read_timeout, by the deadline, or given up; the server hears of each."""

        async def test(channel: AsyncChannel) -> None:
            began = time.monotonic()
            late = channel.start(a_request("hold", read_timeout=SHORT))
            impatient = channel.start(a_request("hold", timeout=SHORT))
            given_up = channel.start(a_request("hold"))
            await asyncio.to_thread(rig.held, 2)
            given_up.cancel()
            given_up.cancel()
            assert failed(await late.reply, "deadline_exceeded", "maybe").blame == "node"
            assert failed(await impatient.reply, "deadline_exceeded", "maybe").blame != "node"
            assert time.monotonic() - began < BOUND / 2
            assert given_up.reply.cancelled()
            all_cancelled = (held.cancelled for held in rig.endpoint.held)
            rig_wait: Any = rig.wait
            await asyncio.to_thread(rig_wait, lambda: all(all_cancelled), "all are cancelled")
            assert body_of(await channel.start(a_request()).reply) == b"[1,2]"

        self.on_loop(transport, rig, test)

    def test_asyncio_calls_hear_of_refusals_and_ends(
        self, transport: Transport, rig: TransportRig
    ) -> None:
        """With what is known about each: not run, or in doubt."""

        async def ask(channel: AsyncChannel, request: Request | None = None) -> Outcome:
            return await channel.start(request or a_request()).reply

        async def test(channel: AsyncChannel) -> None:
            rig.endpoint.refusal = local("unauthenticated", "the reason")
            failed(await ask(channel), "unauthenticated", "no")
            failed(await ask(channel, a_request(oneway=True)), "unauthenticated", "no")
            rig.endpoint.refusal = None
            held = channel.start(a_request("hold"))
            await asyncio.to_thread(rig.held)
            await asyncio.to_thread(lambda: rig.run(rig.listener.drain()))
            late = await ask(channel)
            assert isinstance(late, Failure)
            assert late.executed == "no"
            await asyncio.to_thread(lambda: rig.run(rig.listener.close()))
            failed(await held.reply, "unavailable", "maybe")
            failed(await ask(channel), "unavailable", "no")

        self.on_loop(transport, rig, test)

    def test_closing_an_asyncio_channel_ends_its_calls(
        self, transport: Transport, rig: TransportRig
    ) -> None:
        """What was sent may have run; nothing begins afterwards."""

        async def test(channel: AsyncChannel) -> None:
            held = channel.start(a_request("hold"))
            await asyncio.to_thread(rig.held)
            channel.retire()
            await channel.close()
            await channel.close()
            failed(await held.reply, "cancelled", "maybe")
            failed(await channel.start(a_request()).reply, "cancelled", "no")

        self.on_loop(transport, rig, test)
