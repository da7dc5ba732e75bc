"""Tokens with real sockets.

Who gets in, what a wrong one costs, rotation, and that a token shows up nowhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import traceback

import pytest

import bee_core
from bee_core.errors import Unauthenticated
from bee_core.wire import frames
from bee_core.wire.first_frame import MAX_HELLO
from bee_core.wire.messages import Hello
from faults.rawpeer import RawClient, hello, request
from faults.services import serving
from faults.users import client_config
from support.certificates import Authority, tls
from support.patience import PATIENCE
from support.plugin_objects import offering
from support.warm import nursery

HONEY, OLD = "s3cret-honey", "s3cret-0ld-honey"


def hello_with(token):
    return frames.encode(frames.HELLO, 0, Hello("calc", "json", None, token).encode())


def refused(user):
    with pytest.raises(Unauthenticated) as caught:
        user.call("add", 1, 2)
    error = caught.value
    assert (error.executed, error.attempts) == ("no", 1)
    assert HONEY not in "".join(
        traceback.format_exception(type(error), error, error.__traceback__)
    ) + repr(error) + repr(vars(error))
    return str(error)


def test_the_right_token_is_let_in(calculator, users):
    with serving(calculator, tokens=HONEY) as server:
        assert users(server.address, token=HONEY).call("add", 1, 2) == 3


def test_a_wrong_token_and_a_missing_one_are_refused_each_with_its_advice(calculator, users):
    with serving(calculator, tokens=[HONEY]) as server:
        assert "compare its token with tokens under bee.rpc.server" in refused(
            users(server.address, token="wrong")
        )
        assert "state token under bee.rpc.client" in refused(users(server.address))
    assert calculator.runs == 0


def test_a_server_without_tokens_lets_everybody_in_whatever_they_show(server, users):
    assert users(server.address).call("add", 1, 2) == 3
    assert users(server.address, token=HONEY).call("add", 1, 2) == 3


@pytest.mark.parametrize("fail", ["failtry", "failover"])
def test_a_wrong_token_is_tried_once_and_on_one_node_alone(calculator, users, fail):
    with serving(calculator, tokens=HONEY) as one, serving(calculator, tokens=HONEY) as two:
        user = users(one.address, two.address, token="wrong", fail=fail, retries=5, idempotent=True)
        for _ in range(5):
            refused(user)
    assert calculator.runs == 0


def test_breakers_do_not_count_it(calculator, users):
    with serving(calculator, tokens=HONEY) as server:
        user = users(
            server.address,
            token="wrong",
            breaker={"name": "consecutive", "options": {"max_error_count": 2}},
        )
        for _ in range(10):
            refused(user)  # and not CircuitOpen


def test_it_keeps_no_place_from_others(calculator, users):
    with serving(calculator, tokens=HONEY, max_conn_size=3) as server:
        strangers = [users(server.address, token="wrong") for _ in range(6)]
        for _ in range(3):
            for stranger in strangers:
                refused(stranger)
        assert users(server.address, token=HONEY).call("add", 1, 2) == 3


def test_a_stranger_does_not_learn_what_is_offered(calculator):
    with serving(calculator, tokens=HONEY) as server, RawClient(server.address) as peer:
        peer.send(hello(service="other", codec="morse"), request(1, "add", b"[1,2]"))
        goaway = peer.goaway()
        assert goaway.kind == "unauthenticated"
        assert goaway.last_id == 0
        assert "calc" not in goaway.message
        assert "json" not in goaway.message
    assert calculator.runs == 0


@pytest.mark.parametrize("token", ["", HONEY[:-1], HONEY + "x", HONEY.upper()])
def test_almost_is_not_enough(calculator, token):
    with serving(calculator, tokens=HONEY) as server, RawClient(server.address) as peer:
        peer.send(hello_with(token))
        assert peer.goaway().kind == "unauthenticated"
        assert peer.closed_within(5)


def test_old_and_new_are_accepted_while_a_token_is_changed(calculator, users):
    with serving(calculator, tokens=[HONEY, OLD]) as server:
        assert users(server.address, token=OLD).call("add", 1, 2) == 3
        assert users(server.address, token=HONEY).call("add", 1, 2) == 3


def test_tokens_in_a_file_are_changed_without_a_restart_and_connections_that_are_open_go_on(
    calculator, users, tmp_path
):
    of_server, of_client = tmp_path / "tokens", tmp_path / "token"
    of_server.write_text(OLD)
    of_client.write_text(OLD)
    with serving(calculator, tokens={"file": str(of_server)}) as server:
        stays = users(server.address, token={"file": str(of_client)})
        assert stays.call("add", 1, 2) == 3
        of_server.write_text(f"{OLD}\n{HONEY}\n")
        assert users(server.address, token={"file": str(of_client)}).call("add", 1, 2) == 3
        of_client.write_text(HONEY)
        changes = users(server.address, token={"file": str(of_client)})
        assert changes.call("add", 1, 2) == 3
        of_server.write_text(HONEY)
        refused(users(server.address, token=OLD))
        assert changes.call("add", 1, 2) == 3
        assert stays.call("add", 1, 2) == 3, "it was let in before"


def test_a_client_takes_the_new_token_for_its_next_connection(calculator, users, tmp_path):
    file = tmp_path / "token"
    file.write_text("not yet")
    with serving(calculator, tokens=HONEY) as server:
        user = users(server.address, token={"file": str(file)})
        refused(user)
        file.write_text(HONEY)
        assert user.call("add", 1, 2) == 3


def test_pings_carry_the_token(calculator):
    async def ping(client):
        """As the control plane does."""
        service = client.assembly.services["calc"]
        (state,) = service.nodes.states.values()
        channel = client.assembly.async_channel(service, state.node)
        try:
            return await channel.ping(5.0)
        finally:
            await channel.close()

    with serving(calculator, tokens=HONEY) as server:
        for token, answer in ((HONEY, "serving"), ("wrong", "unauthenticated")):
            with bee_core.build_client(client_config(server.address, token=token)) as client:
                said = asyncio.run(ping(client))
                assert (said if isinstance(said, str) else said.kind) == answer


def test_a_node_that_was_cut_off_comes_back_by_a_ping_with_the_token(calculator, users):
    came_back = threading.Event()

    class Watch:
        def breaker_changed(self, service, node, before, after):
            if after == "half-open":
                came_back.set()

    with serving(calculator, tokens=HONEY) as server:
        url = server.address
    config = client_config(
        url,
        token=HONEY,
        retries=0,
        breaker={"name": "consecutive", "options": {"max_error_count": 1}},
    )
    config["bee"]["rpc"]["registry"] = {"protocol": "direct", "heartbeat_interval": 0.2}
    config["bee"]["application"] = {"observers": "watch"}
    with bee_core.build_client(config, plugins=[offering("observer", "watch", Watch)]) as client:
        with pytest.raises(bee_core.errors.Unavailable):
            client.service("calc").add(1, 2)
        with serving(calculator, tokens=HONEY, address=url):
            assert came_back.wait(PATIENCE)
            assert client.service("calc").add(1, 2) == 3


def test_tokens_over_tls(calculator, users, tmp_path):
    ca = Authority(tmp_path)
    with serving(
        calculator, tokens=HONEY, address="tls://127.0.0.1:0", transport=tls(ca.issue("server"))
    ) as server:
        assert users(server.address, token=HONEY, transport=tls(ca=ca.file)).call("add", 1, 2) == 3
        refused(users(server.address, token="wrong", transport=tls(ca=ca.file)))
        with pytest.raises(Unauthenticated):
            users(server.address, token="wrong", transport=tls(ca=ca.file), compress=None).call(
                "size", "x" * 1_500_000
            )
    assert calculator.runs == 1


# What comes before a hello is accepted.


@pytest.mark.parametrize("how", ["in one piece", "byte by byte"])
def test_a_hello_of_more_than_64_kib_is_refused_before_it_is_read(server, how):
    start = frames.encode_head(frames.HELLO, 0, bytes(100), MAX_HELLO)
    with RawClient(server.address) as peer:
        for part in (
            [start] if how == "in one piece" else [start[index : index + 1] for index in range(4)]
        ):
            peer.send(part)
        goaway = peer.goaway()
        assert goaway.kind == "message_too_large"
        assert "a first frame of" in goaway.message


def test_a_hello_of_64_kib_is_read_and_a_large_request_right_behind_it_is_served(server):
    small = Hello("calc", "json").encode()
    padding = frames.encode_head(
        frames.HELLO, 0, small, MAX_HELLO - frames.HEADER_SIZE - len(small)
    ) + bytes(MAX_HELLO - frames.HEADER_SIZE - len(small))
    assert len(padding) == MAX_HELLO
    with RawClient(server.address) as peer:
        peer.send(padding, request(1, "size", b'["' + b"x" * 1_000_000 + b'"]'))
        assert peer.expect(frames.RESPONSE).body == b"1000000"


# That it shows up nowhere.


@pytest.mark.parametrize("shown", [HONEY, "wr0ng-t0ken"], ids=["right", "wrong"])
def test_no_log_no_error_and_no_repr_has_a_token_in_it(calculator, users, caplog, shown):
    caplog.set_level(logging.DEBUG)
    with serving(calculator, tokens=HONEY) as server:
        user = users(server.address, token=shown)
        errors = []
        try:
            user.call("add", 1, 2)
            user.call("fail", "boom")
        except bee_core.errors.CallError as error:
            errors.append(
                "".join(traceback.format_exception(type(error), error, error.__traceback__))
            )
        parts = [
            vars(server),
            vars(user.client),
            user.client.config,
            server.config,
            vars(user.client.assembly),
            *errors,
        ]
        said = caplog.text + "".join(repr(part) for part in parts)
    assert errors
    assert HONEY not in said
    assert "wr0ng-t0ken" not in said


def test_no_command_shows_a_token(calculator, tmp_path):

    with serving(calculator, tokens=HONEY) as server:
        file = tmp_path / "bee.yml"
        file.write_text(
            f"bee:\n  rpc:\n    server: {{name: calc, tokens: ['{HONEY}', '${{BEE_TOKEN}}']}}\n"
            f"    client:\n      calc:\n        address: {server.address}\n"
            "        token: ${BEE_TOKEN}\n"
        )
        said = ""
        for command in (
            ["check", str(file)],
            ["check", "--json", str(file)],
            ["explain", "calc", "add", "--config", str(file)],
            ["explain", "calc", "add", "--json", "--config", str(file)],
            ["nodes", "calc", "--config", str(file)],
            ["services", "--config", str(file)],
            ["--debug", "call", "calc", "add", "1", "2", "--config", str(file)],
            ["call", "calc", "add", "1", "2", "--config", str(file)],
        ):
            for token in (HONEY, OLD):
                done = nursery.run(
                    ["-m", "bee_core", *command], env={"BEE_TOKEN": token, "PATH": ""}
                )
                said += done.stdout + done.stderr
    assert "not accepted" in said
    assert json.dumps("usable") in said
    assert HONEY not in said
    assert OLD not in said
