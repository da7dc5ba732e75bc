"""What `bee stub` writes has the types of the interface that it was made of.

Checked by mypy --strict and pyright; never run. ``twins.py``, ``greeter_service.py`` and
``greeter_asyncio.py`` are its output.
"""

from __future__ import annotations

from greeter_asyncio import AsyncGreeter
from greeter_service import Greeter
from interfaces import User
from twins import (
    AsyncCalculator,
    AsyncRepo,
    AsyncUserStore,
    AsyncWarehouse,
    AsyncWithNested,
    CalculatorABC,
)
from typing_extensions import assert_type

import bee_core
from greeter_pb2 import HelloReply, HelloRequest


async def asyncio_twins(client: bee_core.AsyncClient) -> None:
    calc = client.service("calc", AsyncCalculator)
    assert_type(await calc.add(1, b=2), int)
    assert_type(await calc.name(), str)
    nested = client.service("calc", AsyncWithNested)
    assert_type(await nested.Stats.mean([1.0]), float)
    users = client.service("users", AsyncRepo[User])
    assert_type(await users.get(1), User)
    assert_type(await client.service("users", AsyncUserStore).first(), User)
    warehouse = client.service("warehouse", AsyncWarehouse)
    moved = await warehouse.move(User(1), {"a": [1.0]}, 2, 3, limit=4, note="x")
    assert_type(moved, tuple[User, ...])


def blocking_twins(client: bee_core.Client) -> None:
    assert_type(client.service("calc", CalculatorABC).add(1, 2), int)


def a_service_of_a_proto(client: bee_core.Client) -> None:
    greeter = client.service("greeter", Greeter)
    assert_type(greeter.SayHello(HelloRequest(name="Ada")), HelloReply)


async def a_service_of_a_proto_on_a_loop(client: bee_core.AsyncClient) -> None:
    greeter = client.service("greeter", AsyncGreeter)
    assert_type(await greeter.SayHello(HelloRequest(name="Ada")), HelloReply)


class Handler:
    """A class that does what a twin declares is one."""

    async def add(self, a: int, b: int) -> int:
        return a + b

    @bee_core.idempotent
    async def name(self) -> str:
        return "calc"


twin: AsyncCalculator = Handler()
