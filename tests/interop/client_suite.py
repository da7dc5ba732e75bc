"""What a client of another language has to do with a bee server.

``test_java.py`` and ``test_node.py`` run it.
"""

from __future__ import annotations

import signal
import zlib

import pytest

from bee_core.wire import frames
from bee_core.wire.messages import HelloAck
from faults.rawpeer import RawServer
from faults.services import Calculator, max_size, serving
from support.patience import PATIENCE

LARGE = 3 << 20
GZIP = 16 + zlib.MAX_WBITS


def bomb(size):
    stream = zlib.compressobj(9, zlib.DEFLATED, GZIP)
    return stream.compress(bytes(size)) + stream.flush()


class ForeignClientSuite:
    """Subclasses have a fixture ``foreign``, a :class:`~interop.foreign.ForeignClient`."""

    @pytest.fixture
    def calc(self, foreign, server):
        service = foreign.open(server.address)
        yield service
        service.close()

    # Results.

    @pytest.mark.parametrize(
        "value",
        [
            0,
            -1,
            2**53 + 1,
            -(2**63),
            10**40,
            1.5,
            -2.5e-3,
            1e300,
            "",
            'a"b\\c\n\u0001',
            "Größe 心 🐝",
            "\ufeff",
            None,
            True,
            False,
            [],
            {},
            [[1, [2]], {"a": {"b": None}}],
        ],
        ids=repr,
    )
    def test_values_come_back_as_they_were_sent(self, calc, value):
        assert calc.call("echo", value) == value

    def test_arguments_by_position_by_name_and_both(self, calc):
        assert calc.call("add", 1, 2) == 3
        assert calc.call("add", by_name={"b": 2, "a": 1}) == 3
        assert calc.call("add", 1, named={"b": 2}) == 3

    def test_metadata_and_baggage_reach_the_handler(self, calc):
        assert calc.call(
            "said", metadata={"tenant": "größe", "both": "m"}, baggage={"both": "b", "empty": ""}
        ) == {"tenant": "größe", "both": "b", "empty": ""}

    def test_the_time_left_reaches_the_handler(self, calc):
        assert 3 < calc.call("time_left", timeout=5000) <= 5

    def test_many_calls_share_a_connection_and_are_answered_in_any_order(self, calc, calculator):
        held = [calc.start("hold_async", number) for number in range(20)]
        calculator.await_entered(20)
        assert [calc.call("add_here", number, 1) for number in range(5)] == [1, 2, 3, 4, 5]
        assert not any(answer.done() for answer in held)
        calculator.release.set()
        assert [answer.result(PATIENCE) for answer in held] == list(range(20))

    def test_a_ping_says_that_it_serves(self, calc):
        assert calc.ping() == "serving"

    # Errors.

    def test_a_handler_that_raises_is_a_remote_error_with_its_type(self, calc):
        error = calc.error_of("fail", "no such account")
        assert (error.code, error.executed, error.type) == ("remote_error", "yes", "KeyError")
        assert "no such account" in error.message

    def test_an_error_that_was_meant_has_its_code_its_details_and_its_time(self, calc):
        error = calc.error_of("meant", "OUT_OF_STOCK")
        assert (error.code, error.executed, error.type) == ("remote_error", "yes", "ServiceError")
        assert error.application_code == "OUT_OF_STOCK"
        assert error.details == {"sku": 2**53 + 1, "größe": [1.5, None]}
        assert error.retry_after_ms == 1500
        assert error.message == "as was asked"
        plain = calc.error_of("fail", "x")
        assert (plain.application_code, plain.details, plain.retry_after_ms) == ("", None, None)

    def test_a_method_that_is_not_there(self, calc, calculator):
        error = calc.error_of("ad", 1, 2)
        assert (error.code, error.executed) == ("method_not_found", "no")
        assert "add" in error.message
        assert calculator.runs == 0

    def test_an_argument_that_does_not_fit_is_named_with_its_path(self, calc, calculator):
        error = calc.error_of("add", 1, "two")
        assert (error.code, error.executed, error.path) == ("invalid_argument", "no", "$.b")
        assert calculator.runs == 0

    def test_a_result_that_does_not_fit_has_run(self, calc):
        error = calc.error_of("liar")
        assert (error.code, error.executed) == ("invalid_argument", "yes")

    def test_another_service_refuses(self, foreign, server, calculator):
        error = foreign.open(server.address, service="shop", retries=0).error_of("add", 1, 2)
        assert (error.code, error.executed) == ("protocol_error", "no")
        assert "this is the service 'calc'" in error.message
        assert calculator.runs == 0

    def test_a_server_that_is_full(self, foreign, calculator):
        with serving(calculator, max_in_flight=1) as server:
            calc = foreign.open(server.address, retries=0)
            held = calc.start("hold", 1)
            calculator.await_entered()
            error = calc.error_of("add", 1, 2)
            assert (error.code, error.executed) == ("overloaded", "no")
            calculator.release.set()
            assert held.result(PATIENCE) == 1

    def test_a_server_with_too_many_connections(self, foreign, calculator):
        with serving(calculator, max_conn_size=1) as server:
            first, second = foreign.open(server.address), foreign.open(server.address, retries=0)
            assert first.call("add", 1, 2) == 3
            error = second.error_of("add", 1, 2)
            assert (error.code, error.executed) == ("overloaded", "no")

    # Sizes.

    def test_large_bodies_are_compressed_both_ways(self, foreign, server):
        calc = foreign.open(server.address, gzip=2 << 20)
        assert calc.call("size", "a" * LARGE) == LARGE
        assert len(calc.call("letters", LARGE)) == LARGE

    def test_bodies_below_the_limit_can_be_compressed_too(self, foreign, server):
        assert foreign.open(server.address, gzip=0).call("echo", "Größe " * 1000) == "Größe " * 1000

    def test_without_gzip_a_large_body_is_refused_before_it_is_sent_and_a_large_result_after_it_ran(
        self, calc, calculator
    ):
        error = calc.error_of("size", "a" * LARGE)
        assert (error.code, error.executed) == ("message_too_large", "no")
        assert calculator.runs == 0
        error = calc.error_of("letters", LARGE)
        assert (error.code, error.executed) == ("message_too_large", "yes")
        assert calculator.runs == 1

    def test_what_the_server_would_not_take_is_not_sent_and_costs_no_connection(
        self, foreign, calculator
    ):
        with serving(calculator, macher=max_size("1k")) as server:
            calc = foreign.open(server.address, retries=0)
            assert calc.call("add", 1, 2) == 3, "the client has heard what the server takes"
            held = calc.start("hold", 7)
            calculator.await_entered()
            error = calc.error_of("size", "a" * 2000)
            assert (error.code, error.executed) == ("message_too_large", "no")
            calculator.release.set()
            assert held.result(PATIENCE) == 7

    # Time.

    def test_a_timeout_gives_the_call_up_and_the_server_hears_of_it(self, calc, calculator):
        error = calc.error_of("hold_async", 1, timeout=100)
        assert (error.code, error.executed) == ("deadline_exceeded", "maybe")
        calculator.await_cancelled()
        assert calc.call("add", 1, 2) == 3

    def test_a_call_that_is_given_up_is_cancelled_at_the_server(self, calc, calculator):
        held = calc.start("hold_async", 1, timeout=60_000)
        calculator.await_entered()
        held.abort()
        error = held.exception(PATIENCE)
        assert (error.code, error.executed) == ("cancelled", "maybe")
        calculator.await_cancelled()
        assert calc.call("add", 1, 2) == 3

    def test_closing_the_client_gives_up_what_is_under_way(self, foreign, server, calculator):
        calc = foreign.open(server.address)
        held = calc.start("hold_async", 1)
        calculator.await_entered()
        calc.close()
        error = held.exception(PATIENCE)
        assert (error.code, error.executed) == ("cancelled", "maybe")
        calculator.await_cancelled()

    # Servers that leave.

    def test_a_drain_answers_what_was_accepted_and_new_calls_go_elsewhere(
        self, foreign, calculator, server
    ):
        staying = server
        with serving(Calculator(), drain_timeout=PATIENCE) as warm:
            calc = foreign.open(warm.address, staying.address)
            assert calc.call("add", 1, 2) == 3
        # Every connection of the client has had a goaway now.
        assert [calc.call("add", number, 1) for number in range(3)] == [1, 2, 3]
        assert calculator.runs == 3

    def test_a_call_in_flight_survives_a_drain(self, foreign, processes):
        leaving = processes(drain_timeout=PATIENCE)
        calc = foreign.open(leaving.url, retries=0)
        held = calc.start("hold", 5)
        leaving.expect("holding 5")
        leaving.signal(signal.SIGTERM)
        # Until the goaway is there the server still answers; from then on nothing new gets in.
        while (error := calc.start("echo", 1).exception(PATIENCE)) is None:
            pass
        assert (error.code, error.executed) == ("unavailable", "no")
        leaving.release()
        assert held.result(PATIENCE) == 5
        assert leaving.process.wait(PATIENCE) == 0

    def test_a_server_that_is_killed_leaves_open_what_ran_and_then_nothing_runs(
        self, foreign, processes
    ):
        doomed = processes()
        calc = foreign.open(doomed.url, retries=1)
        held = calc.start("hold", 5)
        doomed.expect("holding 5")
        doomed.kill()
        error = held.exception(PATIENCE)
        assert (error.code, error.executed) == ("unavailable", "maybe")
        error = calc.error_of("echo", 1)
        assert (error.code, error.executed) == ("unavailable", "no")

    def test_only_an_idempotent_call_is_tried_again_when_it_may_have_run(
        self, foreign, server, calculator
    ):
        heard = []

        def hang_up(send, frame):
            heard.append(frame.id)
            broken.hang_up()

        with RawServer(hang_up) as broken:
            error = foreign.open(broken.url, server.address).error_of("add", 1, 2)
            assert (error.code, error.executed) == ("unavailable", "maybe")
            assert calculator.runs == 0
            assert foreign.open(broken.url, server.address).call("add", 1, 2, idempotent=True) == 3
            assert calculator.runs == 1
        assert len(heard) == 2

    # Servers that do not keep to the rules.

    @pytest.mark.parametrize(
        ("answer", "code", "executed"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol_error", "maybe"),
            (bytes(64), "protocol_error", "maybe"),
            (b"\xff" * 64, "message_too_large", "maybe"),
            (frames.encode(frames.ERROR, 1), "protocol_error", "maybe"),
            (frames.encode(frames.PONG, 1, b"\x31\x00\x01\x00"), "protocol_error", "maybe"),
            (
                frames.encode(frames.RESPONSE, 1, b"", b"3")[:4]
                + b"\x02"
                + frames.encode(frames.RESPONSE, 1, b"", b"3")[5:],
                "protocol_error",
                "maybe",
            ),
            (
                frames.encode(frames.HELLO_ACK, 0, HelloAck("calc", "1", b"").encode()),
                "protocol_error",
                "maybe",
            ),
            (frames.encode(frames.RESPONSE, 1, b"", b"{"), "protocol_error", "yes"),
            (frames.encode(frames.RESPONSE, 1, b"", b'"\xff"'), "protocol_error", "yes"),
            (
                frames.encode(frames.RESPONSE, 1, b"", bomb(20 << 20), frames.COMPRESSED),
                "message_too_large",
                "yes",
            ),
            (
                frames.encode(frames.RESPONSE, 1, b"", b"3", frames.COMPRESSED),
                "protocol_error",
                "yes",
            ),
        ],
        ids=[
            "http",
            "zeros",
            "ones",
            "error without a code",
            "pong",
            "version 2",
            "second ack",
            "no JSON",
            "no UTF-8",
            "bomb",
            "no gzip",
        ],
    )
    def test_a_server_that_breaks_the_rules(self, foreign, answer, code, executed):
        with RawServer(lambda send, frame: send(answer)) as server:
            calc = foreign.open(server.url, retries=0, gzip=1000, maxInflated=8 << 20)
            error = calc.error_of("add", 1, 2)
            assert (error.code, error.executed) == (code, executed)
            calc.close()
