"""Instructions a call by the policy: ``python -m benchmarks.instructions.policies``.

One policy at a time takes the place of its kind in the configuration of the other benchmarks, and
valgrind counts a call of both clients. Its output is the table of docs/performance.md. There is one
node, and it answers: what is counted is the way of a call that needs no policy. More nodes do not
change it, since no balancer looks at all of them.

Each policy has a child of one process, so bee is imported once, and the interpreter adapts its code
to one policy alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..contenders.bee import Bee
from ..payloads import RECORD_SIZE
from .counting import COUNTED, ROOT, CannotCount, command, environment
from .programs import IN_FLIGHT, call_asyncio, call_blocking
from .scripted import TIMEOUT, Answering

WARM, CALLS = 5 * IN_FLIGHT, 10 * IN_FLIGHT
"""Calls with each policy before the first mark, and between the marks."""
ROOM = {"initial": 1000, "min_limit": 1000}
"""No call waits at a limiter: how many would depends on the clock."""
POLICIES: dict[str, dict[str, dict[str, Any]]] = {
    "": {"as the other benchmarks": {}},
    "balancer": {
        "`random`": {"balancer": "random"},
        "`round-robin`": {"balancer": "round-robin"},
        "`p2c`": {"balancer": "p2c"},
        "`consistent-hash`, no key": {"balancer": "consistent-hash"},
        "`consistent-hash`, `bound: 1.25`": {
            "balancer": {"name": "consistent-hash", "options": {"bound": 1.25}}
        },
        "`zone` within `p2c`": {
            "balancer": {"name": "zone", "options": {"zone": "a", "within": "p2c"}}
        },
        "`subset` within `random`": {
            "balancer": {"name": "subset", "options": {"size": 8, "within": "random"}}
        },
    },
    "breaker": {
        "none": {"breaker": None},
        "`consecutive`": {"breaker": "consecutive"},
        "`success-rate`": {"breaker": "success-rate"},
        "`outlier`": {"breaker": "outlier"},
    },
    "limiter": {
        "`fixed`": {"limiter": {"name": "fixed", "options": {"max_in_flight": 1000}}},
        "`gradient`": {"limiter": {"name": "gradient", "options": ROOM}},
        "`codel` before `gradient`": {
            "limiter": {
                "name": "codel",
                "options": {"limit": {"name": "gradient", "options": ROOM}},
            }
        },
        "`throttle`": {"limiter": "throttle"},
    },
    "fault tolerance": {
        "`failfast`": {"fail": "failfast", "retries": None},
        "`failtry`": {"fail": "failtry"},
        "`failover`": {"fail": "failover"},
        "`failbackup`": {"fail": "failbackup"},
        "`broadcast`": {"fail": "broadcast", "balancer": None},
    },
}
CLIENTS = {"blocking": (call_blocking, 1), "asyncio": (call_asyncio, IN_FLIGHT)}
"""Which are counted, with the calls in flight."""
SERVICES = [
    (kind, name, service)
    for kind, policies in POLICIES.items()
    for name, service in policies.items()
]


def run(client: str, ports: list[int]) -> None:
    """Under valgrind: some calls with each policy, two marks in each child."""
    call, _ = CLIENTS[client]
    contenders = [
        Bee(transport={"busy_poll": 0}, service=service, application={"recorder": False})
        for _, _, service in SERVICES
    ]
    for bee in contenders:  # what they import is imported once, here
        with bee.open(1, RECORD_SIZE, 1):
            pass
    for port, bee in zip(ports, contenders, strict=True):
        child = os.fork()
        if child == 0:
            call(bee, port, (WARM, CALLS))
            os._exit(0)
        os.waitpid(child, 0)
    os._exit(0)


def counted(client: str) -> list[int]:
    """Instructions a call with each policy.

    Raises:
        CannotCount: The program failed under valgrind.
    """
    peers = [Answering(CLIENTS[client][1], 3 * TIMEOUT) for _ in SERVICES]
    program = command()
    program[program.index("benchmarks.instructions.programs")] = "benchmarks.instructions.policies"
    done = subprocess.run(
        [*program, client, *(str(peer.port) for peer in peers)],
        cwd=ROOT, env=environment(native=None), capture_output=True, text=True,
        timeout=3 * TIMEOUT, check=False,
    )  # fmt: skip
    for peer in peers:
        peer.close()
    ends = [int(number.replace(",", "")) for number in COUNTED.findall(done.stderr)]
    if len(ends) != 3 * len(SERVICES) + 1:  # two marks and the end of each child
        raise CannotCount(f"{client} failed under valgrind:\n{done.stderr[-2000:]}")
    return [(ends[3 * index + 1] - ends[3 * index]) // CALLS for index in range(len(SERVICES))]


def main() -> None:
    """Count, and print."""
    if sys.argv[1:]:
        run(sys.argv[1], [int(port) for port in sys.argv[2:]])
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        found = list(zip(*pool.map(counted, CLIENTS), strict=True))
    print("| kind | policy | blocking client | asyncio client, 64 in flight |")
    print("| --- | --- | ---: | ---: |")
    for (kind, name, _), numbers in zip(SERVICES, found, strict=True):
        cells = [
            f"{own:,} ({(own / base - 1) * 100:+.1f} %)"
            for own, base in zip(numbers, found[0], strict=True)
        ]
        print(f"| {kind} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
