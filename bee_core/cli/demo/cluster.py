"""The demo's servers: their configurations, their ports, their processes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

SERVICE = "calc"
VERSIONS = ("1.0.0", "1.1.0", "2.0.0")
"""The client asks for the first two."""

# Python, the imports and the socket take half a second; a machine under load takes its time.
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0

_REGISTRY_YAML = """\
    registry:
      protocol: {protocol}
      address: {address}
      heartbeat_interval: {heartbeat}       # a server that is silent for three of these is gone
"""
_HEARTBEAT = 1
"""Seconds, short for a demo: a killed server leaves the list after three. The registry local sees it at once."""

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
            idempotent: true      # may run twice, so it is repeated also when the node died in the middle
"""


class NodeProcess:
    """One server. Belongs to the main thread of the demo.

    Attributes:
        address: Its url, the same after a restart.
        version: The version that it serves.
        started_at: When the latest process was started, ``time.monotonic()``.
    """

    def __init__(self, folder: Path, number: int, version: str, registry: str) -> None:
        self.version = version
        self.started_at = 0.0
        self._reservation = _reserve_port()
        self.address = f"tcp://127.0.0.1:{self._reservation.getsockname()[1]}"
        if sys.platform != "linux":
            self._reservation.close()  # elsewhere two sockets cannot be bound to one port, so the server could not have it
        self._config = folder / f"node-{number}.yml"
        self._config.write_text(
            _SERVER_YAML.format(
                registry=registry, service=SERVICE, version=version, address=self.address
            ),
            encoding="utf-8",
        )
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._registered = threading.Event()
        self._lines: list[str] = []

    def start(self) -> None:
        """Start the process; ``wait_registered`` tells when it serves and is announced."""
        self._registered = threading.Event()
        self._lines = []
        self.started_at = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, our own module
            [sys.executable, "-m", f"{__package__}.node_process", str(self._config)],
            stdin=subprocess.PIPE,  # never written to: its end tells the server that the demo has gone
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is the demo's to answer
        )
        self._reader = threading.Thread(
            target=self._read,
            args=(self._process, self._registered, self._lines),
            name="bee-demo-log",
            daemon=True,
        )
        self._reader.start()

    def wait_registered(self) -> None:
        """Wait until it serves, and others can know.

        Raises:
            ClickException: It does not come up; the message has its last words.
        """
        process = self._process
        deadline = self.started_at + _START_SECONDS
        while not self._registered.wait(0.05):
            if process is None or process.poll() is not None or time.monotonic() > deadline:
                if self._reader is not None and process is not None and process.poll() is not None:
                    self._reader.join(1.0)
                said = self._lines[-1] if self._lines else "it said nothing"
                raise click.ClickException(f"the server at {self.address} did not start: {said}")

    def kill(self) -> None:
        """End it as a crash would, with SIGKILL. The port stays its own."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._collect(self._process)

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """Wait for the end after ``ask_to_stop``; SIGKILL for one that does not end."""
        process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            self._collect(process)
        self._reservation.close()

    def _collect(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._reader is not None:
            self._reader.join()

    @staticmethod
    def _read(
        process: subprocess.Popen[str], registered: threading.Event, lines: list[str]
    ) -> None:
        assert process.stderr is not None  # noqa: S101  # a pipe was asked for; narrows the type
        with process.stderr as log:
            for line in log:
                lines.append(line.strip())
                if line.startswith("registered "):
                    registered.set()


class Cluster:
    """Three servers. As a context manager it starts them and ends them, whatever happens in between.

    Args:
        folder: For the configurations.
        protocol: The registry plugin.
        address: Of the registry.
    """

    def __init__(self, folder: Path, protocol: str, address: str) -> None:
        registry = _REGISTRY_YAML.format(
            protocol=protocol, address=json.dumps(address), heartbeat=_HEARTBEAT
        )
        self.nodes = [
            NodeProcess(folder, number, version, registry)
            for number, version in enumerate(VERSIONS, 1)
        ]
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
                node.wait_registered()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all."""
        self._stop()

    def _stop(self) -> None:
        for node in self.nodes:
            node.ask_to_stop()
        for node in self.nodes:
            node.stop()


def _reserve_port() -> socket.socket:
    """Bind a socket to a free port, and do not listen: the server can still have it, and while the server is dead no outgoing connection is given the port as its own."""
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation
