from __future__ import annotations

import json
import sys

import pytest

import bee_core

SHOP = '''
import dataclasses, datetime, enum
from typing import Literal, NamedTuple
import bee_core

class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"

class Size(NamedTuple):
    width: int
    height: int

@dataclasses.dataclass
class Line:
    """One line of an order."""
    sku: str
    color: Color = Color.RED
    size: Size | None = None

class OutOfStock(Exception):
    """None is left."""
    sku: str

class Shop:
    @bee_core.idempotent
    def line(self, id: int, note: str = "") -> Line:
        """Get a line.

        The newest.
        """
        return Line(note)
    def put(self, lines: list[Line], *more: bytes, on: datetime.date) -> dict[str, float]:
        return {}
    put.__bee_raises__ = (OutOfStock,)
    def plain(self, kind: Literal["a", "b"]):
        return kind
'''


@pytest.fixture
def shop(folder):
    (folder / "shop.py").write_text(SHOP)
    sys.path.insert(0, str(folder))
    import shop

    section = {"name": "shop", "version": "1.2.0", "address": "127.0.0.1:0", "desc": "A shop."}
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": section | {"codecs": ["msgpack", "protobuf"]}}}}
    )
    server.add(shop.Shop())
    with server.in_thread():
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{shop: {{codec: msgpack, address: '{server.address}'}}}}}}}}"
        )
        yield server


METHODS = """\
line(id: int, note: str = '') -> Line                         Get a line.
plain(kind: Literal['a', 'b'])
put(lines: list[Line], *more: bytes, on: date) -> dict[str, float]
"""


def test_methods_are_a_line_each(run, shop):
    result = run("methods", "shop")
    assert (result.code, result.out, result.err) == (0, METHODS, "")
    assert run("methods", shop.address).out == METHODS, "with a codec that is offered there"


def test_methods_as_json(run, shop):
    listed = json.loads(run("methods", "shop", "--json").out)
    assert [method["name"] for method in listed] == ["line", "plain", "put"]
    assert listed[0] == {
        "name": "line",
        "signature": "line(id: int, note: str = '') -> Line",
        "doc": "Get a line.",
        "kind": "threaded",
        "idempotent": True,
        "oneway": False,
    }


def test_a_service_is_described_with_its_types(run, shop):
    result = run("describe", "shop")
    assert (result.code, result.err) == (0, "")
    assert (
        result.out
        == """\
shop 1.2.0: A shop. (3 methods; codecs: msgpack, protobuf)

line(id: int, note: str = '') -> Line
    idempotent
    Get a line.

    The newest.

plain(kind: Literal['a', 'b'])

put(lines: list[Line], *more: bytes, on: date) -> dict[str, float]
    raises OutOfStock(sku: string)  None is left.

Line: One line of an order.
    sku: string
    color: Color  (may be left out)
    size: Size or null  (may be left out)

Color
    one of "red", "blue"

Size
    list of (integer, integer)
"""
    )


@pytest.fixture
def faulty(shop):
    """The same, with a fault."""
    section = {"name": "shop", "faults": {"kind": "error", "rate": 0.25, "caller": "billing"}}
    shop.reload({"bee": {"rpc": {"server": section}}})
    return "FAULTS ARE INJECTED into the requests of shop: 25% of requests: error Unavailable"


@pytest.mark.parametrize("words", [["shop"], ["shop.line"]])
def test_what_is_described_begins_with_the_faults_of_its_server(run, faulty, words):
    assert run("describe", *words).out.startswith(f"{faulty} of one caller\n")
    result = run("describe", *words, "--json")
    assert json.loads(result.out)["faults"] == ["25% of requests: error Unavailable of one caller"]
    assert faulty in result.err


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_list_of_methods_stays_one_and_the_faults_are_said_beside_it(run, faulty, words):
    result = run("methods", "shop", *words)
    assert faulty in result.err
    assert "FAULTS" not in result.out


@pytest.mark.parametrize("words", [["shop.line"], ["shop", "line"]])
def test_one_method_is_described_alone(run, shop, words):
    assert run("describe", *words).out.splitlines()[0] == "line(id: int, note: str = '') -> Line"
    found = json.loads(run("describe", *words, "--json").out)
    assert [method["name"] for method in found["methods"]] == ["line"]
    assert sorted(found["types"]) == ["Color", "Line", "Size"]


def test_an_interface_is_described_without_anybody(run, folder):
    (folder / "shop.py").write_text(SHOP)
    result = run("describe", "shop", "put", "--interface", "shop:Shop")
    assert result.out.startswith("put(lines: list[Line], *more: bytes, on: date)")
    assert run("describe", "shop", "--interface", "shop:Color").code == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["describe", "shop.lin"],
            2,
            "the service shop has no method 'lin'; did you mean line or plain?",
        ),
        (["describe", "shpo"], 2, "did you mean 'shop'?"),
        (["methods", "tcp://"], 2, "tcp://"),
    ],
)
def test_what_is_not_there_is_one_line(run, shop, words, code, said):
    result = run(*words)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert said in result.err


def test_a_service_that_keeps_silent_is_said_to(run, folder):
    section = {"name": "calc", "address": "127.0.0.1:0", "describe": False}
    server = bee_core.build_server({"bee": {"rpc": {"server": section}}})
    server.add(len, name="length")
    with server.in_thread():
        result = run("methods", server.address)
    assert result.code == 1
    assert "does not say what it can do: the service calc does not describe itself" in result.err


def test_a_url_that_the_configuration_names_is_asked_with_its_token(run, folder):
    token = "a-token-of-some-letters"
    section = {"name": "calc", "address": "127.0.0.1:0", "tokens": [token]}
    server = bee_core.build_server({"bee": {"rpc": {"server": section}}})
    server.add(len, name="length")
    with server.in_thread():
        alone = run("methods", server.address)
        calc = json.dumps({"address": server.address, "token": token})
        (folder / "bee.yml").write_text(f"bee: {{rpc: {{client: {{calc: {calc}}}}}}}")
        named = run("methods", server.address)
        own = json.dumps({**section, "address": server.address})
        (folder / "bee.yml").write_text(f"bee: {{rpc: {{server: {own}}}}}")
        served = run("methods", server.address)
    assert alone.code == 1
    assert (named.code, served.code) == (0, 0), named.err + served.err
    assert named.out.startswith("length(")


def test_what_is_no_description_is_said_to_be_none(run, folder):
    (folder / "bee.yml").write_text(
        "bee: {rpc: {client: {calc: {address: '127.0.0.1:1', timeout: 0.5, fail: failfast,"
        " fallback: {name: static, options: {value: 7}}}}}}"
    )
    result = run("methods", "calc")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "what calc says of itself cannot be read" in result.err
