"""Writes under random kills, from both clients, and whether what was said of each of them is true.

:func:`run` makes the writes of one case. They come in rounds: while the writes of a round are made,
something happens to a server, and it serves again before the next round begins.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs

import bee_core
from bee_core.errors import CallError
from cluster.servers import client_config
from cluster.writes_fleet import NODES, Fleet
from faults.users import AsyncUser, BlockingUser
from support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

METHODS = ("write", "write_async", "write_here")
WRITERS = 4
"""Threads of the blocking client, and as many tasks of the asyncio client."""
BACK_OFF = 0.002
"""Seconds that a writer waits after an error. Refusals come at once, and would be most of the run."""
COMMON = {
    "idempotent": False,
    "timeout": 10,
    "connect_timeout": 2,
    "read_timeout": 0.5,
}


@attrs.frozen(kw_only=True)
class Case:
    """A plugin, and what its run is made of.

    The defaults of a run stand in :data:`COMMON`.

    Attributes:
        client: Settings of the service.
        server: Settings of each server.
        each: More settings, of each server in turn.
        everywhere: Whether a write goes to every node.
        alike: Whether all writes have the same arguments, and their ids beside them.
        levels: How important the writes are, in turn.
        shows: Whether the figures show the plugin at work, where that does not depend on the speed
            of the machine.
    """

    client: Mapping[str, Any] = attrs.field(factory=dict)
    server: Mapping[str, Any] = attrs.field(factory=dict)
    each: tuple[Mapping[str, Any], ...] = ({},) * NODES
    everywhere: bool = False
    alike: bool = False
    levels: tuple[str, ...] = ()
    shows: Callable[[Figures], bool] = lambda _: True


@attrs.frozen
class Ended:
    """How a write ended.

    Attributes:
        answers: ``key@server`` of each server that answered.
        degraded: Whether a fallback answered.
        attempts: How many there were.
        error: What was raised.
    """

    answers: tuple[str, ...]
    degraded: bool
    attempts: int
    error: CallError | None = None

    @property
    def said(self) -> str:
        """``ok``, ``degraded``, or the ``executed`` of the error."""
        if self.error is not None:
            return self.error.executed
        return "degraded" if self.degraded else "ok"


@attrs.frozen(kw_only=True)
class Figures:
    """What a run has found.

    Attributes:
        writes: How many there were.
        troubles: How often what was done to a server.
        said: How many ended with an answer (``ok``), with a fallback's (``degraded``), or with an
            error of this ``executed``.
        maybe_ran: How many of the ``maybe`` have run.
        again: How many took more than one attempt.
        errors: The errors.
        untrue: What was said and is not so, or happened and must not. Empty if all is well.
    """

    writes: int
    troubles: Mapping[str, int]
    said: Mapping[str, int]
    maybe_ran: int
    again: int
    errors: tuple[CallError, ...]
    untrue: tuple[str, ...]

    def tell(self, text: str) -> int:
        """How many errors say this."""
        return sum(text in str(error) for error in self.errors)


class Writers:
    """Both clients, and how each of their writes ended.

    Args:
        config: Of the clients.
        case: What they write.
    """

    def __init__(self, config: dict[str, Any], case: Case) -> None:
        self.users = (BlockingUser(config), AsyncUser(config))
        self.ended: dict[str, Ended] = {}
        self._case = case
        self._news = threading.Condition()
        self._threads = ThreadPoolExecutor(WRITERS)

    def begin(self, numbers: range) -> list[Any]:
        """Begin with these writes; futures, of which each ends with its writer."""
        left = iter(numbers)  # each number is for one of them
        blocking, looping = self.users
        threads = [
            self._threads.submit(self._on_thread, blocking.client, left) for _ in range(WRITERS)
        ]
        tasks = [
            asyncio.run_coroutine_threadsafe(self._as_task(looping.client, left), looping.loop)
            for _ in range(WRITERS)
        ]
        return [*threads, *tasks]

    def await_ended(self, count: int) -> None:
        """Wait until so many writes have ended in all."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.ended) >= count, 4 * PATIENCE), (
                "the writers stand still"
            )

    def close(self) -> None:
        """Close the clients."""
        self._threads.shutdown()
        for user in self.users:
            user.close()

    def _on_thread(self, client: Any, left: Iterator[int]) -> None:
        for number in left:
            method, key = self._call(client, number)
            try:
                reply = bee_core.detailed(method, key=key)
            except CallError as error:
                self._failed(number, error)
                time.sleep(BACK_OFF)
            else:
                self._answered(number, reply)

    async def _as_task(self, client: Any, left: Iterator[int]) -> None:
        for number in left:
            method, key = self._call(client, number)
            try:
                reply = await bee_core.detailed(method, key=key)
            except CallError as error:
                self._failed(number, error)
                await asyncio.sleep(BACK_OFF)
            else:
                self._answered(number, reply)

    def _call(self, client: Any, number: int) -> tuple[Any, str]:
        """The method of a write, and what is its argument."""
        case, key = self._case, f"w{number}"
        proxy = client.service("calc")
        if case.levels:
            proxy = proxy.with_options(criticality=case.levels[number % len(case.levels)])
        if case.alike:
            proxy = proxy.with_options(metadata={"id": key})
        return getattr(proxy, METHODS[number % len(METHODS)]), "" if case.alike else key

    def _answered(self, number: int, reply: Any) -> None:
        answers = tuple(reply.answers.values()) or (reply.value,)
        self._note(number, Ended(answers, reply.degraded, reply.attempts))

    def _failed(self, number: int, error: CallError) -> None:
        self._note(number, Ended((), False, error.attempts, error))

    def _note(self, number: int, ended: Ended) -> None:
        with self._news:
            self.ended[f"w{number}"] = ended
            self._news.notify_all()


def run(case: Case, folder: Path, *, writes: int, each_round: int, seed: int) -> Figures:
    """Make the writes of a case, and compare what was said with what ran.

    Args:
        case: The plugin.
        folder: For logs and the registry.
        writes: How many.
        each_round: How many of them a round has.
        seed: Of what happens to the servers. It is not all that is random.
    """
    rng = random.Random(seed)
    servers = [{**case.server, **more} for more in case.each]
    fleet = Fleet(folder, servers, rng)
    try:
        writers = Writers(client_config(fleet.registry, **{**COMMON, **case.client}), case)
        try:
            for first in range(0, writes, each_round):
                numbers = range(first, min(first + each_round, writes))
                jobs = writers.begin(numbers)
                writers.await_ended(first + rng.randrange(len(numbers) // 2))
                victims = fleet.trouble()
                # Those that stand still hold up whoever asks them: few do.
                writers.await_ended(min(len(writers.ended) + 2 * WRITERS, numbers.stop))
                fleet.mend(victims)
                for job in jobs:
                    job.result(4 * PATIENCE)
        finally:
            writers.close()
        fleet.leave()
        ran = {server.name: server.ran() for server in fleet.servers}
    finally:
        fleet.close()
    return figures(case, writers.ended, ran, fleet.troubles)


def figures(
    case: Case,
    ended: Mapping[str, Ended],
    ran: Mapping[str, Counter[str]],
    troubles: Mapping[str, int],
) -> Figures:
    """Compare what was said of writes with what each server has run."""
    total = sum(ran.values(), Counter[str]())
    maybe = [key for key, one in ended.items() if one.said == "maybe"]
    return Figures(
        writes=len(ended),
        troubles=troubles,
        said=Counter(one.said for one in ended.values()),
        maybe_ran=sum(key in total for key in maybe),
        again=sum(one.attempts > 1 for one in ended.values()),
        errors=tuple(one.error for one in ended.values() if one.error is not None),
        untrue=tuple(_untrue(case, ended, ran, total)),
    )


def _untrue(
    case: Case,
    ended: Mapping[str, Ended],
    ran: Mapping[str, Counter[str]],
    total: Counter[str],
) -> Iterator[str]:
    for name, count in ran.items():
        yield from (f"{key} ran {n} times at {name}" for key, n in count.items() if n > 1)
    if not case.everywhere:
        yield from (f"{key} ran {n} times" for key, n in total.items() if n > 1)
    yield from (f"{key} ran and nobody asked for it" for key in total if key not in ended)
    for key, one in ended.items():
        yield from (f"{key}: {what}" for what in _wrong(key, one, ran, total))


def _wrong(
    key: str, one: Ended, ran: Mapping[str, Counter[str]], total: Counter[str]
) -> Iterable[str]:
    """What is not so of what one write was told."""
    runs = key in total
    if one.said == "ok":
        for answer in one.answers:
            name, _, server = answer.partition("@")
            if name != key or key not in ran[server]:
                yield f"answered with {answer}, which is not so"
    elif one.said == "degraded" and runs:
        yield "a fallback answered, and it ran"
    elif one.said == "no" and runs:
        yield f"said not to have run, and ran: {one.error!r} {one.error}"
    elif one.said == "yes" and not runs:
        yield f"said to have run, and did not: {one.error!r} {one.error}"
