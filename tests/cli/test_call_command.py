from __future__ import annotations

import datetime as dt
import io
import json
import math
import signal
import socket
import sys
import threading

import click
import pytest

import bee_core
from bee_core.cli.arguments import read_arguments
from bee_core.cli.output import encode


@pytest.fixture
def server(folder):
    sys.path.insert(0, str(folder))
    import app

    server = bee_core.build_server(str(folder / "bee.yml"))
    server.add(app.Calculator())
    server.add(app.Stats(), name="Stats")
    server.add(app.greet)
    with server.in_thread():
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{calc: {{address: '{server.address}'}}}}}}}}"
        )
        yield server


@pytest.mark.parametrize(
    ("args", "printed"),
    [
        (["add", "1", "2"], "3"),
        (["add", "1", "-2"], "-1"),
        (["add", "1", "b=2"], "3"),
        (["add", "b=-2", "a=1"], "-1"),
        (["Stats.mean", "[1, 2]"], "1.5"),
        (["greet", '"Ada = ä"'], '"hello Ada = ä"'),
        (["greet", 'name="x=1"'], '"hello x=1"'),
        (["call", "7"], "-7"),  # a method whose name the proxy has taken
    ],
)
def test_the_result_is_printed_as_json(run, server, args, printed):
    result = run("call", "calc", *args)
    assert (result.code, result.out, result.err) == (0, printed + "\n", "")


def test_a_command_leaves_the_address_for_metrics_to_the_program_of_the_file(
    run, server, folder, caplog
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (folder / "bee.yml").write_text(
            f"bee: {{application: {{metrics_address: '{address}'}},"
            f" rpc: {{client: {{calc: {{address: '{server.address}'}}}}}}}}"
        )
        result = run("call", "calc", "add", "1", "2")
    assert (result.code, result.out, result.err) == (0, "3\n", "")
    assert not [record for record in caplog.records if "metrics" in record.getMessage()]


def test_json_says_how_the_call_went(run, server):
    reply = json.loads(run("call", "calc", "add", "1", "2", "--json").out)
    assert reply.pop("seconds") > 0
    assert reply == {"value": 3, "node": server.address, "attempts": 1, "degraded": False}


@pytest.mark.parametrize(
    ("args", "printed"),
    [
        (["greet", "Ada"], '"hello Ada"'),
        (["greet", "name=Ada = ä"], '"hello Ada = ä"'),
        (["greet", "name=12"], '"hello 12"'),  # JSON would be a number, and it takes text
        (["greet", "true"], '"hello true"'),
        (["greet", 'name="12"'], '"hello 12"'),
    ],
)
def test_a_bare_text_will_do_where_the_method_takes_text(run, server, args, printed):
    result = run("call", "calc", *args)
    assert (result.code, result.out, result.err) == (0, printed + "\n", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["add", "a=1", "d=2"], "add takes a: int, b: int; you gave a, d"),
        (["greet", "nam=Ada"], "you gave nam; did you mean name=…?"),
        (["add", "1", "2", "3"], "you gave 3 by position, and 2 values fit there"),
        (["add", "1", "a=2"], "you gave a twice, by position and by name"),
        (["add", "b=1"], "you gave b; a is missing"),
        (["add", "1", "b=two"], "argument 2: b: int cannot be two"),
        (["add", "1", "b="], "argument 2: b: int cannot be empty"),
        (["add", "1", "[2"], "argument 2 is not JSON: [2"),
    ],
)
def test_what_a_method_does_not_take_is_said_with_what_it_takes(run, server, args, said):
    result = run("call", "calc", *args)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_a_service_that_does_not_describe_itself_gets_json_only(run, folder):
    section = {"name": "calc", "address": "127.0.0.1:0", "describe": False}
    server = bee_core.build_server({"bee": {"rpc": {"server": section}}})
    server.add(lambda text: text, name="echo")
    with server.in_thread():
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{calc: {{address: '{server.address}'}}}}}}}}"
        )
        assert run("call", "calc", "echo", '"a"').out == '"a"\n'
        assert "argument 1 is not JSON: a; a text wants" in run("call", "calc", "echo", "a").err
        wrong = run("call", "calc", "echo", "txt=1")
        assert (wrong.code, "has no argument 'txt'" in wrong.err) == (1, True)


def test_files_stand_for_values_and_for_all_arguments(run, server, folder):
    (folder / "xs.json").write_text("[1, 2]")
    (folder / "both.json").write_text('{"a": 1, "b": 2}')
    (folder / "name.txt").write_text("Ada\n")
    (folder / "bad.bin").write_bytes(b"\xff")
    assert run("call", "calc", "Stats.mean", "@xs.json").out == "1.5\n"
    assert run("call", "calc", "Stats.mean", "xs=@xs.json").out == "1.5\n"
    assert run("call", "calc", "add", "@both.json").out == "3\n"
    assert run("call", "calc", "greet", "name=@name.txt").out == '"hello Ada"\n'
    assert run("call", "calc", "greet", "@name.txt").out == '"hello Ada"\n'
    assert "@none.json cannot be read: No such file" in run("call", "calc", "add", "@none.json").err
    assert "@bad.bin is no text in UTF-8" in run("call", "calc", "greet", "@bad.bin").err
    wrong = run("call", "calc", "add", "@name.txt", "1")
    assert "argument 1: what @name.txt has is not JSON" in wrong.err


def test_standard_input_stands_for_arguments(run, server, monkeypatch):
    for text, args in (('{"a": 1, "b": 2}', ("-",)), ("2", ("1", "-")), ("2", ("1", "b=-"))):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert run("call", "calc", "add", *args).out == "3\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"1")))
    assert "- stands twice" in run("call", "calc", "add", "-", "-").err


def test_a_url_stands_for_a_service(run, server, folder):
    (folder / "bee.yml").unlink()
    assert run("call", server.address, "add", "1", "2").out == "3\n"
    assert "is missing" in run("call", server.address, "add", "1").err
    assert run("call", "http//x", "add").code == 2
    wrong = run("call", "nothing://127.0.0.1:1", "add")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)


def test_metadata_reaches_the_handler(run, server):
    assert json.loads(
        run("call", "calc", "metadata", "--metadata", "tenant=a", "--metadata", "note=b=c").out
    ) == {"tenant": "a", "note": "b=c"}


def test_timeout_bounds_the_call(run, server):
    result = run("call", "calc", "pause", "1", "--timeout", "0.05", "--json")
    assert result.code == 1
    assert json.loads(result.out)["error"]["kind"] == "deadline_exceeded"


def test_a_failed_call_is_one_line_and_exit_code_1(run, server):
    result = run("call", "calc", "boom")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: calc.boom: the handler raised KeyError: ")
    assert "executed: yes" in result.err
    assert result.err.count("\n") == 1


def test_a_failed_call_as_json_is_an_object_on_stdout(run, server):
    result = run("call", "calc", "boom", "--json")
    assert (result.code, result.err) == (1, "")
    error = json.loads(result.out)["error"]
    assert "no such order" in error.pop("message")
    assert error == {
        "kind": "remote_error",
        "type": "KeyError",
        "service": "calc",
        "method": "boom",
        "executed": "yes",
        "attempts": 1,
        "node": server.address,
    }


SALES = """
import bee_core


class OutOfStock(Exception):
    sku: int

    def __init__(self, sku: int) -> None:
        super().__init__(f"no {sku} is left")
        self.sku = sku


class Sales:
    @bee_core.raises(OutOfStock)
    def sell(self, sku: int) -> int:
        raise OutOfStock(sku)
"""


@pytest.mark.parametrize("more", [(), ("--interface", "sales:Sales")])
def test_an_error_that_was_meant_shows_its_code_and_details_with_and_without_the_interface(
    run, folder, more
):
    (folder / "sales.py").write_text(SALES)
    sys.path.insert(0, str(folder))
    import sales

    server = bee_core.build_server(str(folder / "bee.yml"))
    server.add(sales.Sales())
    with server.in_thread():
        client = f"bee: {{rpc: {{client: {{calc: {{address: '{server.address}'}}}}}}}}"
        (folder / "bee.yml").write_text(client)
        plain = run("call", "calc", "sell", "7", *more)
        error = json.loads(run("call", "calc", "sell", "7", "--json", *more).out)["error"]
    assert (plain.code, plain.out, plain.err.count("\n")) == (1, "", 1)
    assert plain.err.startswith("error: calc.sell: the handler raised OutOfStock: no 7 is left")
    assert plain.err.endswith('; details: {"sku":7}\n')
    assert (error["type"], error["code"]) == ("OutOfStock", "OutOfStock")
    assert (error["details"], error["executed"]) == ({"sku": 7}, "yes")


def test_a_bad_argument_is_reported_with_its_path(run, server):
    error = json.loads(run("call", "calc", "add", "1", '"two"', "--json").out)["error"]
    assert (error["kind"], error["executed"]) == ("invalid_argument", "no")
    assert error["path"].startswith("$")


def test_a_method_that_is_not_there_lists_those_that_are(run, server):
    result = run("call", "calc", "ad", "1", "2")
    assert result.code == 1
    assert "no method 'ad'" in result.err


def test_a_service_that_is_not_configured_is_a_configuration_error(run, server):
    result = run("call", "clac", "add", "1", "2")
    assert result.code == 2
    assert "did you mean 'calc'?" in result.err


def test_a_dead_server_is_unavailable(run, folder):
    (folder / "bee.yml").write_text(
        "bee: {rpc: {client: {calc: {address: '127.0.0.1:1', fail: failfast}}}}"
    )
    result = run("call", "calc", "add", "1", "2")
    assert result.code == 1
    assert "cannot connect" in result.err


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ("Ada",),
            (
                "argument 1 is not JSON: Ada; a text wants double quotes, and the shell takes "
                "one pair: '\"Ada\"'"
            ),
        ),
        (
            ("1", "name=Ada"),
            (
                "argument 2 is not JSON: name=Ada; a text wants double quotes, and the shell "
                "takes one pair: 'name=\"Ada\"'"
            ),
        ),
        (("it's",), """the shell takes one pair: '"it'"'"'s"'"""),
        (("[1, 2",), "argument 1 is not JSON: [1, 2 ("),
        (("NaN",), "argument 1 is not JSON: NaN"),
        (("--timeot",), "there is no option --timeot"),
        (("a=1", "2"), "argument 2 (2) follows a named one"),
        (("a=1", "a=2"), "'a' is given twice"),
        (("[" * 100_000,), "argument 1 is not JSON"),
    ],
)
def test_arguments_that_are_not_json_say_how_to_write_them(texts, message):
    with pytest.raises(click.ClickException) as caught:
        read_arguments(texts)
    assert message in caught.value.message
    assert caught.value.exit_code == 2


def test_arguments_are_read_by_position_and_by_name():
    assert read_arguments(("1", '"a=b"', "null", "x=[1]", 'größe={"a": 2}')) == (
        (1, "a=b", None),
        {"x": [1], "größe": {"a": 2}},
    )


def test_metadata_without_a_key_is_a_usage_error(run, server):
    result = run("call", "calc", "metadata", "--metadata", "tenant")
    assert (result.code, "write KEY=TEXT" in result.err) == (2, True)


@pytest.mark.parametrize(
    "words", [("--trace", "calc", "add", "1", "2"), ("calc", "--trace=1", "add", "1", "2")]
)
def test_an_unknown_option_before_the_arguments_is_no_service_and_no_method(run, server, words):
    result = run("call", *words)
    assert (result.code, result.err) == (
        2,
        "error: there is no option --trace (see bee call --help)\n",
    )


def test_ctrl_c_ends_a_call_with_130_and_no_word(start, folder):
    entered, leave = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        leave.wait()

    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc"}}}})
    server.add(hang)
    with server.in_thread():
        (folder / "client.yml").write_text(
            f"bee: {{rpc: {{client: {{calc: {{address: '{server.address}'}}}}}}}}"
        )
        process = start("call", "calc", "hang", "--config", "client.yml")
        assert entered.wait(15)
        process.signal(signal.SIGINT)
        assert process.exit_code() == 130
        leave.set()
    assert process.lines == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [None, 1]}, '{"a":[null,1]}'),
        ([None, math.nan, -math.inf], "[null,NaN,-Infinity]"),
        (
            {1: None, "é": b"x", "day": dt.date(2024, 1, 1)},
            '{"1":null,"é":"eA==","day":"2024-01-01"}',
        ),
    ],
)
def test_what_json_has_no_word_for_is_not_printed_as_null(value, text):
    assert encode(value) == text


def test_keys_that_json_cannot_have_are_an_error_in_one_line():
    with pytest.raises(click.ClickException, match="cannot be written as JSON: "):
        encode({None: 1})


INTERFACE = """
import dataclasses
import bee_core

@dataclasses.dataclass
class Order:
    id: int

class Shop:
    @bee_core.idempotent
    def double(self, order: Order) -> Order: ...
    def missing(self, x: int) -> int: ...

class Async:
    async def double(self, order: Order) -> Order: ...
"""


@pytest.fixture
def shop(folder):
    (folder / "shop.py").write_text(INTERFACE)
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "s", "address": "127.0.0.1:0"}}}}
    )

    def double(order: dict[str, int]) -> dict[str, int]:
        return {"id": order["id"] * 2}

    server.add(double)
    with server.in_thread():
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{s: {{address: '{server.address}'}}}}}}}}"
        )
        yield server


@pytest.mark.parametrize("arguments", [('{"id": 4}',), ('order={"id": 4}',)])
def test_an_interface_gives_a_call_its_types(run, shop, arguments):
    result = run("call", "s", "double", *arguments, "--interface", "shop:Shop")
    assert (result.code, json.loads(result.out)) == (0, {"id": 8}), result.err
    wrong = run("call", "s", "double", '{"id": "x"}', "--interface", "shop.py:Shop")
    assert (wrong.code, "$.order.id" in wrong.err) == (1, True), wrong.err
    of_coroutines = run("call", "s", "double", *arguments, "--interface", "shop:Async")
    assert json.loads(of_coroutines.out) == {"id": 8}


@pytest.mark.parametrize(
    ("method", "interface", "said"),
    [
        ("other", "shop:Shop", "the interface Shop declares no other; it declares double, missing"),
        ("double", "shop:Nothing", "shop has no attribute 'Nothing'"),
        ("double", "shop", "'shop' is not an interface; write module:attribute"),
    ],
)
def test_an_interface_that_cannot_be_used_is_one_line(run, shop, method, interface, said):
    result = run("call", "s", method, '{"id": 1}', "--interface", interface)
    assert result.code == 2
    assert said in result.err
    assert result.err.count("\n") == 1


def test_protobuf_messages_are_read_and_printed_as_json(run, folder):
    message = "google.protobuf.struct_pb2"
    (folder / "greeter.py").write_text(
        f"from {message} import Struct\n"
        "class Greeter:\n"
        "    def greet(self, who: Struct) -> Struct:\n"
        "        return Struct(fields=who.fields)\n"
    )
    sys.path.insert(0, str(folder))
    import greeter

    config = {"name": "g", "address": "127.0.0.1:0", "codecs": ["protobuf"]}
    server = bee_core.build_server({"bee": {"rpc": {"server": config}}})
    server.add(greeter.Greeter())
    with server.in_thread():
        (folder / "bee.yml").write_text(
            f"bee: {{rpc: {{client: {{g: {{codec: protobuf, address: '{server.address}'}}}}}}}}"
        )
        result = run("call", "g", "greet", '{"name": "Ada"}', "--interface", "greeter:Greeter")
        assert (result.code, json.loads(result.out)) == (0, {"name": "Ada"}), result.err
        options = ("--interface", "greeter:Greeter", "--json")
        assert json.loads(run("call", "g", "greet", 'who={"a": 1}', *options).out)["value"] == {
            "a": 1
        }
