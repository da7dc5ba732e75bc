"""An asyncio client: many calls at a time on one connection."""

from __future__ import annotations

import asyncio

import bee_core


async def main() -> None:
    """Ask for a hundred sums at once."""
    async with bee_core.build_async_client("bee.yml") as client:
        calc = client.service("calc")
        sums = await asyncio.gather(*(calc.add(n, n) for n in range(100)))
        print("a hundred sums:", sum(sums))


asyncio.run(main())
