"""A token by a function of the application: when it is asked, and what it may do wrong."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import types
from itertools import count

import pytest

import bee_core
from bee_core.errors import ConfigError, DeadlineExceeded, Unauthenticated
from faults.users import BOTH, client_config, make_user
from support.patience import PATIENCE

HONEY = "s3cret-honey"
NUMBERS = count(1)


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b

    def who(self) -> str | None:
        return bee_core.current_call().peer_identity


@contextlib.contextmanager
def serving(*tokens, scheme="memory"):
    address = f"memory://token-{next(NUMBERS)}" if scheme == "memory" else "tcp://127.0.0.1:0"
    section = {"name": "calc", "address": address}
    if tokens:
        section["tokens"] = list(tokens)
    server = bee_core.build_server({"bee": {"rpc": {"server": section}}})
    server.add(Calculator())
    with server.in_thread():
        yield server.address


class Vault:
    """A module with a function ``token`` that gives one of ``tokens`` after the other."""

    def __init__(self, monkeypatch):
        self.tokens = [HONEY]
        self.asked = 0
        module = types.ModuleType(f"vault_{next(NUMBERS)}")
        module.token = self.token
        self.target = f"{module.__name__}:token"
        self.module = module
        monkeypatch.setitem(sys.modules, module.__name__, module)

    def token(self):
        self.asked += 1
        answer = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def config(self, address, **settings):
        return client_config(address, token={"function": self.target}, **settings)


@pytest.fixture
def vault(monkeypatch):
    return Vault(monkeypatch)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("scheme", ["memory", "tcp"])
def test_the_function_is_asked_once_for_each_connection(vault, kind, scheme):
    with serving(HONEY, scheme=scheme) as address:
        user = make_user(kind, vault.config(address))
        try:
            assert vault.asked == 0, "nothing is asked before the first connection"
            assert [user.call("add", number, 1) for number in range(3)] == [1, 2, 3]
            assert vault.asked == 1
        finally:
            user.close()


@pytest.mark.parametrize("kind", BOTH)
def test_a_token_that_is_refused_is_asked_for_anew_and_the_call_goes_on(vault, kind):
    vault.tokens = ["the old one", HONEY]
    with serving(HONEY) as address:
        user = make_user(kind, vault.config(address, retries=0, fail="failfast"))
        try:
            assert user.call("add", 1, 2) == 3
            assert vault.asked == 2
        finally:
            user.close()


@pytest.mark.parametrize("kind", BOTH)
def test_a_token_that_is_refused_twice_is_unauthenticated(vault, kind):
    vault.tokens = ["wrong"]
    with serving(HONEY) as address:
        user = make_user(kind, vault.config(address))
        try:
            with pytest.raises(Unauthenticated, match="token is not accepted") as caught:
                user.call("add", 1, 2)
        finally:
            user.close()
    assert (caught.value.executed, caught.value.attempts) == ("no", 1)
    assert vault.asked == 2


def test_a_token_of_the_file_that_is_refused_is_shown_once():
    with serving(HONEY) as address:
        config = client_config(address, token="wrong")
        with bee_core.build_client(config) as client:
            call = client.trace("calc", "add", 1, 2)
    assert isinstance(call.error, Unauthenticated)
    assert len(call.steps) == 1


class Down(Exception):
    pass


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Down(f"no answer, and {HONEY}"), r"raised Down at .*test_token_function\.py:\d+"),
        (SystemExit(1), "raised SystemExit"),
        (TimeoutError(HONEY), "raised TimeoutError"),
        (None, "returned a NoneType, and a token is text"),
        (HONEY.encode(), "returned a bytes"),
        ("", "returned no token: the token is empty"),
        (HONEY * 500, "returned no token: the token has 6000 bytes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_function_that_gives_none_ends_the_call_and_is_named(vault, kind, answer, says, caplog):
    vault.tokens = [answer]
    with serving(HONEY) as address:
        user = make_user(kind, vault.config(address))
        try:
            with pytest.raises(Unauthenticated, match=says) as caught:
                user.call("add", 1, 2)
        finally:
            user.close()
    assert vault.target in str(caught.value)
    assert caught.value.executed == "no"
    assert vault.asked == 1, "a function that gives no token is not asked again for this call"
    assert HONEY not in str(caught.value) + repr(caught.value) + caplog.text
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", BOTH)
def test_a_function_that_takes_the_time_of_the_call_keeps_the_request_from_being_sent(vault, kind):
    seconds = 0.2
    waited = threading.Event()

    def slow():
        waited.wait(2 * seconds)
        return HONEY

    vault.module.token = slow
    with serving(HONEY, scheme="tcp") as address:
        user = make_user(kind, vault.config(address, timeout=seconds))
        try:
            with pytest.raises(DeadlineExceeded) as raised:
                user.call("add", 1, 2)
        finally:
            user.close()
    assert raised.value.executed == "no"


def test_what_a_handler_of_signals_raises_in_the_function_reaches_the_caller(vault, monkeypatch):
    import signal

    class SoftLimit(Exception):
        pass

    def handler(number, frame):
        raise SoftLimit

    def interrupted():
        signal.raise_signal(signal.SIGALRM)
        return HONEY

    before = signal.signal(signal.SIGALRM, handler)
    vault.module.token = interrupted
    try:
        with (
            serving(HONEY) as address,
            bee_core.build_client(vault.config(address)) as client,
            pytest.raises(SoftLimit),
        ):
            client.service("calc").add(1, 2)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_futures_and_pings_ask_the_function_as_well(vault):
    with serving(HONEY) as address, bee_core.build_client(vault.config(address)) as client:
        assert bee_core.future(client.service("calc").add, 1, 2).result(PATIENCE) == 3
        (node,) = client.explain("calc", ask=True).nodes
        assert node.health == "serving"
        assert vault.asked >= 2


async def giving():
    return HONEY


def wanting(this):
    return HONEY


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("no_such_module:token", "no_such_module"),
        (f"{__name__}:no_such_function", "cannot be imported"),
        (f"{__name__}:HONEY", "is not a function but a str"),
        (f"{__name__}:giving", "is async"),
        (f"{__name__}:wanting", "must take no argument"),
    ],
)
@pytest.mark.parametrize("build", [bee_core.build_client, bee_core.build_async_client])
def test_a_function_that_cannot_be_used_is_an_error_at_build(target, says, build):
    async def built():
        build(client_config("memory://nowhere", token={"function": target}))

    with pytest.raises(ConfigError, match=says) as caught:
        asyncio.run(built())
    assert caught.value.path == "bee.rpc.client.calc.token"
    assert target in str(caught.value)


def test_a_server_takes_no_function():
    with pytest.raises(ConfigError, match="a server has tokens as text or in a file") as caught:
        bee_core.load_config(
            {"bee": {"rpc": {"server": {"name": "calc", "tokens": {"function": "a:b"}}}}}
        )
    assert caught.value.path == "bee.rpc.server.tokens"


@pytest.mark.parametrize("kind", BOTH)
def test_a_handler_knows_whom_the_token_stands_for(kind, tmp_path):
    (tmp_path / "tokens").write_text("one\ntwo\n")
    entries = [
        {"token": HONEY, "identity": "billing"},
        {"file": str(tmp_path / "tokens"), "identity": "reports"},
        "nobody in particular",
    ]
    with serving(*entries) as address:
        for token, identity in (
            (HONEY, "billing"),
            ("two", "reports"),
            ("nobody in particular", None),
        ):
            user = make_user(kind, client_config(address, token=token))
            try:
                assert user.call("who") == identity
            finally:
                user.close()
    with serving() as address:
        user = make_user(kind, client_config(address, token=HONEY))
        try:
            assert user.call("who") is None, "a server without tokens knows nobody"
        finally:
            user.close()


def test_an_identity_is_not_shown():
    config = bee_core.load_config(
        {
            "bee": {
                "rpc": {
                    "server": {"name": "c", "tokens": [{"token": HONEY, "identity": "billing"}]}
                }
            }
        }
    )
    (entry,) = config.server.tokens
    assert entry.identity == "billing"
    assert "billing" not in repr(config) + repr(config.server) + repr(entry)
