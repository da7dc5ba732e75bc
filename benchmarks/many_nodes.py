"""What a long list of nodes costs callers: ``python -m benchmarks.many_nodes [--nodes N]``.

The blocking and the asyncio client call one server without a pause, while the registry hands over
lists of thousands of nodes: whole ones, and single changes. The longest call beside the longest of
a quiet time is the pause that callers see. All nodes fit. Those that do not exist have weight 0, so
that no call goes there.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import threading
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import bee_core
from bee_core.terms.node import Changes, Node, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

WINDOW = 2.0
BETWEEN = 0.1


class Lists:
    """A registry whose lists the benchmark makes. Its own plugin."""

    def __init__(self, real: str, count: int) -> None:
        self._nodes = {"real": Node("real", real, "1.0.0")}
        self._nodes |= {f"n{number}": self._ghost(number) for number in range(count - 1)}
        self._numbers = itertools.count(count)
        self._revisions = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[Snapshot] = asyncio.Queue()
        self._last = 0

    @staticmethod
    def _ghost(number: int) -> Node:
        return Node(
            f"n{number}",
            f"tcp://127.{1 + (number >> 16 & 63)}.{number >> 8 & 255}.{number & 255}:9",
            "1.0.0",
            weight=0.0,
        )

    @bee_core.hookimpl
    def bee_register_registries(self, registry: Any) -> None:
        registry.add("lists", lambda _: self)

    def known(self, service: str, addresses: tuple[Node, ...]) -> None:
        return None

    async def register(self, instance: Any) -> Any:
        raise bee_core.errors.RegistryError("this registry only lists nodes")

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        self._loop = asyncio.get_running_loop()
        self._last = next(self._revisions)
        yield Snapshot(self._last, "registry", tuple(self._nodes.values()))
        while True:
            yield await self._queue.get()

    async def close(self) -> None:
        return None

    def change(self, *, whole: bool) -> None:
        """One node goes and another comes."""
        new = self._ghost(next(self._numbers))
        old = next(name for name in self._nodes if name != "real")
        del self._nodes[old]
        self._nodes[new.id] = new
        changes = None if whole else Changes(self._last, (new,), frozenset({old}))
        self._last = next(self._revisions)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(
            self._queue.put_nowait,
            Snapshot(self._last, "registry", tuple(self._nodes.values()), changes),
        )


class Echo:
    @bee_core.nonblocking
    def echo(self, value: int) -> int:
        return value


def config(service: dict[str, Any]) -> dict[str, Any]:
    return {
        "bee": {
            "rpc": {
                "registry": {"protocol": "lists"},
                "client": {"echo": {"version": "^1", "breaker": "consecutive", **service}},
            }
        }
    }


def changing(lists: Lists, whole: bool | None) -> Iterator[threading.Thread]:
    """Changes the list now and then in a window of time."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(BETWEEN):
            if whole is not None:
                lists.change(whole=whole)

    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    stop.set()
    thread.join()


def report(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    print(
        f"{name:<34} {median(ordered) * 1e6:8.0f} µs"
        f"  p99 {ordered[int(0.99 * len(ordered))] * 1e6:8.0f} µs"
        f"  longest {ordered[-1] * 1e3:7.2f} ms  {len(ordered):7} calls"
    )


CASES: list[tuple[str, bool | None]] = [
    ("quiet", None),
    ("a whole list each 0.1 s", True),
    ("a change each 0.1 s", False),
]


def blocking(url: str, count: int) -> None:
    lists = Lists(url, count)
    with bee_core.build_client(config({}), plugins=[lists]) as client:
        echo = client.service("echo")
        echo.echo(1)
        for name, whole in CASES:
            took = []
            for _ in changing(lists, whole):
                until = time.perf_counter() + WINDOW
                while (began := time.perf_counter()) < until:
                    echo.echo(1)
                    took.append(time.perf_counter() - began)
            report(f"blocking, {name}", took)


async def on_a_loop(url: str, count: int) -> None:
    lists = Lists(url, count)
    async with bee_core.build_async_client(config({}), plugins=[lists]) as client:
        echo = client.service("echo")
        await echo.echo(1)
        for name, whole in CASES:
            took = []
            for _ in changing(lists, whole):
                until = time.perf_counter() + WINDOW
                while (began := time.perf_counter()) < until:
                    await echo.echo(1)
                    took.append(time.perf_counter() - began)
            report(f"asyncio, {name}", took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    count = parser.parse_args().nodes
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "echo", "version": "1.0.0"}}}}
    )
    server.add(Echo())
    with server.in_thread():
        print(f"{count} nodes")
        blocking(server.address, count)
        asyncio.run(on_a_loop(server.address, count))


if __name__ == "__main__":
    main()
