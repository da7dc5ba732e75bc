"""A server says what it can do, through its reserved method and like any other call."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

import bee_core
from bee_core.contracts.description import LARGEST, read_description
from bee_core.errors import MethodNotFound, RemoteError, Unauthenticated

DESCRIBE = "_bee.describe"


@dataclasses.dataclass
class Line:
    sku: str
    qty: int = 1


class OutOfStock(Exception):
    """None is left."""

    sku: str


class Shop:
    @bee_core.idempotent
    def get(self, number: int, *, note: str = "x") -> Line:
        """Get a line.

        It is the newest.
        """
        return Line(note, number)

    @bee_core.nonblocking
    def ping(self) -> None: ...

    async def put(self, line: Line | None = None) -> dict[str, Line]:
        return {}

    put.__bee_raises__ = (OutOfStock,)

    def loose(self, anything):
        return anything


@pytest.fixture
def serve():
    """Serve an object in memory: ``serve(Shop(), codecs="json").call("get", 1)``."""
    closing = []

    def make(target, client=None, plugins=(), interface=None, **keys):
        server = bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": "shop", "address": "memory://described", **keys}}}},
            plugins=plugins,
        )
        server.add(target, interface=interface)
        running = server.in_thread()
        running.__enter__()
        closing.append(running)
        section = {"address": "memory://described", "fail": "failfast", **(client or {})}
        made = bee_core.build_client({"bee": {"rpc": {"client": {"shop": section}}}})
        closing.append(made)
        return made.service("shop")

    yield make
    for each in reversed(closing):
        each.__exit__(None, None, None)


@pytest.mark.parametrize("codec", ["json", "msgpack", "protobuf"])
def test_it_is_the_same_in_each_codec(serve, codec):
    shop = serve(Shop(), {"codec": codec}, codecs=codec, version="1.2.0", desc="A shop.", workers=1)
    found = shop.call(DESCRIBE)
    assert {name: found[name] for name in ("service", "version", "desc", "codecs", "format")} == {
        "service": "shop",
        "version": "1.2.0",
        "desc": "A shop.",
        "codecs": [codec],
        "format": 1,
    }
    methods = {method["name"]: method for method in found["methods"]}
    assert list(methods) == ["get", "loose", "ping", "put"]
    assert methods["get"] == {
        "name": "get",
        "signature": "get(number: int, *, note: str = 'x') -> Line",
        "doc": "Get a line.\n\nIt is the newest.",
        "kind": "threaded",
        "idempotent": True,
        "oneway": False,
        "proto": None,
        "params": [
            {
                "name": "number",
                "kind": "positional_or_keyword",
                "required": True,
                "type": "int",
                "schema": {"type": "integer"},
                "default": None,
            },
            {
                "name": "note",
                "kind": "keyword_only",
                "required": False,
                "type": "str",
                "schema": {"type": "string"},
                "default": "x",
            },
        ],
        "type": "Line",
        "result": {"$ref": "#/types/Line"},
        "errors": [],
    }
    assert [methods[name]["kind"] for name in ("put", "ping")] == ["async", "nonblocking"]
    assert methods["put"]["errors"] == [
        {
            "type": "OutOfStock",
            "doc": "None is left.",
            "schema": {
                "type": "object",
                "properties": {"sku": {"type": "string"}},
                "required": ["sku"],
            },
        }
    ]
    assert found["types"]["Line"] == {
        "title": "Line",
        "type": "object",
        "properties": {"sku": {"type": "string"}, "qty": {"type": "integer"}},
        "required": ["sku"],
    }
    assert read_description(found).plain == found


def test_one_method_comes_with_the_types_that_it_needs(serve):
    shop = serve(Shop())
    found = shop.call(DESCRIBE, "ping")
    assert [method["name"] for method in found["methods"]] == ["ping"]
    assert found["types"] == {}
    assert list(shop.call(DESCRIBE, method="put")["types"]) == ["Line"]


def test_a_brief_one_has_first_lines_and_no_types(serve):
    found = serve(Shop()).call(DESCRIBE, brief=True)
    assert found["types"] == {}
    assert found["methods"][0]["doc"] == "Get a line."
    assert found["methods"][0]["params"] is None


def test_the_marks_and_docs_of_an_interface_count(serve):
    class Interface:
        @bee_core.idempotent
        def put(self, line: Line) -> Line:
            """Put it."""

    class Handlers:
        def put(self, line):
            return line

    (method,) = serve(Handlers(), interface=Interface).call(DESCRIBE)["methods"]
    assert method["signature"] == "put(line: Line) -> Line"
    assert (method["idempotent"], method["doc"]) == (True, "Put it.")


def test_a_method_that_is_not_there_is_said_with_those_that_are_near(serve):
    with pytest.raises(RemoteError, match="no method 'gte'; did you mean get") as caught:
        serve(Shop()).call(DESCRIBE, "gte")
    assert caught.value.type == "MethodNotFound"


def test_a_server_may_keep_silent(serve):
    with pytest.raises(MethodNotFound, match=r"bee\.rpc\.server\.describe is false") as caught:
        serve(Shop(), describe=False).call(DESCRIBE)
    assert caught.value.executed == "no"


def test_it_is_no_method_among_others(serve):
    with pytest.raises(MethodNotFound, match="there are: get, loose, ping, put "):
        serve(Shop()).call("zzz")
    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "shop"}}}})
    with pytest.raises(ValueError, match="cannot be called by a client"):
        server.add(len, name=DESCRIBE)
    server.add(Shop())
    assert server.methods == ("get", "loose", "ping", "put")


def test_a_stranger_without_a_token_is_told_nothing(serve):
    shop = serve(Shop(), {"token": "x" * 20}, tokens="y" * 20)
    with pytest.raises(Unauthenticated):
        shop.call(DESCRIBE)


def test_interceptors_may_refuse_it(serve):
    class Guard:
        def enter(self, call):
            if call.method.startswith("_bee."):
                raise bee_core.errors.Unauthenticated("not for you")

        def exit(self, call, outcome): ...

    class Plugin:
        @bee_core.hookimpl
        def bee_register_interceptors(self, registry):
            registry.add("guard", Guard)

    shop = serve(Shop(), plugins=[Plugin()], interceptors="guard")
    with pytest.raises(Unauthenticated, match="not for you"):
        shop.call(DESCRIBE)
    assert shop.call("loose", 1) == 1


def test_one_that_is_too_large_says_what_to_ask_instead(serve):
    methods = {}
    for number in range(LARGEST // 20_000 + 2):

        def method(self) -> None: ...

        method.__doc__ = f"Short.\n\n{'long ' * 4000}"
        methods[f"m{number}"] = method
    shop = serve(type("Huge", (), methods)())
    with pytest.raises(RemoteError, match="ask with brief=true, or for one method") as caught:
        shop.call(DESCRIBE)
    assert caught.value.type == "MessageTooLarge"
    assert len(shop.call(DESCRIBE, brief=True)["methods"]) == len(methods)
    assert len(shop.call(DESCRIBE, "m3")["methods"]) == 1


def test_a_codec_that_carries_some_types_only_leaves_it_out(serve):
    class Method:
        def encode_args(self, args, kwargs):
            return 0, b""

        def decode_args(self, form, body):
            return (), {}

        def encode_result(self, value):
            return b""

        def decode_result(self, body): ...

    class Codec:
        def bind(self, signature):
            if signature.params is not None and signature.method != "ping":
                raise TypeError("bool cannot be carried")
            return Method()

    class Plugin:
        @bee_core.hookimpl
        def bee_register_codecs(self, registry):
            registry.add("narrow", Codec)

    class Ping:
        def ping(self) -> None: ...

    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "shop", "codecs": "narrow"}}}}, plugins=[Plugin()]
    )
    server.add(Ping())
    with server.in_thread():
        assert server.endpoint.methods()[0].name == "ping"
        hello = SimpleNamespace(token=None, service="shop", codec="narrow", compressor=None)
        assert server.endpoint.admit(hello) is None


def test_a_url_for_a_name_asks_for_whichever_service_is_there():
    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "shop"}}}})
    server.add(Shop())
    with server.in_thread():
        section = {server.address: {"address": server.address}}
        with bee_core.build_client({"bee": {"rpc": {"client": section}}}) as client:
            assert client.service(server.address).call(DESCRIBE)["service"] == "shop"
