"""How the task of an ``async def`` handler begins.

From Python 3.12 on its first step runs at once (``eager_start``), in the task and its context, with
``current_task()``, ``asyncio.timeout`` and task groups as ever. Most handlers that wait for nothing
are over by then, and the loop never hears of them. See ``docs/decisions/eager-first-step.md``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context

    Steps = Coroutine[Any, Any, None]

if sys.version_info >= (3, 12):

    def begin_task(
        loop: asyncio.AbstractEventLoop, steps: Steps, context: Context
    ) -> asyncio.Task[None]:
        """Run a coroutine as a task in a context that nobody else enters. On the loop's thread.

        It may be done when this returns. A loop with a task factory of its own makes the task, and
        decides when it begins.
        """
        if loop.get_task_factory() is None:
            return asyncio.Task(steps, loop=loop, context=context, eager_start=True)
        return loop.create_task(steps, context=context)

else:

    def begin_task(
        loop: asyncio.AbstractEventLoop, steps: Steps, context: Context
    ) -> asyncio.Task[None]:
        """Run a coroutine as a task in a copy of a context. On the loop's thread."""
        return context.run(loop.create_task, steps)
