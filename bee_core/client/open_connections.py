"""Pings on connections that a client has open already, sent from its control plane's loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..contracts.channels import AsyncChannel, Channel
    from ..terms.failures import Failure

_GRACE = 0.5  # seconds that a ping may overrun its timeout, before it is given up from outside


async def ask_on_thread(channel: Channel, timeout: float) -> str | Failure | None:
    """Ping on an idle connection of a blocking channel.

    It occupies one of the control plane's threads for ``timeout`` seconds at most.

    Returns:
        The answer, or None where no connection is idle.
    """
    ask: Any = getattr(channel, "ping_open", None)
    if ask is None:
        return None
    answer: str | Failure | None = await asyncio.get_running_loop().run_in_executor(
        None, ask, timeout
    )
    return answer


async def ask_on_loop(
    loop: asyncio.AbstractEventLoop | None, channel: AsyncChannel, timeout: float
) -> str | Failure | None:
    """Ping on the open connection of a channel that belongs to another loop.

    Returns:
        The answer, or None where there is no connection, or its loop does not run.
    """
    ask: Any = getattr(channel, "ping_open", None)
    if ask is None or loop is None or not loop.is_running():
        return None
    answer: Future[str | Failure | None] = Future()
    tasks: list[asyncio.Task[Any]] = []  # asyncio holds them weakly

    def begin() -> None:
        # The coroutine is made here: a loop that stops just now would leave it unawaited.
        tasks.append(loop.create_task(ask(timeout)))
        tasks[0].add_done_callback(finish)

    def finish(task: asyncio.Task[Any]) -> None:
        failed = task.cancelled() or task.exception() is not None
        with suppress(InvalidStateError):  # nobody waits any more
            answer.set_result(None if failed else task.result())

    try:
        loop.call_soon_threadsafe(begin)
        return await asyncio.wait_for(asyncio.wrap_future(answer), timeout + _GRACE)
    except (RuntimeError, TimeoutError, asyncio.TimeoutError):  # the loop is closed, or busy
        return None
