"""Steady load from a few threads, with a record of every call."""

from __future__ import annotations

import itertools
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

import bee_core
from bee_core.errors import CallError
from faults.users import AsyncUser
from support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from bee_core.client.blocking import Client

PACE = 0.002
"""Seconds between two calls of a thread, so that the load does not starve its servers."""


@attrs.frozen
class Made:
    """A call that was made.

    When it began and ended on the monotonic clock, who answered, and the error if there was one.
    """

    key: str
    began: float
    ended: float
    attempts: int
    node: str
    error: CallError | None

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Load:
    """Calls a method, which answers what it is given, from several threads while the block runs.

    Args:
        client: Of the service ``calc``; blocking, or an asyncio client on a loop of its own.
        method: ``echo`` or ``write``.
        threads: How many.
        pace: Seconds between two calls of a thread.
        first: How many calls must have ended before the block begins.
    """

    def __init__(
        self,
        client: Client | AsyncUser,
        method: str = "echo",
        *,
        threads: int = 4,
        pace: float = PACE,
        first: int = 50,
    ) -> None:
        self.calls: list[Made] = []
        self.wrong: list[object] = []
        if isinstance(client, AsyncUser):
            self._call: Callable[[str], Any] = partial(client.detailed, method)
        else:
            self._call = partial(bee_core.detailed, getattr(client.service("calc"), method))
        self._pace = pace
        self._first = first
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._made = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"load-{number}", daemon=True)
            for number in range(threads)
        ]

    def _work(self) -> None:
        while not self._stop.wait(self._pace):
            key = f"k{next(self._numbers)}"
            began = time.monotonic()
            try:
                reply = self._call(key)
            except CallError as error:
                made = Made(key, began, time.monotonic(), error.attempts, str(error.node), error)
            except BaseException as error:
                self.wrong.append(error)
                raise
            else:
                made = Made(key, began, time.monotonic(), reply.attempts, str(reply.node), None)
                if reply.value != key:
                    self.wrong.append((key, reply.value))
            with self._made:
                self.calls.append(made)
                self._made.notify_all()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.await_more(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not [thread.name for thread in self._threads if thread.is_alive()], (
            "calls that do not end"
        )
        assert self.wrong == [], "wrong answers"

    def await_more(self, count: int) -> None:
        """Wait until so many more calls have ended."""
        with self._made:
            goal = len(self.calls) + count
            assert self._made.wait_for(lambda: len(self.calls) >= goal or self.wrong, PATIENCE), (
                "the load stands still"
            )

    def await_call(self, fits: Callable[[Made], bool], what: str) -> Made:
        """Wait for a call that begins from now on."""
        since = time.monotonic()

        until = since + PATIENCE
        with self._made:
            seen = len(self.calls)
            while True:
                for call in self.calls[seen:]:
                    if call.began >= since and fits(call):
                        return call
                seen = len(self.calls)
                assert not self.wrong
                assert self._made.wait(max(0.0, until - time.monotonic())), f"no call {what}"

    @property
    def failed(self) -> list[str]:
        """What became of the calls that failed."""
        return [f"{call.error!r}" for call in self.calls if call.error is not None]

    def went_elsewhere(self, since: float) -> float | None:
        """When the first call ended that one node failed and another answered.

        None for no such call.
        """
        return min(
            (
                call.ended
                for call in self.calls
                if call.ended > since and call.attempts > 1 and call.error is None
            ),
            default=None,
        )

    def more(self, count: int) -> list[Made]:
        """So many more calls, when they have ended."""
        seen = len(self.calls)
        self.await_more(count)
        return self.calls[seen : seen + count]


def percentile(share: float, calls: list[Made]) -> float:
    """Seconds that this share of the calls took at most."""
    took = sorted(call.seconds for call in calls)
    return took[min(len(took) - 1, int(share * len(took)))]
