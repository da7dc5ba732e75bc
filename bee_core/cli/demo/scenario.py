"""What happens in the demo, and when."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs

from ... import build_client
from .cluster import SERVICE, Cluster
from .screen import Row
from .steady_calls import CALLS_PER_SECOND, SteadyCalls, Tally

if TYPE_CHECKING:
    from pathlib import Path

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
    """A node and how many calls it answered."""

    address: str
    version: str
    calls: int


@attrs.frozen
class Report:
    """The demo's result; times in seconds, None for what did not happen.

    Attributes:
        calls: Calls made.
        failures: Calls that ended with an error.
        moved_on: Calls that met the dead node and were answered by another one.
        nodes: The nodes.
        killed: The address of the node that was killed.
        seconds_to_detect: From the kill to the end of the first call that met the dead node and went elsewhere.
        seconds_to_recover: From the new process's start to its first answer.
        seconds: The whole demo.
    """

    calls: int
    failures: int
    moved_on: int
    nodes: list[NodeReport]
    killed: str
    seconds_to_detect: float | None
    seconds_to_recover: float | None
    seconds: float

    @property
    def succeeded(self) -> bool:
        """No call failed, the kill was noticed, and the node came back."""
        return self.failures == 0 and self.seconds_to_detect is not None and self.seconds_to_recover is not None


def play(folder: Path, seconds: float, screen: Screen) -> Report:
    """Run the demo.

    Args:
        folder: Where the configurations are written.
        seconds: How long it takes in all, if the machine is not too busy.
        screen: Where to show it.
    """
    began = time.monotonic()
    with Cluster(folder) as cluster, build_client(cluster.client_config) as client:
        return _Play(cluster, client.service(SERVICE), began, seconds, screen).run()


class _Play:
    def __init__(self, cluster: Cluster, service: Any, began: float, seconds: float, screen: Screen) -> None:
        self._nodes = cluster.nodes
        self._victim = cluster.nodes[1]
        self._service = service
        self._began = began
        self._ends = began + seconds
        self._screen = screen
        self._tally = Tally(node.address for node in cluster.nodes)
        self._victim_state = "serving"

    def run(self) -> Report:
        tally, victim = self._tally, self._victim
        start = time.monotonic()
        left = max(self._ends - start, 1.0)
        self._say(f"3 servers are up; {CALLS_PER_SECOND} calls a second begin")
        with SteadyCalls(self._service, tally):
            self._until(start + _KILL_AT * left)
            # Noted before, so that no call meets the dead node earlier than it is known to be dead.
            tally.killed(victim.address, time.monotonic())
            victim.kill()
            self._victim_state = "killed"
            self._say(f"killed {victim.address} with SIGKILL, as a crash would")
            self._until(0.0, "seconds_to_detect")
            if tally.seconds_to_detect is not None:
                self._say(f"noticed {tally.seconds_to_detect:.3f} s after the kill: the call that met it was answered by another node")
            self._until(start + _RESTART_AT * left)
            victim.start()
            tally.restarted(victim.started_at)
            self._victim_state = "starting"
            self._say(f"started it again, on the same port; {tally.moved_on} calls have moved on to another node so far")
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
            waiting = measured is not None and getattr(self._tally, measured) is None and now < limit
            if now >= moment and not waiting:
                return
            self._refresh()
            time.sleep(min(_TICK_SECONDS, moment - now) if now < moment else _TICK_SECONDS)

    def _say(self, text: str) -> None:
        self._screen.event(f"{time.monotonic() - self._began:5.1f} s  {text}")

    def _refresh(self) -> None:
        self._screen.refresh([self._row(node) for node in self._nodes])

    def _row(self, node: NodeProcess) -> Row:
        state = self._victim_state if node is self._victim else "serving"
        return Row(node.address, node.version, state, self._tally.answered[node.address], self._tally.last_error.get(node.address, ""))

    def _report(self) -> Report:
        tally = self._tally
        nodes = [NodeReport(node.address, node.version, tally.answered[node.address]) for node in self._nodes]
        return Report(
            tally.calls,
            tally.failures,
            tally.moved_on,
            nodes,
            self._victim.address,
            _rounded(tally.seconds_to_detect),
            _rounded(tally.seconds_to_recover),
            round(time.monotonic() - self._began, 3),
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
