"""What happens in the demo, and when: threads call, a server dies and comes back."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import attrs

from ... import build_client, detailed
from ...errors import BeeError, CallError
from .cluster import SERVICE, VERSIONS, Cluster, NodeProcess
from .registry_server import SERVERS
from .screen import Row, Screen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from ...client.blocking import Client
    from ...client.proxies import Reply
    from ...nodes.report import KnownNode

THREADS = 4
CALLS_PER_SECOND = 100
"""In all. Few of them meet the dead node, so that the retries stay well within their budget."""

# Shares of the time that is left once the servers run.
_KILL_AT = 0.3
_RESTART_AT = 0.55
_GRACE_SECONDS = 15.0
"""How long past its time the demo waits for an event: a restart takes several under load."""
_TICK_SECONDS = 0.1


class Tally:
    """What became of the calls. Thread-safe.

    Attributes:
        calls: Calls that ended.
        failures: Calls that ended with an error.
        moved_on: Calls that met a dead node and were answered by another one.
        answered: Answers by the node's url.
        news: What happened to a node last, by its url.
        seconds_to_detect: From the kill to the end of the first call that met the dead node and
            went elsewhere, or to the node's leaving the client's list.
        seconds_to_delist: From the kill to the node's leaving the client's list.
        seconds_to_recover: From the new process's start to its first answer.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self.calls = 0
        self.failures = 0
        self.moved_on = 0
        self.answered = dict.fromkeys(urls, 0)
        self.news: dict[str, str] = {}
        self.seconds_to_detect: float | None = None
        self.seconds_to_delist: float | None = None
        self.seconds_to_recover: float | None = None
        self._lock = threading.Lock()
        self._dead: str | None = None
        self._killed_at = 0.0
        self._restarted_at = math.inf

    def killed(self, url: str, at: float) -> None:
        """A node was killed: an answer that took more than one attempt has met it from now on."""
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
                    self.news[self._dead] = "could not be reached; calls went elsewhere"
                    if self.seconds_to_detect is None:
                        self.seconds_to_detect = now - self._killed_at
            back = url == self._dead and now >= self._restarted_at
            if back and self.seconds_to_recover is None:
                self.seconds_to_recover = now - self._restarted_at
                self.news[url] = (
                    f"is back: it answers, {self.seconds_to_recover:.3f} s after its start"
                )

    def failed(self, error: Exception) -> None:
        """A call ended with an error."""
        node = error.node if isinstance(error, CallError) else None
        with self._lock:
            self.calls += 1
            self.failures += 1
            self.news[node.url if node is not None else ""] = f"a call failed: {error}"


class SteadyCalls:
    """Calls ``add`` again and again at a steady rate, while the block runs."""

    def __init__(self, service: Any, tally: Tally) -> None:
        self._service = service
        self._tally = tally
        self._stop = threading.Event()
        # Daemons, because Ctrl-C may come between the start of a thread and the block's end.
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
                if reply.value == number + 1:
                    self._tally.replied(reply, time.monotonic())
                else:
                    self._tally.failed(ValueError(f"add({number}, 1) gave {reply.value!r}"))
            # A caller that is late does not catch up with a burst.
            due = max(due + interval, time.monotonic())


@attrs.frozen
class Report:
    """The demo's result.

    Attributes:
        tally: What became of the calls.
        nodes: The nodes at the end.
        killed: The address of the node that was killed.
        seconds: The whole demo.
    """

    tally: Tally
    nodes: list[Row]
    killed: str
    seconds: float

    @property
    def succeeded(self) -> bool:
        """No call failed, the kill was noticed, and the node came back."""
        tally = self.tally
        measured = (tally.seconds_to_detect, tally.seconds_to_recover)
        return tally.failures == 0 and None not in measured


def play(
    folder: Path, seconds: float, screen: Screen, protocol: str, address: str | None
) -> Report:
    """Run the demo.

    Args:
        folder: Where the configurations are written.
        seconds: How long it takes in all, if the machine is not too busy.
        screen: What shows it.
        protocol: The registry plugin.
        address: Of a registry that runs already; None for one of the demo's own.

    Raises:
        ClickException: The registry's own server is not installed, or something does not start.
    """
    began = time.monotonic()
    # The client's warnings are shown among the events.
    log, handler = logging.getLogger("bee"), logging.Handler(logging.WARNING)
    handler.emit = lambda record: screen.event(record.getMessage())  # type: ignore[method-assign]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_own_cache(folder / "cache"))
        log.addHandler(handler)
        stack.callback(log.removeHandler, handler)
        if address is None:
            address = _own_registry(folder / "registry", protocol, screen, stack)
        screen.waiting(f"starting {len(VERSIONS)} servers")
        cluster = stack.enter_context(Cluster(folder, protocol, address))
        client = stack.enter_context(build_client(cluster.client_config))
        return _Play(cluster, client, began, seconds, screen).run()


def _own_registry(folder: Path, protocol: str, screen: Screen, stack: contextlib.ExitStack) -> str:
    """The address of a registry for the time of the demo; the stack ends its server."""
    if protocol not in SERVERS:
        return str(folder)  # local needs no server
    server = SERVERS[protocol](folder)
    stack.callback(server.stop)
    screen.waiting(f"starting a server of {protocol}")
    server.start(tied=True)
    screen.event(f"started a server of {protocol} at {server.address}")
    return server.address


@contextlib.contextmanager
def _own_cache(folder: Path) -> Iterator[None]:
    """Keep the client's cache in a folder that goes with the demo."""
    before = os.environ.get("BEE_CACHE_DIR")
    os.environ["BEE_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["BEE_CACHE_DIR"]
        if before is not None:
            os.environ["BEE_CACHE_DIR"] = before


class _Play:
    def __init__(
        self, cluster: Cluster, client: Client, began: float, seconds: float, screen: Screen
    ) -> None:
        self._nodes = cluster.nodes
        self._victim = cluster.nodes[1]
        self._victim_state = "serving"
        self._client = client
        self._known: dict[str, KnownNode] = {}
        self._began = began
        self._ends = began + seconds
        self._screen = screen
        self._tally = Tally(node.address for node in cluster.nodes)

    def run(self) -> Report:
        limit = time.monotonic() + _GRACE_SECONDS
        self._go_on(limit, lambda: len(self._known) == len(self._nodes))
        start = time.monotonic()
        left = max(self._ends - start, 1.0)
        self._screen.event(f"3 servers are up and found; {CALLS_PER_SECOND} calls a second begin")
        for known in self._known.values():
            if not known.fitting:
                self._screen.event(f"{known.node.url} gets none: {known.reason}")
        with SteadyCalls(self._client.service(SERVICE), self._tally):
            self._go_on(start + _KILL_AT * left)
            self._kill()
            self._go_on(start + _RESTART_AT * left)
            self._restart()
            self._go_on(self._ends)
        nodes = self._refresh()
        return Report(self._tally, nodes, self._victim.address, time.monotonic() - self._began)

    def _kill(self) -> None:
        tally, victim = self._tally, self._victim
        # Noted before, so that no call meets the dead node earlier than it is known to be dead.
        tally.killed(victim.address, time.monotonic())
        victim.kill()
        self._victim_state = "killed"
        self._screen.event(f"killed {victim.address} with SIGKILL, as a crash would")
        if (detected := self._measured(lambda: tally.seconds_to_detect)) is not None:
            met = "the call that met it was answered by another node"
            how = met if tally.moved_on else "it left the registry before a call met it"
            self._screen.event(f"noticed {detected:.3f} s after the kill: {how}")
        if (delisted := self._measured(lambda: tally.seconds_to_delist)) is not None:
            self._screen.event(f"off the client's list {delisted:.3f} s after the kill")

    def _restart(self) -> None:
        tally = self._tally
        self._victim.start()
        tally.restarted(self._victim.started_at)
        self._victim_state = "starting"
        moved = f"{tally.moved_on} calls have moved on to another node so far"
        self._screen.event(f"started it again, on the same port; {moved}")
        if (recovered := self._measured(lambda: tally.seconds_to_recover)) is not None:
            self._victim_state = "recovered"
            self._screen.event(f"it answers again, {recovered:.3f} s after its start")

    def _go_on(self, until: float, over: Callable[[], bool] = lambda: False) -> None:
        """Show what happens until a moment has come, or until it is over."""
        while not over() and (left := until - time.monotonic()) > 0:
            self._refresh()
            time.sleep(min(_TICK_SECONDS, left))

    def _measured(self, read: Callable[[], float | None]) -> float | None:
        """Show what happens until a measurement is there, or the grace is over: then None."""
        self._go_on(time.monotonic() + _GRACE_SECONDS, lambda: read() is not None)
        return read()

    def _refresh(self) -> list[Row]:
        """See what the client knows, and show it."""
        self._known = {known.node.url: known for known in self._client.nodes(SERVICE).nodes}
        self._tally.listed(self._known, time.monotonic())
        rows = [self._row(node) for node in self._nodes]
        self._screen.refresh(rows)
        return rows

    def _row(self, node: NodeProcess) -> Row:
        known = self._known.get(node.address)
        return Row(
            node.address,
            node.version,
            self._victim_state if node is self._victim else "serving",
            self._tally.answered[node.address],
            "" if known is None else known.reason,
            self._tally.news.get(node.address, ""),
        )
