"""What tests of the registry ``consul`` share.

Registries, watches that begin again like a client's, and requests by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import threading
import urllib.request

from bee_core.control.registration import Registration
from bee_core.interfaces import Instance, RegistrySettings
from bee_plugins.registries.consul.registry import ConsulOptions, ConsulRegistry
from support.patience import scaled

BOUND = scaled(30.0)
"""Seconds after which something has failed: many times what an agent takes to elect itself."""


def registry_at(*addresses, heartbeat=0.5, **options):
    return ConsulRegistry(RegistrySettings(addresses, heartbeat), ConsulOptions(**options))


def run(scenario):
    """Run a scenario; it leaves no task and no thread."""

    async def whole():
        await asyncio.wait_for(scenario(), BOUND)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    threads = threading.active_count()
    asyncio.run(whole())
    gc.collect()
    assert threading.active_count() == threads


def ask(server, path, body=None, method=None, token=None):
    """A request as anybody else would make it."""
    return ask_with_index(server, path, body, method, token)[1]


def ask_with_index(server, path, body=None, method=None, token=None):
    """The same; gives the index as well."""
    data = None if body is None else json.dumps(body).encode()
    headers = {} if token is None else {"X-Consul-Token": token}
    request = urllib.request.Request(
        f"http://{server.address}{path}",
        data,
        headers,
        method=method or ("GET" if body is None else "PUT"),
    )
    with urllib.request.urlopen(request, timeout=5 if "wait=" not in path else 90) as answer:
        said = answer.read()
        return int(answer.headers.get("X-Consul-Index") or 0), json.loads(
            said
        ) if said.strip() else None


def register_by_hand(server, service, **fields):
    """What a program that knows nothing of bee does. Without a check it always passes."""
    ask(server, "/v1/agent/service/register", {"Name": service, **fields})


class Follower:
    """A watch that is begun again whenever it fails, as a client does.

    Attributes:
        seen: All snapshots, of all its watches, each once.
        confirmed: When a watch has said that its last snapshot still holds, in the loop's time.
        errors: What ended watches.
    """

    def __init__(self, registry, service):
        self.seen, self.confirmed, self.errors = [], [], []
        self._registry, self._service = registry, service
        self._news = asyncio.Condition()
        self._task = asyncio.ensure_future(self._follow())

    async def _follow(self):
        while True:
            watch = self._registry.watch(self._service)
            try:
                async for snapshot in watch:
                    if self.seen and snapshot is self.seen[-1]:
                        self.confirmed.append(asyncio.get_running_loop().time())
                    else:
                        self.seen.append(snapshot)
                    async with self._news:
                        self._news.notify_all()
            except Exception as error:
                self.errors.append(error)
                async with self._news:
                    self._news.notify_all()
            finally:
                await watch.aclose()
            await asyncio.sleep(0.1)  # the pause of a client, in short

    async def until(self, wanted, bound=BOUND):
        """Wait until something is true of this."""

        async def wait():
            async with self._news:
                await self._news.wait_for(lambda: wanted(self))

        await asyncio.wait_for(wait(), bound)

    async def until_ids(self, *ids, bound=BOUND):
        """Wait until the last snapshot has exactly these nodes."""
        await self.until(
            lambda self: (
                bool(self.seen) and sorted(node.id for node in self.seen[-1].nodes) == sorted(ids)
            ),
            bound,
        )

    async def until_error(self, bound=BOUND):
        """Wait for the next error."""
        count = len(self.errors)
        await self.until(lambda self: len(self.errors) > count, bound)
        return self.errors[count]

    async def close(self):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@contextlib.asynccontextmanager
async def following(registry, service="calc"):
    follower = Follower(registry, service)
    try:
        yield follower
    finally:
        await follower.close()
        await registry.close()


class Events(list):
    """Names of what has happened to a registration."""

    def __init__(self):
        super().__init__()
        self._more = asyncio.Event()

    def report(self, event):
        self.append(event.name)
        self._more.set()

    async def until(self, *names):
        """Wait until one of them has happened."""

        async def wait():
            while not set(names) & set(self):
                self._more.clear()
                await self._more.wait()

        await asyncio.wait_for(wait(), BOUND)


@contextlib.asynccontextmanager
async def kept(registry, node, service="calc", heartbeat=0.5):
    """A server's registration as a server keeps it."""
    events = Events()
    ticks = itertools.count()
    registration = Registration(
        registry, Instance(service, node), heartbeat, lambda: next(ticks), events.report
    )
    task = asyncio.ensure_future(registration.keep())
    try:
        yield events
    finally:
        await registration.leave(2.0)
        task.cancel()
        await asyncio.wait((task,))
        await registry.close()
