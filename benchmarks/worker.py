"""The processes of a contender: ``python -m benchmarks.worker serve NAME``, ``call NAME PORT PID``.

A server prints its port. A caller reads loads as lines of JSON, and answers each with a line: what
was measured, or what went wrong. Both end when their input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from .contenders import CONTENDERS
from .loads import LOADS, closed_loop, connecting, open_loop
from .loads.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .contenders import Contender
    from .loads import Load


def in_loop(contender: Contender, main: Coroutine[Any, Any, None]) -> None:
    """Run on the loop that the contender's documentation recommends."""
    if contender.uvloop:
        import uvloop

        uvloop.run(main)
    else:
        asyncio.run(main)


def run_blocking(
    contender: Any, load: Load, port: int, order: dict[str, Any], meter: Meter
) -> None:
    """A load of threads."""
    seconds = order["seconds"]
    if load.shape == "connecting":
        connecting.run_blocking(lambda: contender.open(port, load.size, 1), seconds, meter)
        return
    with contender.open(port, load.size, load.callers) as calls:
        if load.shape == "open":
            open_loop.run_threads(calls, order["rate"], seconds, meter)
        else:
            closed_loop.run_threads(calls, seconds, meter)


async def run_async(
    contender: Any, load: Load, port: int, order: dict[str, Any], meter: Meter
) -> None:
    """A load of tasks."""
    seconds = order["seconds"]
    if load.shape == "connecting":
        await connecting.run_async(lambda: contender.open_async(port, load.size, 1), seconds, meter)
        return
    async with contender.open_async(port, load.size, load.callers) as calls:
        if load.shape == "open":
            await open_loop.run_tasks(calls, order["rate"], seconds, meter)
        else:
            await closed_loop.run_tasks(calls, seconds, meter)


def answer_loads(contender: Contender, port: int, server: int) -> None:
    """Answer the lines of the input."""
    for line in sys.stdin:
        order = json.loads(line)
        load = LOADS[order["load"]]
        meter = Meter(server)
        try:
            if load.kind == "blocking":
                run_blocking(contender, load, port, order, meter)
            else:
                in_loop(contender, run_async(contender, load, port, order, meter))
            result = meter.describe()
            if load.shape == "open":
                planned = open_loop.planned_calls(order["rate"], order["seconds"])
                result |= {"rate": round(order["rate"], 2), "planned": planned}
        except BaseException:
            result = {"error": traceback.format_exc()}
        print(json.dumps(result), flush=True)


def leave_with_parent() -> None:
    """End when the input ends."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """See the module."""
    role, name, *rest = sys.argv[1:]
    contender = CONTENDERS[name]
    if role == "serve":
        threading.Thread(target=leave_with_parent, daemon=True).start()
        contender.serve(lambda port: print(port, flush=True))
    else:
        answer_loads(contender, int(rest[0]), int(rest[1]))
        os._exit(0)  # threads of a library shall not keep this process


if __name__ == "__main__":
    main()
