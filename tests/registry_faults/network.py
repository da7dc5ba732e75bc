"""A second host on this machine.

A network namespace with two links, one to the registry and one to callers, either of which can be
cut.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from cluster.servers import ClusterServer

REGISTRY_SIDE, HOST_TO_REGISTRY = "10.213.1.1", "10.213.1.2"
CALLERS_SIDE, HOST_TO_CALLERS = "10.213.2.1", "10.213.2.2"


class Host:
    """The namespace. Needs root, and iproute2."""

    def __init__(self) -> None:
        if shutil.which("ip") is None or os.geteuid() != 0:
            pytest.skip("network namespaces take root and the command ip (apt install iproute2)")
        mark = os.getpid() % 100_000
        self.name = f"bee-{mark}"
        self._registry_link, self._callers_link = f"beer{mark}", f"beec{mark}"
        if self._try("netns", "add", self.name):
            pytest.skip("network namespaces cannot be made here")
        for link, here, there in (
            (self._registry_link, REGISTRY_SIDE, HOST_TO_REGISTRY),
            (self._callers_link, CALLERS_SIDE, HOST_TO_CALLERS),
        ):
            self._ip(
                "link", "add", link, "type", "veth", "peer", "name", "inside", "netns", self.name
            )
            self._ip("addr", "add", f"{here}/24", "dev", link)
            self._ip("link", "set", link, "up")
            inside = link.replace("bee", "in")
            self._ip("-n", self.name, "link", "set", "inside", "name", inside)
            self._ip("-n", self.name, "addr", "add", f"{there}/24", "dev", inside)
            self._ip("-n", self.name, "link", "set", inside, "up")
        self._ip("-n", self.name, "link", "set", "lo", "up")

    def cut_registry(self) -> None:
        """What is sent over the link to the registry is lost, without a word to the sender."""
        self._ip("link", "set", self._registry_link, "down")

    def mend_registry(self) -> None:
        self._ip("link", "set", self._registry_link, "up")

    def close(self) -> None:
        self._try("netns", "del", self.name)
        for link in (self._registry_link, self._callers_link):
            self._try("link", "del", link)

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)

    @staticmethod
    def _try(*arguments: str) -> int:
        return subprocess.run(
            ["ip", *arguments], check=False, capture_output=True, timeout=10
        ).returncode


def server_on(host: Host) -> type[ClusterServer]:
    """Servers of bee that run on this host."""

    class ServerThere(ClusterServer):
        PREFIX = ("ip", "netns", "exec", host.name, sys.executable)

        def __init__(self, registry: dict[str, Any], **settings: Any) -> None:
            super().__init__(registry, **{"address": f"{HOST_TO_CALLERS}:0", **settings})

    return ServerThere
