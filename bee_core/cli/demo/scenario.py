"""What happens in the demo, and when."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

import attrs

from ... import build_client
from .cluster import SERVICE, Cluster
from .registry_server import SERVERS
from .screen import Row
from .steady_calls import CALLS_PER_SECOND, SteadyCalls, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ...client.blocking import Client
    from ...nodes.report import KnownNode
    from .cluster import NodeProcess
    from .screen import Screen

# Shares of the time that is left once the servers run.
_KILL_AT = 0.3
_RESTART_AT = 0.55
_GRACE_SECONDS = 15.0
"""How long past its time the demo waits for what it waits for. A restart takes half a second, on a machine under load several."""
_TICK_SECONDS = 0.1


@attrs.frozen
class NodeReport:
    """A node and how many calls it answered.

    Attributes:
        address: Its url.
        version: What it serves.
        calls: Answers.
        reason: Why it gets no calls; empty where it may.
    """

    address: str
    version: str
    calls: int
    reason: str = ""


@attrs.frozen
class Report:
    """The demo's result; times in seconds, None for what did not happen.

    Attributes:
        calls: Calls made.
        failures: Calls that ended with an error.
        moved_on: Calls that met the dead node and were answered by another one.
        nodes: The nodes.
        killed: The address of the node that was killed.
        seconds_to_detect: From the kill to the end of the first call that met the dead node and went elsewhere, or to the node's leaving the client's list.
        seconds_to_delist: From the kill to the node's leaving the client's list.
        seconds_to_recover: From the new process's start to its first answer.
        seconds: The whole demo.
    """

    calls: int
    failures: int
    moved_on: int
    nodes: list[NodeReport]
    killed: str
    seconds_to_detect: float | None
    seconds_to_delist: float | None
    seconds_to_recover: float | None
    seconds: float

    @property
    def succeeded(self) -> bool:
        """No call failed, the kill was noticed, and the node came back."""
        return (
            self.failures == 0
            and self.seconds_to_detect is not None
            and self.seconds_to_recover is not None
        )


def play(
    folder: Path,
    seconds: float,
    screen: Screen,
    protocol: str = "local",
    address: str | None = None,
) -> Report:
    """Run the demo.

    Args:
        folder: Where the configurations are written.
        seconds: How long it takes in all, if the machine is not too busy.
        screen: Where to show it.
        protocol: The registry plugin.
        address: Of a registry that runs already; None for one of the demo's own.

    Raises:
        ClickException: The registry's own server is not installed, or something does not start.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_own_cache(folder / "cache"))
        stack.enter_context(_log_on(screen, began))
        if address is None:
            address = stack.enter_context(
                _own_registry(folder / "registry", protocol, screen, began)
            )
        cluster = stack.enter_context(Cluster(folder, protocol, address))
        client = stack.enter_context(build_client(cluster.client_config))
        return _Play(cluster, client, began, seconds, screen).run()


@contextlib.contextmanager
def _own_registry(folder: Path, protocol: str, screen: Screen, began: float) -> Iterator[str]:
    """A registry for the time of the demo: its address."""
    kind = SERVERS.get(protocol)
    if kind is None:
        yield str(folder)  # local needs no server
        return
    server = kind(folder)
    try:
        server.start(tied=True)
        screen.event(
            f"{time.monotonic() - began:5.1f} s  started a server of {protocol} at {server.address}"
        )
        yield server.address
    finally:
        server.stop()


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


class _ScreenLog(logging.Handler):
    """Shows what the client logs among the events."""

    def __init__(self, screen: Screen, began: float) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen
        self._began = began

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        self._screen.event(f"{time.monotonic() - self._began:5.1f} s  {record.getMessage()}")


@contextlib.contextmanager
def _log_on(screen: Screen, began: float) -> Iterator[None]:
    log, handler = logging.getLogger("bee"), _ScreenLog(screen, began)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Play:
    def __init__(
        self, cluster: Cluster, client: Client, began: float, seconds: float, screen: Screen
    ) -> None:
        self._nodes = cluster.nodes
        self._victim = cluster.nodes[1]
        self._client = client
        self._known: dict[str, KnownNode] = {}
        self._began = began
        self._ends = began + seconds
        self._screen = screen
        self._tally = Tally(node.address for node in cluster.nodes)
        self._victim_state = "serving"

    def run(self) -> Report:
        tally, victim = self._tally, self._victim
        self._discover()
        start = time.monotonic()
        left = max(self._ends - start, 1.0)
        self._say(
            f"3 servers are up and found in the registry; {CALLS_PER_SECOND} calls a second begin"
        )
        for known in self._known.values():
            if not known.fitting:
                self._say(f"{known.node.url} gets none: {known.reason}")
        with SteadyCalls(self._client.service(SERVICE), tally):
            self._until(start + _KILL_AT * left)
            # Noted before, so that no call meets the dead node earlier than it is known to be dead.
            tally.killed(victim.address, time.monotonic())
            victim.kill()
            self._victim_state = "killed"
            self._say(f"killed {victim.address} with SIGKILL, as a crash would")
            self._until(0.0, "seconds_to_detect")
            if tally.seconds_to_detect is not None:
                how = (
                    "the call that met it was answered by another node"
                    if tally.moved_on
                    else "it left the registry before a call met it"
                )
                self._say(f"noticed {tally.seconds_to_detect:.3f} s after the kill: {how}")
            self._until(0.0, "seconds_to_delist")
            if tally.seconds_to_delist is not None:
                self._say(
                    f"off the client's list {tally.seconds_to_delist:.3f} s after the kill: its registration has ended"
                )
            self._until(start + _RESTART_AT * left)
            victim.start()
            tally.restarted(victim.started_at)
            self._victim_state = "starting"
            self._say(
                f"started it again, on the same port; {tally.moved_on} calls have moved on to another node so far"
            )
            self._until(0.0, "seconds_to_recover")
            if tally.seconds_to_recover is not None:
                self._victim_state = "serving"
                self._say(f"it answers again, {tally.seconds_to_recover:.3f} s after its start")
            self._until(self._ends)
        self._refresh()
        return self._report()

    def _until(self, moment: float, measured: str | None = None) -> None:
        """Go on until a moment, and until a measurement is there or the grace is over."""
        limit = max(moment, time.monotonic()) + _GRACE_SECONDS
        while True:
            now = time.monotonic()
            waiting = (
                measured is not None and getattr(self._tally, measured) is None and now < limit
            )
            if now >= moment and not waiting:
                return
            self._refresh()
            time.sleep(min(_TICK_SECONDS, moment - now) if now < moment else _TICK_SECONDS)

    def _say(self, text: str) -> None:
        self._screen.event(f"{time.monotonic() - self._began:5.1f} s  {text}")

    def _discover(self) -> None:
        """Wait until the client has found all servers."""
        limit = time.monotonic() + _GRACE_SECONDS
        while len(self._known) < len(self._nodes) and time.monotonic() < limit:
            self._look()
            time.sleep(_TICK_SECONDS / 10)

    def _look(self) -> None:
        """See what the client knows."""
        self._known = {known.node.url: known for known in self._client.nodes(SERVICE).nodes}
        self._tally.listed(self._known, time.monotonic())

    def _refresh(self) -> None:
        self._look()
        self._screen.refresh([self._row(node) for node in self._nodes])

    def _row(self, node: NodeProcess) -> Row:
        state = self._victim_state if node is self._victim else "serving"
        known = self._known.get(node.address)
        fits = "not listed" if known is None else "yes" if known.fitting else "no"
        return Row(
            node.address,
            node.version,
            fits,
            state,
            self._tally.answered[node.address],
            self._reason(node) or self._tally.last_error.get(node.address, ""),
        )

    def _reason(self, node: NodeProcess) -> str:
        known = self._known.get(node.address)
        return "" if known is None else known.reason

    def _report(self) -> Report:
        tally = self._tally
        nodes = [
            NodeReport(node.address, node.version, tally.answered[node.address], self._reason(node))
            for node in self._nodes
        ]
        return Report(
            tally.calls,
            tally.failures,
            tally.moved_on,
            nodes,
            self._victim.address,
            _rounded(tally.seconds_to_detect),
            _rounded(tally.seconds_to_delist),
            _rounded(tally.seconds_to_recover),
            round(time.monotonic() - self._began, 3),
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
