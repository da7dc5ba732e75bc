"""The first step of an ``async def`` handler is a step of a task, also where it runs at once."""

from __future__ import annotations

import asyncio
import sys
import time
from contextvars import ContextVar

import pytest

import bee_core
from bee_core.errors import DeadlineExceeded, RemoteError
from support.patience import PATIENCE

VALUE: ContextVar[int] = ContextVar("value", default=0)
AT_ONCE = sys.version_info >= (3, 12)


class Steps:
    """Handlers that say what they see."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.cancelled = asyncio.Event()

    async def count(self) -> int:
        """Change a variable of the context: the next call must not see it."""
        VALUE.set(VALUE.get() + 1)
        return VALUE.get()

    async def task(self) -> bool:
        """Whether the task is the same before and after a wait, and there is one."""
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return before is not None and before is asyncio.current_task()

    async def children(self) -> list[int]:
        """What child tasks see of a variable that was set before."""
        VALUE.set(7)

        async def child() -> int:
            await asyncio.sleep(0)
            return VALUE.get()

        return await asyncio.gather(child(), child())

    async def method(self) -> str:
        """The current call, before and after a wait."""
        before = bee_core.current_call()
        await asyncio.sleep(0)
        return before.method if before is bee_core.current_call() else "another"

    async def bounded(self) -> str:
        """A bound of its own that begins in the first step."""
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except (TimeoutError, asyncio.TimeoutError):
            return "in time"
        return "never"

    async def hang(self) -> None:
        """Wait from the first step on."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def cancels_itself(self) -> str:
        """Cancel the own task: the next wait ends by it."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "cancelled"
        return "went on"

    async def raises(self) -> None:
        """Fail in the first step."""
        raise ValueError("at once")

    async def note(self, name: str) -> None:
        """Note two steps."""
        self.order.append(f"{name} begins")
        await asyncio.sleep(0)
        self.order.append(f"{name} ends")


def scenario(run, **server_options):
    """Run a coroutine with a proxy of a service and its object."""

    async def main():
        steps = Steps()
        said = {"name": "steps", "version": "1.0.0", "address": "127.0.0.1:0", **server_options}
        server = bee_core.build_server({"bee": {"rpc": {"server": said}}})
        server.add(steps)
        async with server:
            service = {"address": server.address, "timeout": PATIENCE}
            config = {"bee": {"rpc": {"client": {"steps": service}}}}
            async with bee_core.build_async_client(config) as client:
                return await run(client.service("steps"), steps)

    return asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_each_request_has_a_context_of_its_own():
    async def run(proxy, _):
        return await asyncio.gather(*(proxy.count() for _ in range(5)))

    assert scenario(run) == [1] * 5


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("task", True),
        ("children", [7, 7]),
        ("method", "method"),
        ("bounded", "in time"),
        ("cancels_itself", "cancelled"),
    ],
)
def test_the_first_step_is_one_of_a_task(method, expected):
    async def run(proxy, _):
        return await proxy.call(method)

    assert scenario(run) == expected


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout and task groups came then")
def test_timeouts_and_task_groups_work_in_the_first_step():
    class Modern:
        async def grouped(self) -> int:
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                children = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
            return sum(child.result() for child in children)

        async def late(self) -> str:
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.Event().wait()
            except TimeoutError:
                return "late"
            return "never"

    async def main():
        said = {"name": "modern", "version": "1.0.0", "address": "127.0.0.1:0"}
        server = bee_core.build_server({"bee": {"rpc": {"server": said}}})
        server.add(Modern())
        async with server:
            service = {"address": server.address, "timeout": PATIENCE}
            config = {"bee": {"rpc": {"client": {"modern": service}}}}
            async with bee_core.build_async_client(config) as client:
                proxy = client.service("modern")
                return await proxy.grouped(), await proxy.late()

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == (3, "late")


def test_a_deadline_ends_a_handler_that_waits_in_its_first_step():
    async def run(proxy, steps):
        with pytest.raises(DeadlineExceeded):
            await bee_core.with_options(proxy, timeout=0.05, retries=0).hang()
        await steps.cancelled.wait()

    scenario(run)


def test_an_exception_of_the_first_step_is_the_callers():
    async def run(proxy, _):
        with pytest.raises(RemoteError, match="at once") as caught:
            await proxy.raises()
        return caught.value.executed

    assert scenario(run) == "yes"


def test_first_steps_run_in_the_order_of_the_requests():
    async def run(proxy, steps):
        await proxy.count()  # connects, so that the two leave together
        await asyncio.gather(proxy.note("a"), proxy.note("b"))
        return steps.order

    assert scenario(run) == ["a begins", "b begins", "a ends", "b ends"]


def test_a_task_factory_decides_when_a_task_begins():
    made = []

    async def run(proxy, _):
        def factory(loop, coroutine, **options):
            made.append(coroutine)
            return asyncio.Task(coroutine, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(factory)
        try:
            return await proxy.count()
        finally:
            asyncio.get_running_loop().set_task_factory(None)

    assert scenario(run) == 1
    assert any("_run_as_task" in coroutine.__qualname__ for coroutine in made)


def test_a_handler_that_is_over_in_its_first_step_leaves_no_task():
    seen = []

    class Looks:
        async def look(self) -> bool:
            seen.append(asyncio.current_task())
            return True

    async def main():
        said = {"name": "looks", "version": "1.0.0", "address": "127.0.0.1:0"}
        server = bee_core.build_server({"bee": {"rpc": {"server": said}}})
        server.add(Looks())
        async with server:
            config = {"bee": {"rpc": {"client": {"looks": {"address": server.address}}}}}
            async with bee_core.build_async_client(config) as client:
                await client.service("looks").look()
                return seen[0] in asyncio.all_tasks()

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) is False
    assert len(seen) == 1


@pytest.mark.skipif(not AT_ONCE, reason="here first steps wait for the next turn of the loop")
def test_a_request_waits_for_those_before_it_at_its_own_expense():
    # Both come in one chunk. The first one holds the loop for longer than the second one has.
    ran = []

    class Blocks:
        async def block(self, until: float) -> None:
            while time.monotonic() < until:
                pass

        async def quick(self, name: str) -> None:
            ran.append(name)

    async def main():
        said = {"name": "blocks", "version": "1.0.0", "address": "127.0.0.1:0"}
        server = bee_core.build_server({"bee": {"rpc": {"server": said}}})
        server.add(Blocks())
        async with server:
            config = {"bee": {"rpc": {"client": {"blocks": {"address": server.address}}}}}
            async with bee_core.build_async_client(config) as client:
                proxy = client.service("blocks")
                hasty = proxy.with_options(timeout=0.1, retries=0)
                await proxy.quick("alone")
                until = time.monotonic() + 0.2
                return await asyncio.gather(
                    proxy.block(until), hasty.quick("behind"), return_exceptions=True
                )

    done, late = asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert done is None
    assert isinstance(late, DeadlineExceeded)
    assert ran == ["alone"]
