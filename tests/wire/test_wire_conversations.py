"""The conversations in ``tests/vectors``, held twice.

With the state machines alone, for several chunkings, and over sockets with bee's server and its
asyncio client.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

import bee_core
from bee_core.errors import CallError, MessageTooLarge, ProtocolError
from bee_core.interfaces import ChannelSettings, Request, RequestHead
from bee_core.streams.client.outcomes import outcome_of
from bee_core.terms.failures import Failure
from bee_core.terms.node import Node
from bee_core.wire import frames, messages, protocol, requests
from bee_core.wire.messages import Hello, HelloAck
from bee_plugins.compressors.gzip_compressor import GzipCompressor, GzipOptions
from bee_plugins.transports.tcp import TcpTransport
from support.conversations import MAX_BODY, MAX_INFLATED, hold_all
from support.patience import PATIENCE
from support.wire_vectors import FORMS, assert_said, load, unhex, vectors

# ── the state machines ──

CHUNKINGS = {
    "whole": lambda raw: [raw],
    "byte by byte": lambda raw: [raw[at : at + 1] for at in range(len(raw))] or [b""],
    "in threes": lambda raw: _pieces(raw, 3),
}


def _pieces(raw, size):
    return [raw[at : at + size] for at in range(0, len(raw), size)] or [b""]


def decoded(raw):
    decoder = frames.FrameDecoder(1 << 24)
    found = decoder.feed(raw)
    assert decoder.error is None
    assert not decoder.partial
    return found


class ServerDriver:
    """What a server does with its state machine, in the fewest lines.

    Which answers the requests get is not its business.
    """

    def __init__(self):
        self.machine = protocol.ServerProtocol(MAX_BODY)
        self.acts = []
        self.sent = b""

    def receive(self, raw):
        machine = self.machine
        for frame in machine.receive(raw):
            if machine.check(frame):
                kind = frames.KIND_NAMES[frame.kind]
                self.acts.append([kind] if kind == "hello" else [kind, frame.id])
                if kind == "hello":
                    self._greet()
                elif kind == "ping":
                    self.sent += protocol.pong(
                        frame.id, "draining" if machine.state == "going" else "serving"
                    )
        error = machine.error or machine.decoder.error
        if error is not None and machine.state != "refused":
            self.sent += machine.leave(
                "message_too_large" if isinstance(error, MessageTooLarge) else "protocol_error",
                error.message,
            )

    def _greet(self):
        hello = self.machine.hello
        if (hello.service, hello.codec) == ("calc", "json") and hello.compressor in {None, "gzip"}:
            self.sent += self.machine.accept(HelloAck("calc", "1.2.0", b"epoch", MAX_BODY))
        else:
            self.sent += self.machine.leave("protocol_error", "no")

    def take_sent(self):
        sent, self.sent = self.sent, b""
        return decoded(sent)


@pytest.mark.parametrize("cut", CHUNKINGS)
@pytest.mark.parametrize("talk", vectors("server_conversations"))
def test_the_state_machine_of_the_server_acts_and_answers(talk, cut):
    driver = ServerDriver()
    for step in talk["steps"]:
        if "drain" in step:
            driver.sent += driver.machine.leave()
        else:
            for chunk in CHUNKINGS[cut](unhex(step["receive"])):
                driver.receive(chunk)
            assert driver.acts == step["acts"]
            driver.acts.clear()
        # Responses and errors are the handlers' word: they are looked at over the socket.
        assert_said(
            [said for said in step["send"] if said["kind"] not in {"response", "error"}],
            driver.take_sent(),
        )
        assert (driver.machine.state == "refused") == step.get("end", False)


class ClientDriver:
    """A client's state machine with the requests and pings that wait.

    Who is settled by what, as the specification has it.
    """

    def __init__(self, compressor):
        hello = frames.encode(frames.HELLO, 0, Hello("calc", "json", compressor).encode())
        self.machine = protocol.ClientProtocol(hello, MAX_BODY)
        self.waiting = {}
        self.settled = []
        self.calls = 0
        self.sent = b""

    def start(self, step):
        self.calls += 1
        body = unhex(step.get("request", {}).get("body", ""))
        if len(body) > self.machine.peer_limit:
            self.settle_call(self.calls, "message_too_large", "no")
            return
        if "ping" in step:
            self.sent += self.machine.ping()
        else:
            self.sent += self.machine.request(sum_of(body), FIELDS, 0.0)[0]
        self.waiting[self.machine.last_id] = self.calls

    def cancel(self, call):
        id_ = next(id_ for id_, number in self.waiting.items() if number == call)
        del self.waiting[id_]
        self.sent += self.machine.cancel(id_)

    def receive(self, raw, settings):  # the rules of the page, one by one
        machine = self.machine
        for frame in machine.receive(raw):
            call = self.waiting.pop(frame.id, None)
            if call is None:
                continue
            if frame.id in settings["pings"]:
                try:
                    self.settled.append({"call": call, "status": messages.parse_pong(frame.fields)})
                except ProtocolError:
                    self.settle_call(call, "protocol_error", "maybe")
            else:
                outcome = outcome_of(frame, settings["channel"])
                if isinstance(outcome, Failure):
                    self.settle_call(call, outcome.kind, outcome.executed)
                else:
                    self.settled.append({"call": call, "result": outcome.body.hex()})
        goaway = machine.goaway
        if goaway is not None:
            for id_ in [id_ for id_ in self.waiting if id_ > goaway.last_id]:
                self.settle_call(self.waiting.pop(id_), goaway.kind, "no")
            if not goaway.drain:
                self.end(goaway.kind)
        if machine.error is not None:
            self.end(machine.error.kind)

    def end(self, kind="unavailable"):
        for call in self.waiting.values():
            self.settle_call(call, kind, "maybe")
        self.waiting.clear()

    def settle_call(self, call, code, executed):
        self.settled.append({"call": call, "code": code, "executed": executed})


FIELDS = requests.request_fields("add")


def sum_of(body, timeout=50.0):
    return Request(
        RequestHead("calc", "add"),
        0,
        body,
        False,
        time.monotonic() + timeout,
        5.0,
        5.0,
        20.0,
    )


def channel_settings(compressor):
    gzip = GzipCompressor(GzipOptions())
    inflate = (lambda body, most=None: gzip.decompress(body, MAX_INFLATED)) if compressor else None
    return ChannelSettings(
        service="calc",
        codec="json",
        compressor=compressor,
        max_body=MAX_BODY,
        clock=time.monotonic,
        decompress=inflate,
    )


def in_order(settled):
    return sorted(settled, key=lambda one: one["call"])


def without_runs(settled):
    return [
        {**one, "result": unhex(one["result"]).hex()} if "result" in one else one for one in settled
    ]


@pytest.mark.parametrize("cut", CHUNKINGS)
@pytest.mark.parametrize("talk", vectors("client_conversations"))
def test_the_state_machine_of_the_client_settles_its_calls(talk, cut):
    driver = ClientDriver(talk["compressor"])
    settings = {"channel": channel_settings(talk["compressor"]), "pings": set()}
    ended = False
    for step in talk["steps"]:
        if "request" in step or "ping" in step:
            if "ping" in step:
                settings["pings"].add(driver.calls + 1)
            driver.start(step)
        elif "cancel" in step:
            driver.cancel(step["cancel"])
        elif "end" in step:
            driver.end()
            ended = True
        else:
            for chunk in CHUNKINGS[cut](unhex(step["receive"])):
                driver.receive(chunk, settings)
            if step["usable"] is not None:
                assert driver.machine.usable == step["usable"]
        assert in_order(driver.settled) == without_runs(step["settled"])
        driver.settled.clear()
        assert_said(step.get("send", []), decoded(driver.sent))
        driver.sent = b""
    assert ended == any("end" in step for step in talk["steps"])


# ── over sockets ──


class Service:
    """What the vectors' README says of the server under test."""

    async def add(self, a: int, b: int) -> int:
        return a + b

    async def hold(self) -> None:
        await asyncio.Event().wait()

    async def fail(self, message: str) -> None:
        raise ValueError(message)


def test_a_server_holds_every_conversation_over_a_socket():
    codec = {"name": "json", "options": {"max_size": MAX_BODY, "max_inflated": MAX_INFLATED}}
    settings = {
        "name": "calc",
        "version": "1.2.0",
        "address": "127.0.0.1:0",
        "macher": codec,
        "drain_timeout": PATIENCE,
        "max_conn_size": 1000,
    }
    server = bee_core.build_server({"bee": {"rpc": {"server": settings}}})
    server.add(Service())
    leave = threading.Event()
    ready = threading.Event()

    def serve():
        with server.in_thread():
            ready.set()
            leave.wait(PATIENCE)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        hold_all(server.address, load("server_conversations"), leave.set)
    finally:
        leave.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


async def _hold_with_client(talk):
    peers = asyncio.Queue()

    async def accept(reader, writer):
        peers.put_nowait((reader, writer))

    door = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"tcp://127.0.0.1:{door.sockets[0].getsockname()[1]}"
    channel = TcpTransport().async_channel(Node("a", url), channel_settings(talk["compressor"]))
    decoder = frames.FrameDecoder(1 << 24)
    pending = {}
    reader = writer = None
    try:
        for step in talk["steps"]:
            if "request" in step:
                call = len(pending) + 1
                pending[call] = channel.start(sum_of(unhex(step["request"]["body"])))
            elif "cancel" in step:
                pending[step["cancel"]].cancel()
            elif "end" in step:
                writer.close()
            else:
                writer.write(unhex(step["receive"]))
            if reader is None:
                reader, writer = await peers.get()
            found = []
            while len(found) < len(step.get("send", [])):
                data = await reader.read(1 << 16)
                assert data, "the client closed the connection"
                found += decoder.feed(data)
            assert_said(step.get("send", []), found)
            for settled in without_runs(step["settled"]):
                outcome = await pending[settled["call"]].reply
                if isinstance(outcome, Failure):
                    assert settled == {
                        "call": settled["call"],
                        "code": outcome.kind,
                        "executed": outcome.executed,
                    }
                else:
                    assert settled == {"call": settled["call"], "result": outcome.body.hex()}
    finally:
        if writer is not None:
            writer.close()
        await channel.close()
        door.close()
        await door.wait_closed()


@pytest.mark.parametrize(
    "talk",
    [
        talk
        for talk in vectors("client_conversations")
        if not any("ping" in step for step in talk.values[0]["steps"])
    ],
)
def test_an_asyncio_client_settles_its_calls_over_a_socket(talk):
    asyncio.run(asyncio.wait_for(_hold_with_client(talk), PATIENCE))


# ── peers of another version ──


@contextlib.contextmanager
def answering(raw):
    """A server that says these bytes to whoever comes, and then listens until the client goes."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = door.accept()
                    with peer:
                        peer.recv(1 << 16)
                        peer.sendall(raw)
                        while peer.recv(1 << 16):
                            pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{door.getsockname()[1]}"
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def of_version(number, raw):
    return raw[:4] + bytes([number]) + raw[5:]


def config(address):
    return {
        "bee": {
            "rpc": {
                "client": {
                    "calc": {"address": address, "timeout": 5, "retries": 0, "breaker": None}
                }
            }
        }
    }


async def _async_add(settings):
    async with bee_core.build_async_client(settings) as client:
        await client.service("calc").add(1, 2)


def _add(settings):
    with bee_core.build_client(settings) as client:
        client.service("calc").add(1, 2)


@pytest.mark.parametrize(
    "call", [_add, lambda settings: asyncio.run(_async_add(settings))], ids=["blocking", "asyncio"]
)
def test_a_server_that_answers_in_version_2_is_an_error_that_names_both_versions(call):
    with (
        answering(
            of_version(
                2, frames.encode(frames.HELLO_ACK, 0, HelloAck("calc", "1.2.0", b"e").encode())
            )
        ) as address,
        pytest.raises(
            ProtocolError, match="protocol version 2; this side speaks version 1"
        ) as caught,
    ):
        call(config(address))
    assert caught.value.executed == "maybe"


@pytest.mark.parametrize(
    "call", [_add, lambda settings: asyncio.run(_async_add(settings))], ids=["blocking", "asyncio"]
)
def test_a_server_of_version_2_that_refuses_in_version_1_is_believed(call):
    goaway = messages.Goaway(0, "protocol_error", "this side speaks version 2").encode()
    with (
        answering(frames.encode(frames.GOAWAY, 0, goaway)) as address,
        pytest.raises(CallError, match="this side speaks version 2") as caught,
    ):
        call(config(address))
    assert caught.value.executed == "no"


def test_every_form_has_a_conversation():
    forms = set()
    for talk in load("server_conversations"):
        for step in talk["steps"]:
            for frame in frames.FrameDecoder(1 << 20).feed(unhex(step.get("receive", ""))):
                forms |= {FORMS[frame.form]} if frame.kind == frames.REQUEST else set()
    assert forms == set(FORMS)


# ── a blocking client ──


def _hold_blocking(talk):
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(PATIENCE)
        url = f"tcp://127.0.0.1:{door.getsockname()[1]}"
        channel = TcpTransport().channel(Node("a", url), channel_settings(talk["compressor"]))
        first, *rest = talk["steps"]
        pending = channel.start(sum_of(unhex(first["request"]["body"])))
        peer, _ = door.accept()
        outcomes = []
        waiting = threading.Thread(target=lambda: outcomes.append(pending.wait()))
        with peer:
            peer.settimeout(PATIENCE)
            found, decoder = [], frames.FrameDecoder(1 << 24)
            while len(found) < len(first["send"]):
                found += decoder.feed(peer.recv(1 << 16))
            assert_said(first["send"], found)
            waiting.start()
            for step in rest:
                if "end" in step:
                    peer.shutdown(socket.SHUT_WR)
                else:
                    peer.sendall(unhex(step["receive"]))
                for settled in without_runs(step["settled"]):
                    waiting.join(PATIENCE)
                    (outcome,) = outcomes
                    if isinstance(outcome, Failure):
                        assert settled == {
                            "call": 1,
                            "code": outcome.kind,
                            "executed": outcome.executed,
                        }
                    else:
                        assert settled == {"call": 1, "result": outcome.body.hex()}
        channel.close()
        waiting.join(PATIENCE)


def of_one_call(talk):
    """A blocking connection has one call at a time, and its pings go elsewhere."""
    begun = [step for step in talk["steps"] if {"request", "ping", "cancel"} & step.keys()]
    return len(begun) == 1 and "request" in talk["steps"][0] and talk["steps"][0]["send"]


@pytest.mark.parametrize(
    "talk", [talk for talk in vectors("client_conversations") if of_one_call(talk.values[0])]
)
def test_a_blocking_client_settles_its_call_over_a_socket(talk):
    _hold_blocking(talk)


# ── a goaway that is no drain ──


@pytest.mark.parametrize(
    "call", [_add, lambda settings: asyncio.run(_async_add(settings))], ids=["blocking", "asyncio"]
)
def test_a_goaway_that_is_no_drain_gives_its_message_to_the_calls_that_it_accepted(call):
    goaway = messages.Goaway(1, "overloaded", "too much of it").encode()
    with (
        answering(
            frames.encode(frames.HELLO_ACK, 0, HelloAck("calc", "1.2.0", b"e").encode())
            + frames.encode(frames.GOAWAY, 0, goaway)
        ) as address,
        pytest.raises(CallError, match="too much of it") as caught,
    ):
        call(config(address))
    assert (caught.value.kind, caught.value.executed) == ("overloaded", "maybe")


# ── other protocols, and tokens ──


@pytest.mark.parametrize("cut", CHUNKINGS)
@pytest.mark.parametrize("vector", vectors("foreign"))
def test_bytes_of_another_protocol_are_recognised_at_once_whatever_bodies_may_have(vector, cut):
    chunks = CHUNKINGS[cut](unhex(vector["hex"]))
    if vector["side"] == "client":
        machine = protocol.ClientProtocol(b"", vector["max_body"])
        assert not [frame for chunk in chunks for frame in machine.receive(chunk)]
        assert (machine.error.kind, machine.usable) == (vector["error"], False)
        return
    server = protocol.ServerProtocol(vector["max_body"])
    assert not [frame for chunk in chunks for frame in server.receive(chunk)]
    assert server.error.kind == vector["error"]
    said = server.leave(server.error.kind, server.error.message)
    if vector["answer"] == "http":
        assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"a server of bee" in said.partition(b"\r\n\r\n")[2]
    else:
        assert_said([{"kind": "goaway", "last_id": 0, "code": vector["error"]}], decoded(said))


def test_a_server_judges_a_hello_in_the_order_of_the_page():
    settings = {"name": "calc", "address": "127.0.0.1:0", "tokens": ["secret"]}
    server = bee_core.build_server({"bee": {"rpc": {"server": settings}}})
    server.add(Service())
    with server.in_thread():
        talks = [
            {
                "name": vector["name"],
                "steps": [
                    {
                        "receive": vector["hex"],
                        "send": [
                            {"kind": "goaway", "last_id": 0, "code": vector["error"]}
                            if vector["error"]
                            else {"kind": "hello-ack"}
                        ],
                        "end": vector["error"] is not None,
                    }
                ],
            }
            for vector in load("hello_with_token")
        ]
        hold_all(server.address, talks, lambda: None)


def test_a_client_of_http_is_told_what_this_is():
    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc"}}}})
    server.add(Service())
    with server.in_thread(), pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(server.address.replace("tcp:", "http:"), timeout=PATIENCE)
    with caught.value as answer:
        assert answer.code == 400
        assert "a server of bee, an RPC framework" in answer.read().decode()
