"""Errors that a handler means, from the handler to the caller: codecs, handlers, clients, hops."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from itertools import count
from typing import Any, Protocol

import pytest

import bee_core
from bee_core.errors import RemoteError
from bee_core.server.meant_errors import MAX_DETAILS
from methods.test_declared_errors import MADE, OutOfStock
from support.plugin_objects import offering

CODECS = ("json", "msgpack", "protobuf")
CLASSES = tuple({type(error): None for error in MADE})
NUMBERS = count(1)


class Undeclared(OutOfStock):
    """A subclass that no method declares."""


class Unset(Exception):
    sku: int


class Api(Protocol):
    @bee_core.raises(*CLASSES)
    def sell(self, number: int) -> int: ...

    @bee_core.raises(*CLASSES)
    async def sell_async(self, number: int) -> int: ...

    @bee_core.raises(*CLASSES)
    def sell_here(self, number: int) -> int: ...

    @bee_core.raises(OutOfStock, Unset)
    def odd(self, kind: str) -> None: ...

    def meant(self, size: int) -> None: ...

    def unfit(self) -> None: ...

    def bare(self) -> None: ...


class Sales:
    def sell(self, number: int) -> int:
        raise MADE[number]

    async def sell_async(self, number: int) -> int:
        raise MADE[number]

    @bee_core.nonblocking
    def sell_here(self, number: int) -> int:
        raise MADE[number]

    def odd(self, kind: str) -> None:
        if kind == "subclass":
            raise Undeclared(1, 2)
        if kind == "unset":
            raise Unset("no field was set")
        if kind == "misfit":
            raise OutOfStock("a text", 2)
        raise type("OutOfStock", (Exception,), {})("another class of this name")

    def meant(self, size: int) -> None:
        details = {"text": "x" * size, "list": [1, None, 2.5]}
        raise bee_core.ServiceError("NOT_FOUND", "none", details=details, retry_after=1.5)

    def unfit(self) -> None:
        raise bee_core.ServiceError("ODD", "none", details={"an": object()})

    def bare(self) -> None:
        raise bee_core.ServiceError("ODD", "none")


@contextlib.contextmanager
def serving(target, interface=None, **settings):
    address = f"memory://meant-{next(NUMBERS)}"
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "sales", "address": address, **settings}}}}
    )
    server.add(target, interface=interface)
    with server.in_thread():
        yield address


def client_of(address, codec="json", **settings):
    section = {"address": address, "codec": codec, "retries": 2, **settings}
    return {"bee": {"rpc": {"client": {"sales": section}}}}


@pytest.fixture(scope="module")
def address():
    with serving(Sales(), Api, codecs=list(CODECS)) as url:
        yield url


def raised_by(call, *args):
    with pytest.raises(Exception) as caught:
        call(*args)
    return caught.value


def assert_same(error, original):
    assert type(error) is type(original)
    assert str(error) == str(original)
    assert {**vars(error), "why": None} == {**vars(original), "why": None}
    assert isinstance(error.__cause__, RemoteError)
    assert error.__cause__.executed == "yes"


@pytest.mark.parametrize("codec", CODECS)
def test_a_declared_exception_reaches_a_typed_caller_as_itself(address, codec):
    with bee_core.build_client(client_of(address, codec)) as client:
        sales = client.service("sales", Api)
        for number, original in enumerate(MADE):
            error = raised_by(sales.sell, number)
            assert_same(error, original)
            assert error.__cause__.node.url == address
            assert error.__cause__.attempts == 1


@pytest.mark.parametrize("method", ["sell", "sell_async", "sell_here"])
def test_it_does_so_from_every_kind_of_handler(address, method):
    with bee_core.build_client(client_of(address)) as client:
        error = raised_by(getattr(client.service("sales", Api), method), 0)
        assert_same(error, MADE[0])


def test_it_does_so_to_an_asyncio_client_and_to_a_future(address):
    async def call():
        async with bee_core.build_async_client(client_of(address)) as client:
            await client.service("sales", Api).sell_async(0)

    assert_same(raised_by(asyncio.run, call()), MADE[0])
    with bee_core.build_client(client_of(address)) as client:
        sales = client.service("sales", Api)
        assert_same(bee_core.future(sales.sell, 0).exception(5), MADE[0])
        assert_same(raised_by(bee_core.detailed, sales.sell, 0), MADE[0])


@pytest.mark.parametrize("codec", CODECS)
def test_a_dynamic_caller_gets_type_code_and_fields(address, codec, caplog):
    with bee_core.build_client(client_of(address, codec)) as client:
        error = raised_by(client.service("sales").sell, 0)
    assert type(error) is RemoteError
    assert (error.type, error.code, error.details) == (
        "OutOfStock",
        "OUT_OF_STOCK",
        {"sku": 7, "left": 1.5},
    )
    assert error.message == "only 1.5 of 7"
    assert "the handler raised OutOfStock (OUT_OF_STOCK): only 1.5 of 7" in str(error)
    assert caplog.records == [], "nobody is told of an error that was meant"
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.details) == (error.code, error.details)


@pytest.mark.parametrize("codec", CODECS)
def test_a_service_error_brings_its_code_details_and_time(address, codec, caplog):
    with bee_core.build_client(client_of(address, codec)) as client:
        error = raised_by(client.service("sales").meant, 3)
        without = raised_by(client.service("sales", Api).bare)
    assert type(error) is RemoteError
    assert (error.type, error.code, error.executed) == ("ServiceError", "NOT_FOUND", "yes")
    assert error.details == {"text": "xxx", "list": [1, None, 2.5]}
    assert error.retry_after == 1.5
    assert error.message == "none"
    assert error.attempts == 1
    assert (without.code, without.details, without.retry_after) == ("ODD", None, None)
    assert caplog.records == []


def test_details_that_are_too_large_are_left_out_and_said(address):
    with bee_core.build_client(client_of(address)) as client:
        error = raised_by(client.service("sales").meant, MAX_DETAILS)
    assert (error.code, error.details, error.retry_after) == ("NOT_FOUND", None, 1.5)
    assert error.message.startswith("none (without its details: they have 65")


@pytest.mark.parametrize("codec", CODECS)
def test_details_that_cannot_be_encoded_are_left_out_and_said_on_both_sides(codec, caplog):
    with (
        serving(Sales(), codecs=[codec]) as url,
        bee_core.build_client(client_of(url, codec)) as client,
    ):
        error = raised_by(client.service("sales").unfit)
    assert (error.code, error.details) == ("ODD", None)
    assert error.message.startswith("none (without its details: ")
    assert [record.bee_event for record in caplog.records] == ["handler_failed"]


def test_a_subclass_that_is_not_declared_arrives_as_the_nearest_class_that_is(address):
    with bee_core.build_client(client_of(address)) as client:
        error = raised_by(client.service("sales", Api).odd, "subclass")
    assert type(error) is OutOfStock
    assert (error.sku, error.left) == (1, 2)


@pytest.mark.parametrize("kind", ["unset", "misfit"])
def test_an_exception_whose_fields_cannot_be_encoded_is_a_remote_error_that_says_so(
    address, kind, caplog
):
    with bee_core.build_client(client_of(address)) as client:
        error = raised_by(client.service("sales", Api).odd, kind)
    assert type(error) is RemoteError
    assert error.code in {"OUT_OF_STOCK", "Unset"}
    assert "(without its details: " in error.message
    assert [record.bee_event for record in caplog.records] == ["handler_failed"]


def test_an_exception_that_nobody_meant_is_none_of_the_declared_ones(address, caplog):
    with bee_core.build_client(client_of(address)) as client:
        error = raised_by(client.service("sales", Api).odd, "other")
    assert type(error) is RemoteError
    assert (error.type, error.code, error.details) == ("OutOfStock", "", None)
    assert len(caplog.records) == 1


class Strict(Protocol):
    """What another version of the client declares under the same names."""

    @bee_core.raises(type("OutOfStock", (Exception,), {"__annotations__": {"sku": list[int]}}))
    def sell(self, number: int) -> int: ...


class Picky(Exception):
    sku: int

    def __init__(self, sku: int) -> None:
        raise ZeroDivisionError("no")


Picky.__name__ = "OutOfStock"


class Raising(Protocol):
    @bee_core.raises(Picky)
    def sell(self, number: int) -> int: ...


@pytest.mark.parametrize(("interface", "says"), [(Strict, "sku"), (Raising, "ZeroDivisionError")])
def test_what_cannot_be_made_at_the_client_is_a_remote_error_that_says_so(address, interface, says):
    with bee_core.build_client(client_of(address)) as client:
        error = raised_by(client.service("sales", interface).sell, 0)
    assert type(error) is RemoteError
    assert "no OutOfStock can be made of it" in error.message
    assert says in error.message
    assert error.details == {"sku": 7, "left": 1.5}


def test_a_field_that_a_codec_cannot_carry_is_an_error_at_build(address):
    class Odd(Exception):
        what: type(Ellipsis)

    class OddApi(Protocol):
        @bee_core.raises(Odd)
        def sell(self) -> None: ...

    with (
        bee_core.build_client(client_of(address)) as client,
        pytest.raises(TypeError, match="sell raises Odd"),
    ):
        client.service("sales", OddApi)


class Hop:
    """Lets what its own call raises pass."""

    def __init__(self, sales: Any) -> None:
        self._sales = sales

    @bee_core.raises(*CLASSES)
    def sell(self, number: int) -> int:
        return self._sales.sell(number)

    def undeclared(self, number: int) -> int:
        return self._sales.sell(number)

    def meant(self, size: int) -> None:
        self._sales.meant(size)


@pytest.mark.parametrize("codec", CODECS)
def test_an_exception_passes_two_hops_unchanged_where_each_declares_it(address, codec):
    with contextlib.ExitStack() as stack:
        inner = stack.enter_context(bee_core.build_client(client_of(address, codec)))
        hop = Hop(inner.service("sales", Api))
        outer = stack.enter_context(serving(hop, codecs=[codec]))
        client = stack.enter_context(bee_core.build_client(client_of(outer, codec)))
        sales = client.service("sales", Api)
        for number, original in enumerate(MADE):
            error = raised_by(sales.sell, number)
            assert_same(error, original)
            assert error.__cause__.node.url == outer
        error = raised_by(client.service("sales").undeclared, 0)
        assert (error.type, error.code) == ("OutOfStock", "")
        error = raised_by(client.service("sales").meant, 1)
        assert (error.type, error.code) == ("RemoteError", ""), "the code was another service's"


def test_nothing_of_it_counts_against_the_node(address):
    breaker = {"name": "consecutive", "options": {"max_error_count": 1}}
    with bee_core.build_client(client_of(address, breaker=breaker)) as client:
        sales = client.service("sales", Api)
        for _ in range(5):
            assert raised_by(sales.meant, 1).code == "NOT_FOUND"
            assert type(raised_by(sales.sell, 0)) is OutOfStock


def test_a_fallback_that_is_asked_to_answers_and_sees_the_details(address):
    seen = []

    def answer(service, method, args, kwargs, error):
        seen.append((error.code, error.details))
        return -1

    class Fallback:
        def answer(self, *asked):
            return answer(*asked)

    with bee_core.build_client(
        client_of(address, fallback="own"), plugins=[offering("fallback", "own", Fallback)]
    ) as client:
        assert client.service("sales", Api).sell(0) == -1
    assert seen == [("OUT_OF_STOCK", {"sku": 7, "left": 1.5})]


def test_an_oneway_call_that_meets_such_an_error_is_a_line_of_the_log(caplog):
    class Noisy:
        def meant(self) -> None:
            raise bee_core.ServiceError("ODD", "nobody hears")

    with serving(Noisy()) as url, bee_core.build_client(client_of(url)) as client:
        client.service("sales").with_options(oneway=True).meant()
    assert [record.bee_event for record in caplog.records] == ["oneway_failed"]
    assert caplog.records[0].levelname == "WARNING"
