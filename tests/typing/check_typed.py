"""What type checkers must accept without a cast, with the types that they must see.

Checked by mypy --strict and pyright; never run.
"""

from __future__ import annotations

from collections.abc import Coroutine
from concurrent.futures import Future, as_completed
from typing import Any

from interfaces import (
    AsyncCalculator,
    AsyncCalculatorABC,
    AsyncCalculatorProtocol,
    AsyncRepo,
    Calculator,
    CalculatorABC,
    CalculatorProtocol,
    OutOfStock,
    Repo,
    Sales,
    Store,
    User,
    Users,
    UserStore,
    WithNested,
)
from typing_extensions import assert_type

import bee_core
from bee_core.interfaces import Status, status_of


def blocking(client: bee_core.Client) -> None:
    plain = client.service("calc", Calculator)
    assert_type(plain, Calculator)
    assert_type(plain.add(1, 2), int)
    assert_type(plain.name(), str)
    protocol = client.service("calc", CalculatorProtocol)
    assert_type(protocol, CalculatorProtocol)
    assert_type(protocol.add(a=1, b=2), int)
    abstract = client.service("calc", CalculatorABC)
    assert_type(abstract, CalculatorABC)
    assert_type(abstract.add(1), int)
    nested = client.service("calc", WithNested)
    assert_type(nested.Stats.mean([1.0]), float)
    annotated: CalculatorProtocol = client.service("calc", CalculatorProtocol)
    assert_type(annotated.add(1, 2), int)


def with_options_keeps_the_type(client: bee_core.Client) -> None:
    calc = client.service("calc", Calculator)
    assert_type(bee_core.with_options(calc, timeout=0.5), Calculator)
    assert_type(bee_core.with_options(calc, timeout=0.5).add(1, 2), int)
    assert_type(bee_core.with_options(calc.add, retries=0)(1, 2), int)
    every = bee_core.with_options(
        calc,
        timeout=1,
        connect_timeout=1.0,
        write_timeout=1.0,
        read_timeout=1.0,
        retries=1,
        idempotent=True,
        key="user-42",
        metadata={"tenant": "a"},
        baggage={"trace": "b"},
        oneway=False,
    )
    assert_type(every, Calculator)


def detailed_knows_the_value(client: bee_core.Client) -> None:
    calc = client.service("calc", CalculatorProtocol)
    reply = bee_core.detailed(calc.add, 1, b=2)
    assert_type(reply, bee_core.Reply[int])
    assert_type(reply.value, int)
    assert_type(reply.node, bee_core.Node | None)
    assert_type(reply.attempts, int)
    assert_type(reply.degraded, bool)
    assert_type(reply.seconds, float)


def a_future_knows_its_result(client: bee_core.Client) -> None:
    calc = client.service("calc", CalculatorProtocol)
    assert_type(bee_core.future(calc.add, 1, b=2), Future[int])
    assert_type(bee_core.future(calc.add, 1, 2).result(), int)
    assert_type(bee_core.future(bee_core.with_options(calc, timeout=1).add, 1, 2), Future[int])
    assert_type(
        [done.result() for done in as_completed([bee_core.future(calc.add, 1, 2)])], list[int]
    )
    assert_type(bee_core.future(client.service("calc").add, 1, 2), Future[Any])


async def asynchronous(client: bee_core.AsyncClient) -> None:
    plain = client.service("calc", AsyncCalculator)
    assert_type(plain, AsyncCalculator)
    assert_type(await plain.add(1, 2), int)
    assert_type(await client.service("calc", AsyncCalculatorProtocol).add(1, 2), int)
    assert_type(await client.service("calc", AsyncCalculatorABC).add(1, 2), int)
    assert_type(await bee_core.with_options(plain, timeout=0.5).add(1, 2), int)
    pending = assert_type(
        bee_core.detailed(plain.add, 1, 2), Coroutine[Any, Any, bee_core.Reply[int]]
    )
    assert_type((await pending).value, int)


def dynamic(client: bee_core.Client) -> None:
    calc = client.service("calc")
    assert_type(calc, bee_core.ServiceProxy)
    assert_type(calc.add(1, 2), Any)
    assert_type(calc.Stats.mean([1, 2]), Any)
    assert_type(calc.call("Stats.mean", [1, 2]), Any)
    assert_type(calc.with_options(timeout=0.5, key="k"), bee_core.ServiceProxy)
    assert_type(bee_core.with_options(calc, timeout=0.5), bee_core.ServiceProxy)
    assert_type(bee_core.detailed(calc.add, 1, 2), Any)


def builders() -> None:
    assert_type(bee_core.build_client("bee.yml"), bee_core.Client)
    assert_type(bee_core.build_async_client({"bee": {}}, plugins=[object()]), bee_core.AsyncClient)
    assert_type(bee_core.build_server("bee.yml"), bee_core.Server)
    with bee_core.build_client("bee.yml") as client:
        assert_type(client, bee_core.Client)


def handlers() -> None:
    @bee_core.nonblocking
    def quick(x: int) -> int:
        return x

    assert_type(quick(1), int)

    @bee_core.oneway
    def write(line: str) -> None: ...

    write("x")
    assert_type(bee_core.current_call(), bee_core.CurrentCall)
    assert_type(bee_core.current_call(None), bee_core.CurrentCall | None)


def a_mark_of_what_is_raised_keeps_the_type(client: bee_core.Client) -> None:
    sales = client.service("sales", Sales)
    assert_type(sales.sell(1), int)
    assert_type(bee_core.detailed(sales.sell, 1).value, int)

    @bee_core.raises(OutOfStock)
    def sell(sku: int) -> int:
        raise bee_core.ServiceError("OUT_OF_STOCK", "none", details={"sku": sku}, retry_after=1)

    assert_type(sell(1), int)


async def a_mark_of_what_is_raised_keeps_a_coroutine(client: bee_core.AsyncClient) -> None:
    assert_type(await client.service("sales", Sales).reserve(1), str)


def what_a_remote_error_has(error: bee_core.errors.RemoteError) -> None:
    assert_type(error.code, str)
    assert_type(error.details, Any)
    assert_type(error.retry_after, float | None)
    assert_type(status_of(error), Status)
    assert_type(bee_core.current_call().peer_identity, str | None)


def interfaces_of_protos_are_of_any_type(
    client: bee_core.Client, server: bee_core.Server, service: Any
) -> None:
    interface = bee_core.interface_of(service)
    assert_type(interface, type[Any])
    greeter = client.service("greeter", interface)
    greeter.SayHello(None)
    server.add(object(), interface=interface)


def generic_interfaces_have_their_types(client: bee_core.Client, server: bee_core.Server) -> None:
    users = client.service("users", Users)
    assert_type(users.get(1), User)
    assert_type(users.save(User(1)), int)
    assert_type(client.service("users", UserStore).first(), User)
    assert_type(client.service("users", Store[User]).first(), User)
    assert_type(bee_core.detailed(users.get, 1).value, User)
    annotated: Repo[User] = client.service("users", Repo[User])
    assert_type(annotated.get(1), User)
    server.add(UserStore())
    server.add(Store[User](), interface=Store[User])


async def generic_interfaces_of_asyncio_clients(client: bee_core.AsyncClient) -> None:
    assert_type(await client.service("users", AsyncRepo[User]).get(1), User)
