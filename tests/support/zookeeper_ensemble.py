"""Three members of ZooKeeper that can be frozen one by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from support.ports import fixed_port
from support.registry_processes import ZooKeeper, made


class Ensemble:
    """Three members.

    Args:
        folder: For their data.
    """

    def __init__(self, folder):
        ports = [(fixed_port(), fixed_port()) for _ in range(3)]
        peers = [f"server.{n}=127.0.0.1:{a}:{b}" for n, (a, b) in enumerate(ports, 1)]
        self.members = []
        for number in range(1, 4):
            home = folder / f"member-{number}"
            (home / "zookeeper").mkdir(parents=True)
            (home / "zookeeper" / "myid").write_text(f"{number}\n")
            self.members.append(made(ZooKeeper, home, "initLimit=20", "syncLimit=20", *peers))

    def start(self):
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(ZooKeeper.start, self.members))

    def stop(self):
        for member in self.members:
            member.stop()

    @property
    def addresses(self):
        return [member.address for member in self.members]

    def leader(self):
        return next(m for m in self.members if "Mode: leader" in m.ask("srvr"))

    def member_of(self, session):
        """The member that a session is connected to."""
        (sock,) = session.handler.sockets
        port = sock.getpeername()[1]
        return next(member for member in self.members if member.port == port)
