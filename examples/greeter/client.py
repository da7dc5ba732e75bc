"""A blocking and an asyncio client, with one interface."""

from __future__ import annotations

import asyncio

import bee_core
from greeter_pb2 import CHEERFUL, DESCRIPTOR, CountRequest, HelloRequest

Greeter = bee_core.interface_of(DESCRIPTOR.services_by_name["Greeter"])

with bee_core.build_client("bee.yml") as client:
    greeter = client.service("greeter", Greeter)
    print(greeter.SayHello(HelloRequest(name="Ada", mood=CHEERFUL)).text)
    try:
        greeter.SayHello("Ada")
    except bee_core.errors.InvalidArgument as error:
        print("refused before anything was sent:", error.message)


async def main() -> None:
    """Count words."""
    async with bee_core.build_async_client("bee.yml") as client:
        greeter = client.service("greeter", Greeter)
        reply = await greeter.Count(CountRequest(words=["tea", "rum", "tea"]))
        print(*(f"{word}: {times}" for word, times in sorted(reply.times.items())), sep=", ")


asyncio.run(main())
