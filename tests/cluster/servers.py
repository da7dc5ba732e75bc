"""Servers that register in a folder, each in its own process, and clients that find them there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults.processes import ServingProcess
from faults.users import AsyncUser
from support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEARTBEAT = 0.5
"""Seconds; a lease lasts three of them. Long enough for a machine that is busy with other tests."""


def local(folder: Path, heartbeat: float = HEARTBEAT) -> dict[str, Any]:
    return {"protocol": "local", "address": str(folder), "heartbeat_interval": heartbeat}


class ClusterServer(ServingProcess):
    """Runs ``cluster_program.py``.

    Args:
        registry: What stands under ``bee.rpc.registry``.
        log: Where ``write`` appends its keys.
        wait: Whether to wait until it is registered; it serves in any case.
        settings: Of the server.
    """

    PROGRAM = Path(__file__).with_name("cluster_program.py")

    def __init__(
        self,
        registry: dict[str, Any],
        *,
        log: Path | None = None,
        wait: bool = True,
        **settings: Any,
    ) -> None:
        server = {
            "name": "calc",
            "version": "1.0.0",
            "register": True,
            "address": "127.0.0.1:0",
            **settings,
        }
        self._arguments = [
            json.dumps({"bee": {"rpc": {"registry": registry, "server": server}}}),
            str(log or os.devnull),
        ]
        self._wait = wait
        self.start()

    def start(self) -> None:
        """Start the process, and wait until it serves and is registered."""
        super().start()
        if self._wait:
            self.expect("registered ")

    def order(self, order: str) -> None:
        """Tell it to ``hang`` or to ``work``, and wait until it does."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n".encode())
        self.process.stdin.flush()
        self.expect(f"told to {order}")

    def freeze(self) -> None:
        """SIGSTOP, and wait until it stands."""
        self.signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        when(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it stands")

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)


def client_config(
    registry: dict[str, Any], *, services: Iterable[str] = ("calc",), **settings: Any
) -> dict[str, Any]:
    return {"bee": {"rpc": {"registry": registry, "client": dict.fromkeys(services, settings)}}}


def listed(client: Any, service: str = "calc") -> set[str]:
    """The urls that the client may call, as of now."""
    if isinstance(client, AsyncUser):
        report = asyncio.run_coroutine_threadsafe(client.client.nodes(service), client.loop).result(
            PATIENCE
        )
    else:
        report = client.nodes(service)
    return {node.url for node in report.fitting}


def urls(servers: Iterable[ServingProcess]) -> set[str]:
    return {server.url for server in servers}


def standing(client: Any, server: ServingProcess) -> str:
    """``ready``, ``half-open``, ``cut off``, or ``gone`` for a server that is not listed."""
    return next(
        (node.standing for node in client.explain("calc").nodes if node.node.url == server.url),
        "gone",
    )


_LOOK = 0.005  # seconds between two looks at something that tells nobody when it changes


def when(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> float:
    """Wait until something is so.

    Returns:
        The moment at which it was, on the monotonic clock.
    """
    until = time.monotonic() + patience
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, f"not within {patience:g} s: {what}"
        pause.wait(_LOOK)
    return time.monotonic()
