"""Processor time of a call with each balancer: ``python -m benchmarks.balancer_cost``.

Two servers in processes of their own, and one blocking client for each balancer, by turns. Only the
client's time counts. So a busy machine disturbs it little; compare the figures of one run only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from statistics import median
from typing import Any
from unittest.mock import patch

import bee_core
from bee_plugins.balancers.p2c import PowerOfTwoChoices

ROUNDS, CALLS = 9, 600
WITHOUT = "p2c without reports"


def serve() -> None:
    """Serve until the input ends."""
    settings = {"name": "calc", "address": "tcp://127.0.0.1:0"}
    server = bee_core.build_server({"bee": {"rpc": {"server": settings}}})

    def add(a: int, b: int) -> int:
        return a + b

    server.add(add)
    with server.in_thread():
        print(server.address, flush=True)
        sys.stdin.read()


def client(balancer: str, addresses: list[str]) -> Any:
    """A client that nobody observes and that does not poll."""
    transport = {"name": "tcp", "options": {"busy_poll": 0}}
    calc = {"address": addresses, "balancer": balancer.partition(" ")[0], "transport": transport}
    rpc = {"client": {"calc": calc}}
    with patch.object(PowerOfTwoChoices, "wants_load", new=balancer != WITHOUT):  # no option for it
        made = bee_core.build_client({"bee": {"application": {"recorder": False}, "rpc": rpc}})
        made.service("calc").add(1, 2)  # it is made with the first call
    return made


def main() -> None:
    if sys.argv[1:] == ["serve"]:
        serve()
        return
    command = [sys.executable, "-m", "benchmarks.balancer_cost", "serve"]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(2)
        ]
        addresses = [str(one.stdout and one.stdout.readline()).strip() for one in servers]
        names = ("random", "round-robin", WITHOUT, "p2c")
        methods = {
            name: stack.enter_context(client(name, addresses)).service("calc").add for name in names
        }
        spent: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(ROUNDS + 1):
            for name, add in methods.items():
                began = time.process_time()
                for _ in range(CALLS):
                    add(1, 2)
                if turn:  # the first one warms up
                    spent[name].append((time.process_time() - began) / CALLS * 1e6)
        for name, found in spent.items():
            beside = median(found) / median(spent["random"])
            print(f"{name:<20} {median(found):6.1f} µs of processor time a call, x {beside:.2f}")


if __name__ == "__main__":
    main()
