"""The demo's servers: their processes, their configurations, their ports."""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from typing_extensions import Self

SERVICE = "calc"
VERSIONS = ("1.0.0", "1.1.0", "2.0.0")
"""The client asks for the first two."""

_START_SECONDS = 60.0
"""Python and its imports take half a second, a JVM some seconds; a machine under load more."""
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_LAST_WORDS = 20
_PR_SET_PDEATHSIG = 1

_REGISTRY_YAML = """\
    registry:
      protocol: {protocol}
      address: {address}
      heartbeat_interval: {heartbeat}       # a server that is silent for three of these is gone
"""
_HEARTBEAT = 1
"""Seconds. A killed server leaves the list after three heartbeats, with `local` at once."""

_SERVER_YAML = """\
bee:
  rpc:
{registry}    server:
      name: {service}
      version: {version}
      register: true              # announce it
      address: {address}
      drain_timeout: 1
"""

_CLIENT_YAML = """\
bee:
  rpc:
{registry}    client:
      {service}:
        version: ">=1.0, <2"      # the server of version 2.0.0 is found as well, and gets no calls
        balancer: round-robin
        fail: failover            # another node each time
        retries: 2
        breaker:                  # three failures in a row cut a node off
          name: consecutive
          options: {{max_error_count: 3}}
        timeout: 5
        connect_timeout: 1
        read_timeout: 2
        methods:
          add:
            idempotent: true      # may run twice: repeated also when its node died in the middle
"""


class ServerProcess(ABC):
    """A server in a process of its own. Belongs to one thread.

    Attributes:
        address: Where it listens.
        process: The process that was started last, or None.
        started_at: When that was, ``time.monotonic()``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.process: subprocess.Popen[str] | None = None
        self.started_at = 0.0
        self._lines: list[str] = []
        self._reader: threading.Thread | None = None

    @abstractmethod
    def ready(self) -> bool:
        """Whether it serves by now."""

    def launch(
        self, command: Sequence[str], folder: Path | None = None, *, tied: bool = False
    ) -> None:
        """Start the process; ``wait_ready`` tells when it serves.

        Args:
            command: Its command line.
            folder: Its current folder, or None for this process's own.
            tied: It ends with the calling thread, however that ends. On Linux; elsewhere only
                ``stop`` ends it.
        """
        self._lines = []
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603  # our own command line
            command,
            stdin=subprocess.PIPE,  # never written to: its end tells a server that we have gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is ours to answer
            cwd=folder,
            preexec_fn=_tie() if tied else None,  # noqa: PLW1509  # one system call
        )
        self._reader = threading.Thread(
            target=self._read, args=(self.process, self._lines), name="bee-demo-log", daemon=True
        )
        self._reader.start()

    def wait_ready(self) -> None:
        """Wait until it serves.

        Raises:
            ClickException: It does not come up; the message has its last words.
        """
        until = self.started_at + _START_SECONDS
        while not self.ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                said = " / ".join(self._lines[-_LAST_WORDS:]) or "it said nothing"
                raise click.ClickException(f"the server at {self.address} did not start: {said}")
            time.sleep(_LOOK_SECONDS)

    def kill(self) -> None:
        """End it as a crash would, with SIGKILL."""
        if self.process is not None:
            self.process.kill()
        self.collect()

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL if that does not help. Idempotent."""
        self.ask_to_stop()
        self.collect()

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.process is not None:
            self.process.terminate()

    def collect(self) -> None:
        """Wait for the end of a process that was told to end; SIGKILL for one that does not."""
        process, self.process = self.process, None
        if process is None:
            return
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._reader is not None:
            self._reader.join()

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
        assert process.stdout is not None  # noqa: S101  # a pipe was asked for; narrows the type
        with process.stdout as log:
            for line in log:
                lines.append(line.strip())  # noqa: PERF401  # ready() looks while it grows


def _tie() -> Callable[[], object] | None:
    """What a new process does to be killed when the thread that made it ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class NodeProcess(ServerProcess):
    """One server of the service. It has the same address after a restart.

    Args:
        folder: For its configuration.
        version: The version that it serves.
        registry: The part of the configuration that names the registry.
    """

    def __init__(self, folder: Path, version: str, registry: str) -> None:
        # Bound, and not listening: the server can still have the port, and while the server is dead
        # no outgoing connection is given the port as its own.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        super().__init__(f"tcp://127.0.0.1:{self._port.getsockname()[1]}")
        if sys.platform != "linux":
            self._port.close()  # elsewhere the server could not bind the port as well
        self.version = version
        self._config = folder / f"node-{VERSIONS.index(version) + 1}.yml"
        self._config.write_text(
            _SERVER_YAML.format(
                registry=registry, service=SERVICE, version=version, address=self.address
            ),
            encoding="utf-8",
        )

    def start(self) -> None:
        """Start the process; ``wait_ready`` tells when it serves and is announced."""
        self.launch([sys.executable, "-m", f"{__package__}.node_process", str(self._config)])

    def ready(self) -> bool:
        """Whether it is announced, so that others can know of it."""
        return any(": registered " in line for line in self._lines)

    def give_up_port(self) -> None:
        """Leave its port to others."""
        self._port.close()


class Cluster:
    """Three servers. As a context manager it starts them and ends them, whatever happens.

    Args:
        folder: For the configurations.
        protocol: The registry plugin.
        address: Of the registry.
    """

    def __init__(self, folder: Path, protocol: str, address: str) -> None:
        registry = _REGISTRY_YAML.format(
            protocol=protocol, address=json.dumps(address), heartbeat=_HEARTBEAT
        )
        self.nodes = [NodeProcess(folder, version, registry) for version in VERSIONS]
        self.client_config = folder / "client.yml"
        self.client_config.write_text(
            _CLIENT_YAML.format(service=SERVICE, registry=registry), encoding="utf-8"
        )

    def __enter__(self) -> Self:
        """Start all, and wait until all are announced."""
        try:
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                node.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all."""
        for node in self.nodes:
            node.ask_to_stop()
        for node in self.nodes:
            node.collect()
            node.give_up_port()
