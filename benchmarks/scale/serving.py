"""A server in a process of its own: ``python -m benchmarks.scale.serving bee|raw [WORKERS]``.

It prints its port, and ends when its input ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bee_core

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


class Echo:
    """The same handler in the three kinds."""

    @bee_core.nonblocking
    def echo(self, value: Any) -> Any:
        return value

    async def echo_async(self, value: Any) -> Any:
        return value

    def echo_threaded(self, value: Any) -> Any:
        return value

    def work(self, rounds: int) -> int:
        """Use the processor."""
        total = 0
        for number in range(rounds):
            total += number & 7
        return total

    def pid(self) -> int:
        return os.getpid()


def serve_bee(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {
        "name": "echo",
        "version": "1.0.0",
        "address": f"127.0.0.1:{port}",
        "workers": workers,
        "codecs": ["json", "msgpack"],
        "max_conn_size": 20_000,
        "max_pool_size": 64,
        "max_in_flight": 20_000,
    }
    server = bee_core.build_server({"bee": {"rpc": {"server": settings}}})
    server.add(Echo())
    print(port, flush=True)
    server.run()


def serve_raw() -> None:
    """Read a whole message of a size that the client tells first, and send it back."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        size = int.from_bytes(connection.recv(8), "big")
        message = memoryview(bytearray(size))
        while size and read_whole(connection, message):
            connection.sendall(message)


def read_whole(connection: socket.socket, message: memoryview) -> bool:
    done = 0
    while done < len(message):
        got = connection.recv_into(message[done:])
        if not got:
            return False
        done += got
    return True


@contextmanager
def server(kind: str, workers: int = 1) -> Iterator[tuple[int, int]]:
    """A server process: its port and its process id."""
    command = [sys.executable, "-m", "benchmarks.scale.serving", kind, str(workers)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            wait_for(port)
            yield port, process.pid
        finally:
            process.stdin.close()
            process.terminate()


def wait_for(port: int) -> None:
    for _ in range(1000):
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.01)
    raise RuntimeError(f"nothing listens on {port}")


def client_config(port: int, **keys: Any) -> dict[str, Any]:
    """A client with the governance on."""
    service = {
        "address": f"127.0.0.1:{port}",
        "balancer": "random",
        "fail": "failover",
        "retries": 2,
        "breaker": "consecutive",
        "idempotent": True,
        "timeout": 30,
        **keys,
    }
    return {"bee": {"rpc": {"client": {"echo": service}}}}


def _leave_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), 15)


if __name__ == "__main__":
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if sys.argv[1] == "raw":
        serve_raw()
    else:
        serve_bee(int(sys.argv[2]))
