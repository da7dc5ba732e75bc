"""Loads: how many callers call how, and what is taken down.

A load runs in the process of a contender's callers. ``closed_loop`` calls again as soon as the
answer is there. ``open_loop`` calls at a constant rate, whatever the server does, and takes each
latency from the *planned* start of the call, so that a stall shows in all calls that it delays.
``connecting`` makes a new client for each call.
"""

from __future__ import annotations

from typing import Literal

import attrs

from ..payloads import RECORD_SIZE

Kind = Literal["blocking", "asyncio"]
Shape = Literal["closed", "open", "connecting"]


@attrs.frozen
class Load:
    """What the callers do.

    Attributes:
        name: What the command line and the result file call it.
        title: What tables call it.
        kind: Threads, or tasks on one event loop.
        callers: How many of them.
        size: Bytes of the payload; ``RECORD_SIZE`` means the record.
        shape: See the module.
        share: Of an open loop: the rate as a share of the contender's own capacity, which is the
            median throughput of the closed loop ``capacity``.
        capacity: The name of that closed loop.
    """

    name: str
    title: str
    kind: Kind
    callers: int
    size: int = RECORD_SIZE
    shape: Shape = "closed"
    share: float | None = None
    capacity: str | None = None


THREADS = (2, 4, 8, 16, 32, 64)
IN_FLIGHT = (1, 64, 256)
SHARES = (0.5, 0.8)

LOADS: dict[str, Load] = {
    load.name: load
    for load in (
        Load("one", "one caller", "blocking", 1),
        *(Load(f"threads-{count}", f"{count} threads", "blocking", count) for count in THREADS),
        *(
            Load(f"asyncio-{count}", f"asyncio, {count} in flight", "asyncio", count)
            for count in IN_FLIGHT
        ),
        Load("one-10kB", "one caller, 10 kB", "blocking", 1, 10_000),
        Load("one-1MB", "one caller, 1 MB", "blocking", 1, 1_000_000),
        Load("asyncio-64-10kB", "asyncio, 64 in flight, 10 kB", "asyncio", 64, 10_000),
        Load("asyncio-8-1MB", "asyncio, 8 in flight, 1 MB", "asyncio", 8, 1_000_000),
        Load("connect", "a new client for each call", "blocking", 1, shape="connecting"),
        Load("connect-asyncio", "the same on asyncio", "asyncio", 1, shape="connecting"),
        *(
            Load(
                f"open-{capacity}-{share:.0%}".rstrip("%"),
                f"{'threads' if kind == 'blocking' else 'asyncio'} at {share:.0%} of capacity",
                kind,
                callers,
                shape="open",
                share=share,
                capacity=capacity,
            )
            for kind, capacity, callers in (
                ("blocking", "threads-16", 16),
                ("asyncio", "asyncio-64", 64),
            )
            for share in SHARES
        ),
    )
}

__all__ = ["LOADS", "Load"]
