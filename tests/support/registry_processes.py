"""Real servers of registries, for tests: started on free ports, and then killed, frozen, emptied as a test needs it. Never mocks.

Where the binary is missing, a test skips with the reason and how to get it; with ``BEE_REQUIRE_SERVERS=1`` it fails instead.
"""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from bee_core.cli.demo.registry_server import (
    ConsulServer,
    EtcdServer,
    RegistryServer,
    ZooKeeperServer,
)
from faults.processes import fixed_port

if TYPE_CHECKING:
    from pathlib import Path


class Faulty(RegistryServer):
    """What a test does to a registry."""

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.collect()

    def restart(self, *, wipe: bool = False) -> None:
        """Start it again where it was, with its data or without."""
        self.stop()
        if wipe:
            shutil.rmtree(self.folder)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP, and wait until it stands: it takes connections, since the system does, and says nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class Etcd(Faulty, EtcdServer):
    """etcd."""


class Consul(Faulty, ConsulServer):
    """Consul, for development: all that it knows is lost with the process."""


class LastingConsul(Faulty, ConsulServer):
    """Consul with its data on disk: a cluster of one. It takes some seconds until it has elected itself."""

    def command(self, found: list[str]) -> list[str]:
        raft = "-hcl=performance { raft_multiplier = 1 }"
        return [
            *found,
            "agent",
            "-server",
            "-bootstrap-expect=1",
            f"-data-dir={self.folder / 'consul'}",
            raft,
            *self.ports(),
            *self.arguments,
        ]


class ZooKeeper(Faulty, ZooKeeperServer):
    """ZooKeeper."""


def made(kind: type[Faulty], folder: Path, *arguments: str, host: str = "127.0.0.1") -> Faulty:
    """A server that is not yet started; skips or fails where its binary is missing."""
    require(kind)
    # A port that the system gives to nobody by itself: a server that was killed must find it free when it is started again.
    return kind(folder, port=fixed_port(), arguments=arguments, host=host)


def require(kind: type[RegistryServer]) -> None:
    """Skip the test, or fail it, where a binary is missing."""
    if kind.find() is None:
        missing = f"no server of {kind.protocol} is installed: {kind.install_hint}"
        if os.environ.get("BEE_REQUIRE_SERVERS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
