"""The demo's callers: a few threads that call at a steady rate, and the tally of what came of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from ... import detailed
from ...errors import BeeError, CallError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ...client.proxies import Reply

THREADS = 4
CALLS_PER_SECOND = 100
"""In all. Every second one would go to the dead node, until three have failed in a row or the registry takes it off: a handful of retries, well within the budget."""


class Tally:
    """What became of the calls. Thread-safe.

    Attributes:
        calls: Calls that ended.
        failures: Calls that ended with an error.
        moved_on: Calls that met a dead node and were answered by another one.
        answered: Answers by the node's url.
        last_error: By the node's url.
        seconds_to_detect: From the kill to the end of the first call that met the dead node and went elsewhere, or to the node's leaving the client's list.
        seconds_to_delist: From the kill to the node's leaving the client's list.
        seconds_to_recover: From the new process's start to its first answer.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self.calls = 0
        self.failures = 0
        self.moved_on = 0
        self.answered = dict.fromkeys(urls, 0)
        self.last_error: dict[str, str] = {}
        self.seconds_to_detect: float | None = None
        self.seconds_to_delist: float | None = None
        self.seconds_to_recover: float | None = None
        self._lock = threading.Lock()
        self._dead: str | None = None
        self._killed_at = 0.0
        self._restarted_at: float | None = None

    def killed(self, url: str, at: float) -> None:
        """A node was killed: from now on an answer that took more than one attempt has met it."""
        with self._lock:
            self._dead, self._killed_at = url, at

    def listed(self, urls: Collection[str], now: float) -> None:
        """These nodes are on the client's list."""
        with self._lock:
            if self._dead is not None and self._dead not in urls and self.seconds_to_delist is None:
                self.seconds_to_delist = now - self._killed_at
                if self.seconds_to_detect is None:
                    self.seconds_to_detect = self.seconds_to_delist

    def restarted(self, at: float) -> None:
        """A new process for the killed node was started."""
        with self._lock:
            self._restarted_at = at

    def replied(self, reply: Reply[int], now: float) -> None:
        """A call was answered."""
        url = reply.node.url if reply.node is not None else ""
        with self._lock:
            self.calls += 1
            self.answered[url] = self.answered.get(url, 0) + 1
            if reply.attempts > 1:
                self.moved_on += 1
                if self._dead is not None and url != self._dead:
                    self.last_error[self._dead] = "could not be reached; the call went elsewhere"
                    if self.seconds_to_detect is None:
                        self.seconds_to_detect = now - self._killed_at
            if (
                url == self._dead
                and self._restarted_at is not None
                and self.seconds_to_recover is None
            ):
                self.seconds_to_recover = now - self._restarted_at

    def failed(self, error: Exception) -> None:
        """A call ended with an error."""
        node = error.node if isinstance(error, CallError) else None
        with self._lock:
            self.calls += 1
            self.failures += 1
            self.last_error[node.url if node is not None else ""] = str(error)


class SteadyCalls:
    """Calls ``add`` again and again while the block runs."""

    def __init__(self, service: Any, tally: Tally) -> None:
        self._service = service
        self._tally = tally
        self._stop = threading.Event()
        # Daemons, since Ctrl-C may come between the start of a thread and the block that ends it.
        self._threads = [
            threading.Thread(
                target=self._work, args=(number,), name=f"bee-demo-caller-{number}", daemon=True
            )
            for number in range(THREADS)
        ]

    def __enter__(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        """Let each finish its call."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        interval = THREADS / CALLS_PER_SECOND
        due = time.monotonic() + interval * number / THREADS
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            try:
                reply = detailed(self._service.add, number, 1)
            except BeeError as error:
                self._tally.failed(error)
            else:
                now = time.monotonic()
                if reply.value == number + 1:
                    self._tally.replied(reply, now)
                else:
                    self._tally.failed(ValueError(f"add({number}, 1) gave {reply.value!r}"))
            # A caller that is late does not catch up with a burst.
            due = max(due + interval, time.monotonic())
