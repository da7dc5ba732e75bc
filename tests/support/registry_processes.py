"""Real servers of registries, for tests: killed, frozen, emptied as a test needs it. Never mocks.

Each starts on a port that stays its own. Where the binary is missing, a test skips with the reason
and how to get it; with ``BEE_REQUIRE_SERVERS=1`` it fails instead.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from bee_core.cli.demo.registry_server import (
    ConsulServer,
    EtcdServer,
    RegistryServer,
    ZooKeeperServer,
)
from support.ports import fixed_port
from support.requirements import skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Sequence


class Faulty(RegistryServer):
    """What a test does to a registry.

    Args:
        folder: Its own, for its data.
        port: Where it listens. It keeps the port when it is started again.
        arguments: More arguments for its command line.
        host: The address of this machine that it listens on.
    """

    def __init__(
        self, folder: Path, port: int, arguments: Sequence[str] = (), host: str = "127.0.0.1"
    ) -> None:
        super().__init__(folder)
        self.host, self.port = host, port
        self.address = f"{host}:{port}"
        self.arguments = list(arguments)

    def command(self, found: list[str]) -> list[str]:
        return [*super().command(found), *self.arguments]

    def restart(self, *, wipe: bool = False) -> None:
        """Start it again where it was, with its data or without."""
        self.stop()
        if wipe:
            shutil.rmtree(self.folder)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP, and wait until it stands.

        It takes connections, since the system does, and says nothing.
        """
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
    """Consul with its data on disk: a cluster of one. It elects itself within some seconds."""

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
    """ZooKeeper. Its arguments are lines of its configuration, ``key=value``."""

    def command(self, found: list[str]) -> list[str]:
        command = ZooKeeperServer.command(self, found)
        with Path(command[-1]).open("a", encoding="utf-8") as config:  # a key's last line counts
            config.writelines(f"{line}\n" for line in self.arguments)
        return command


def made(kind: type[Faulty], folder: Path, *arguments: str, host: str = "127.0.0.1") -> Faulty:
    """A server that is not yet started; skips or fails where its binary is missing."""
    require(kind)
    # A port that the system gives to nobody by itself: a server that was killed must find it free
    # when it is started again.
    return kind(folder, port=fixed_port(), arguments=arguments, host=host)


def require(kind: type[RegistryServer]) -> None:
    """Skip the test, or fail it, where a binary is missing."""
    if kind.find() is None:
        skip_or_fail(f"no server of {kind.protocol} is installed: {kind.install_hint}")
