from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest

import bee_core
from bee_core.cli.stub_source import stale_parts

TESTS = Path(__file__).parent.parent
GREETER = TESTS.parent / "examples" / "greeter"
TWINS = "Calculator WithNested Repo UserStore Warehouse AsyncCalculatorABC"

SHOP = '''
import dataclasses
import enum
from typing import Annotated, Generic, Literal, NewType, Protocol, TypeVar

import msgspec

import bee_core


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Line:
    sku: str

    class Part: ...


Sku = NewType("Sku", str)


class Shop(Protocol):
    """A shop.

    Its docs have \\"quotes\\".
    """

    @bee_core.idempotent
    def get(self, sku: Sku, color: Color = Color.RED) -> Line | None:
        """Get \\\\d lines."""

    def put(
        self,
        line: Line,
        *,
        few: Annotated[int, msgspec.Meta(ge=1)] = 1,
        how: Literal["a", "b"] = "a",
        rest: tuple[()] = (),
        odd: list[int] = [],
    ) -> None: ...

    def loose(self, anything): ...

    def all(self, *lines: "Line", **more: float) -> dict[str, list[Line]]: ...


class Local:
    async def get(self) -> int: ...
    def put(self) -> int: ...


def make():
    class Hidden: ...
    return Hidden


class Odd:
    def get(self) -> "make()": ...
'''

ASYNC = '''\
"""The asyncio form of shop:Shop.

Written by `bee stub shop:Shop`; do not edit.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

import bee_core
import msgspec
from shop import Color, Line, Sku


class AsyncShop(Protocol):
    """A shop.

    Its docs have "quotes".
    """

    @bee_core.idempotent
    async def get(self, sku: Sku, color: Color = Color.RED) -> Line | None:
        """Get \\\\d lines."""
        ...

    async def put(
        self,
        line: Line,
        *,
        few: Annotated[int, msgspec.Meta(ge=1)] = 1,
        how: Literal['a', 'b'] = 'a',
        rest: tuple[()] = (),
        odd: list[int] = ...,
    ) -> None: ...

    async def loose(self, anything: Any) -> Any: ...

    async def all(self, *lines: Line, **more: float) -> dict[str, list[Line]]: ...
'''


@pytest.fixture
def shop(write, folder):
    sys.path.insert(0, str(folder))
    write("shop.py", SHOP)


def test_the_twin_is_plain_source(run, shop):
    result = run("stub", "shop:Shop")
    assert (result.code, result.err) == (0, "")
    assert result.out == ASYNC


def test_it_takes_calls_and_has_the_marks_of_the_interface(run, shop, folder):
    assert run("stub", "shop:Shop", "-o", "twin.py").code == 0
    twin = importlib.import_module("twin").AsyncShop
    from bee_core.methods.interface_methods import interface_methods

    original = interface_methods(importlib.import_module("shop").Shop)
    made = interface_methods(twin)
    assert {name: method.signature.result for name, method in made.items()} == {
        name: method.signature.result for name, method in original.items()
    }
    assert made["get"].idempotent
    assert made["get"].doc == original["get"].doc
    assert all(method.is_async for method in made.values())


async def call(twin, address):
    section = {"calc": {"address": address}}
    async with bee_core.build_async_client({"bee": {"rpc": {"client": section}}}) as client:
        return await client.service("calc", twin).add(1, b=2)


def test_an_asyncio_client_calls_through_the_twin_of_a_blocking_interface(run, folder):
    import asyncio

    sys.path.insert(0, str(folder))
    assert run("stub", "app:Calculator", "-o", "twins.py").code == 0
    app, twins = importlib.import_module("app"), importlib.import_module("twins")
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "memory://twins"}}}}
    )
    server.add(app.Calculator())
    with server.in_thread():
        assert asyncio.run(call(twins.AsyncCalculator, "memory://twins")) == 3
    assert inspect.iscoroutinefunction(twins.AsyncCalculator.add)


def test_the_twin_of_a_twin_is_the_interface(run, shop, folder):
    assert run("stub", "shop:Shop", "-o", "twin.py").code == 0
    back = run("stub", "twin:AsyncShop", "--name", "Shop").out
    again = run("stub", "shop:Shop", "--blocking", "--name", "Shop").out
    assert stale_parts(back, again) == []


def test_a_file_is_up_to_date_whatever_its_form(run, shop, folder):
    source = ast.unparse(ast.parse(ASYNC)) + "\n# a comment\n"
    (folder / "twin.py").write_text(source)
    result = run("stub", "shop:Shop", "--check", "twin.py")
    assert (result.code, result.out) == (0, "twin.py is up to date\n"), result.err


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("color: Color = Color.RED", "color: Color", "AsyncShop.get"),
        ("async def all", "async def every", "AsyncShop.every, AsyncShop.all"),
        ("    @bee_core.idempotent\n", "", "AsyncShop.get"),
        ("Color, Line", "Line", "imports"),
        ("class AsyncShop(Protocol)", "class AsyncShop", "AsyncShop"),
    ],
)
def test_a_file_that_is_out_of_date_says_what_and_exits_with_1(run, shop, folder, old, new, parts):
    (folder / "twin.py").write_text(ASYNC.replace(old, new))
    result = run("stub", "shop:Shop", "--check", "twin.py")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"error: twin.py is out of date ({parts}); write it again: bee stub shop:Shop -o twin.py\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["shop:Local"], 2, "has async and other methods; say --asyncio or --blocking"),
        (["shop:Odd"], 2, "cannot be imported: it is made in a function"),
        (["shop:Line"], 2, "declares no public method"),
        (["shop:Shop", "app:Calculator", "--name", "X"], 2, "--name is for one interface"),
        (["shop:Shop", "--check", "none.py"], 1, "none.py: No such file"),
        (["shop:Shop", "--check", "bee.yml"], 1, "bee.yml is no source of Python"),
    ],
)
def test_what_cannot_be_written_is_one_line(run, shop, words, code, said):
    result = run("stub", *words)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert said in result.err


def test_a_service_of_a_proto_has_typed_methods(run, monkeypatch):
    pytest.importorskip("google.protobuf")
    monkeypatch.syspath_prepend(str(GREETER))
    assert "def SayHello(self, request: HelloRequest, /) -> HelloReply: ..." in (
        run("stub", "greeter_pb2:Greeter").out
    )
    assert run("stub", "greeter_pb2:Greter").err == (
        "error: greeter_pb2 has no service 'Greter'; there are: Greeter\n"
    )


def test_a_method_that_streams_is_left_out(run, monkeypatch):
    protos = pytest.importorskip("support.proto_files")
    from bee_core.cli.stub_source import Wanted, stub_source

    file = protos.add_file(
        "stub/streams.proto",
        "stub.streams",
        "proto3",
        messageType=[protos.message("Row")],
        service=[
            {
                "name": "Rows",
                "method": [
                    {
                        "name": "One",
                        "inputType": ".stub.streams.Row",
                        "outputType": ".stub.streams.Row",
                    },
                    {
                        "name": "All",
                        "inputType": ".stub.streams.Row",
                        "outputType": ".stub.streams.Row",
                        "serverStreaming": True,
                    },
                ],
            }
        ],
    )
    interface = bee_core.interface_of(file.services_by_name["Rows"])
    source = stub_source([Wanted(interface, "rows_pb2:Rows")], "bee stub rows_pb2:Rows")
    assert "    # All is left out: it streams.\n" in source
    assert "from stub.streams_pb2 import Row\n" in source


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ([f"interfaces:{name}" for name in TWINS.split()], "twins.py"),
        (["greeter_pb2:Greeter"], "greeter_service.py"),
        (["greeter_pb2:Greeter", "--asyncio"], "greeter_asyncio.py"),
    ],
)
def test_what_the_type_checkers_see_is_what_is_written_today(run, monkeypatch, words, file):
    pytest.importorskip("google.protobuf")
    monkeypatch.setattr(sys, "path", [str(TESTS / "typing"), str(GREETER), *sys.path])
    monkeypatch.delitem(sys.modules, "interfaces", raising=False)
    result = run("stub", *words, "--check", TESTS / "typing" / file)
    monkeypatch.delitem(sys.modules, "interfaces", raising=False)
    assert (result.code, result.err) == (0, "")
