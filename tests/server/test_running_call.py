"""Whatever raises in the life of a call, its place in flight and its permit come back."""

from __future__ import annotations

import asyncio
import time

import pytest

from bee_core.contracts.size_rule import SizeRule
from bee_core.interfaces import InboundCall, Peer
from bee_core.server.answers import Answers
from bee_core.server.handlers import BoundHandler
from bee_core.server.in_flight import InFlight
from bee_core.server.running_call import RunningCall
from bee_core.server.threads import HandlerThreads


class Broken(Exception):  # nothing that the server knows
    pass


class Codec:
    """Raises where it is told to."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken

    def decode_args(self, form, body):
        if self.broken == "decode":
            raise Broken
        return (), {}

    def encode_result(self, value):
        if self.broken == "encode":
            raise Broken
        return b"1"


class Limiter:
    def __init__(self) -> None:
        self.released = []

    def release(self, outcome, seconds) -> None:
        self.released.append(outcome)


class Call(InboundCall):
    __slots__ = ("answers",)

    def __init__(self) -> None:
        super().__init__("calc", "one", None, {}, {}, "peer", None, time.monotonic)
        self.form = 0
        self.body = b""
        self.compressed = False
        self.granted = None
        self.caller = Peer("peer", "json", None)
        self.answers = []

    def reply(self, body, compressed) -> None:
        self.answers.append(body)

    def fail(self, failure) -> None:
        self.answers.append(failure)


async def one() -> int:
    return 1


def run(kind, function, codec):
    """The call, the limiter and what is in flight, once the call's life is over."""

    async def main():
        limiter = Limiter()
        flight = InFlight(time.monotonic, limiter)
        threads = HandlerThreads("calc", 1)
        answers = Answers(
            {None: SizeRule(None, max_size=100, max_inflated=100)},
            threads,
            flight,
            send_tracebacks=False,
        )
        call = Call()
        running = RunningCall(answers, call, BoundHandler(function, kind, codec))
        assert flight.count == 1
        running.permitted_at = flight.clock()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        try:
            running.start()
        except Broken:
            call.answers.append("raised")
        await flight.wait_quiet(5)
        threads.close(1)
        flight.close()
        return call, limiter, flight

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "function"),
    [("async", one), ("nonblocking", lambda: 1), ("threaded", lambda: 1)],
)
def test_each_kind_of_handler_gives_one_answer_and_everything_back(kind, function):
    call, limiter, flight = run(kind, function, Codec())
    assert call.answers == [b"1"]
    assert len(limiter.released) == 1
    assert (flight.count, flight.watched) == (0, {})


@pytest.mark.parametrize(
    ("kind", "function"), [("async", one), ("nonblocking", lambda: 1), ("threaded", lambda: 1)]
)
def test_a_codec_that_cannot_encode_a_result_costs_no_place_and_no_permit(kind, function):
    _, limiter, flight = run(kind, function, Codec("encode"))
    assert len(limiter.released) == 1
    assert (flight.count, flight.watched) == (0, {})


def test_a_codec_that_cannot_decode_in_a_nonblocking_call_costs_no_place_and_no_permit():
    call, limiter, flight = run("nonblocking", lambda: 1, Codec("decode"))
    assert call.answers == ["raised"]
    assert len(limiter.released) == 1
    assert flight.count == 0
