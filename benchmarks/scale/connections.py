"""What idle connections take: ``python -m benchmarks.scale.connections [--count 2000 10000]``.

Each connection has said hello and made one call. Told are the bytes of the server's process for a
connection (resident memory, so without what the kernel keeps for its sockets), and what the idle
ones cost the calls of one caller: its median and p99 with them, over those without.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import time
from statistics import median
from typing import Any

import bee_core
from bee_core.wire import frames
from bee_core.wire.messages import Hello
from bee_core.wire.protocol import ClientProtocol
from bee_core.wire.requests import request_fields, time_left_field

from .serving import client_config, server

CALLS = 3000


def allow_descriptors(count: int) -> None:
    """As many as are needed, as far as the system lets this process and its children."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 500
    if most != resource.RLIM_INFINITY and most < wanted:
        raise SystemExit(f"the system allows {most} descriptors, and {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def resident(pid: int) -> int:
    """Bytes of a process's own pages in memory."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123
        lines = dict(line.split(":", 1) for line in list(file)[1:])
    return sum(int(lines[name].split()[0]) for name in ("Private_Dirty", "Private_Clean")) * 1024


def greet(port: int) -> socket.socket:
    """A connection that has said hello and made a call."""
    sock = socket.create_connection(("127.0.0.1", port))
    protocol = ClientProtocol(
        frames.encode(frames.HELLO, 0, Hello("echo", "json").encode()), 1 << 20
    )
    fields = request_fields("echo") + time_left_field(30)
    sock.sendall(protocol.greet() + frames.encode(frames.REQUEST, 1, fields, b"[1]"))
    answers: list[frames.Frame] = []
    while not answers:
        answers = protocol.receive(sock.recv(65536))
    assert answers[0].kind == frames.RESPONSE, answers
    return sock


def latencies(port: int) -> list[float]:
    with bee_core.build_client(client_config(port)) as client:
        echo = client.service("echo").echo
        echo(1)
        times = []
        for _ in range(CALLS):
            began = time.perf_counter()
            echo(1)
            times.append(time.perf_counter() - began)
    return sorted(times)


def measure(counts: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for count in counts:
        with server("bee") as (port, pid):
            idle = [greet(port) for _ in range(20)]  # what the first ones import is not counted
            latencies(port)
            alone = latencies(port)
            before = resident(pid)
            began = time.perf_counter()
            idle += [greet(port) for _ in range(count)]
            took = time.perf_counter() - began
            each = (resident(pid) - before) / count
            beside = latencies(port)
            for sock in idle:
                sock.close()
        found[str(count)] = {
            "bytes_each": round(each),
            "accepted_per_second": round(count / took),
            "median_over_alone": round(median(beside) / median(alone), 2),
            "p99_over_alone": round(beside[int(CALLS * 0.99)] / alone[int(CALLS * 0.99)], 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, nargs="+", default=[2000, 10_000])
    options = parser.parse_args()
    allow_descriptors(max(options.count))
    print(json.dumps(measure(options.count), indent=2))


if __name__ == "__main__":
    main()
