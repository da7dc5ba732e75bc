"""Three servers that are killed, drained and stopped at random, and what each of them has run."""

from __future__ import annotations

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.servers import ClusterServer, local, when
from support.ports import fixed_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

NODES = 3


class WritesServer(ClusterServer):
    """Runs ``writes_server.py`` at a port that stays the same.

    Args:
        registry: What stands under ``bee.rpc.registry``.
        log: Where its writes are logged; the name of the file is the name of the server.
        settings: Of the server.
    """

    PROGRAM = Path(__file__).with_name("writes_server.py")

    def __init__(self, registry: dict[str, Any], *, log: Path, **settings: Any) -> None:
        self.log = log
        self.name = log.stem
        super().__init__(registry, log=log, address=f"127.0.0.1:{fixed_port()}", **settings)

    def start(self) -> None:
        """See :class:`ClusterServer`."""
        self._arguments = [*self._arguments[:2], self.name]
        super().start()

    def kill(self) -> None:
        """SIGKILL, and wait until its workers have gone too: they have the port."""
        workers = self.workers()
        super().kill()
        for pid in workers:
            when(lambda: not alive(pid), "the workers have gone")  # noqa: B023  # used at once

    def leave(self) -> None:
        """SIGTERM, and wait until it has drained."""
        if self.process.poll() is None:
            self.terminate()

    def workers(self) -> list[int]:
        """The processes that it has forked."""
        pid = self.process.pid
        try:
            return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        except OSError:  # it has gone
            return []

    def ran(self) -> Counter[str]:
        """How often each write ran here."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Counter(line.split()[0] for line in lines)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Fleet:
    """The servers of a run.

    Args:
        folder: Of the run: logs, and the folder of the registry.
        settings: Of each server.
        rng: Who decides what happens to whom.

    Attributes:
        troubles: How often what was done to a server.
    """

    def __init__(self, folder: Path, settings: Sequence[Mapping[str, Any]], rng: Random) -> None:
        self.registry = local(folder / "registry")
        self.troubles: Counter[str] = Counter()
        self._rng = rng
        with ThreadPoolExecutor(len(settings)) as pool:
            self.servers = list(
                pool.map(
                    lambda one: WritesServer(self.registry, log=folder / f"{one[0]}.log", **one[1]),
                    enumerate(settings),
                )
            )

    def trouble(self) -> list[WritesServer]:
        """Do something to a server or two.

        Returns:
            Those that :meth:`mend` must see to.
        """
        rng = self._rng
        kind = rng.choices(("kill", "kill two", "drain", "stop"), (5, 2, 1, 2))[0]
        if kind == "kill" and self.servers[0].workers() and rng.random() < 0.5:
            kind = "kill a worker"
        victims = rng.sample(self.servers, 2 if kind == "kill two" else 1)
        self.troubles[kind] += 1
        for victim in victims:
            if kind == "stop":
                victim.freeze()
            elif kind == "drain":
                victim.leave()
            elif kind == "kill a worker":
                os.kill(rng.choice(victim.workers()), signal.SIGKILL)
            else:
                victim.kill()
        return [] if kind == "kill a worker" else victims

    def mend(self, victims: Sequence[WritesServer]) -> None:
        """Have all servers serve again."""
        for victim in victims:
            if victim.process.poll() is None:
                victim.thaw()
            else:
                victim.restart()

    def leave(self) -> None:
        """Drain all servers: what they have not run by then they never run."""
        with ThreadPoolExecutor(len(self.servers)) as pool:
            list(pool.map(WritesServer.leave, self.servers))

    def close(self) -> None:
        """End what is left of them."""
        for server in self.servers:
            server.kill()
