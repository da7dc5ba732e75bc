"""Counts instructions: valgrind runs a program that marks its calls; see ``programs``.

The first calls warm up and do not count. Hash seeds are fixed. Only what the process does itself is
counted, not what the kernel does for it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from .programs import BALANCER, CLIENTS, IN_FLIGHT, OBSERVERS, SERVERS
from .scripted import TIMEOUT, Answering, Replay

if TYPE_CHECKING:
    from collections.abc import Callable

BALANCERS = ("random", "round-robin", "p2c", "consistent-hash", "zone", "subset")
WARM, CALLS = 640, 1280
"""Calls before the first mark, and between the marks: multiples of ``IN_FLIGHT``."""
ROOT = Path(__file__).parents[2]
COUNTED = re.compile(r"I +refs: +([\d,]+)")


@attrs.frozen
class Figure:
    """One row of the table.

    Attributes:
        program: What is counted.
        against: The program of the bare protocol that does the same work.
        batch: Calls in flight.
    """

    program: str
    against: str
    batch: int


FIGURES = {
    "blocking client": Figure("blocking", "bare-blocking", 1),
    "asyncio client, 64 in flight": Figure("asyncio", "bare-asyncio", IN_FLIGHT),
    "server, one call at a time": Figure("server", "bare-server", 1),
    "server, 64 in flight": Figure("server", "bare-server", IN_FLIGHT),
}


class CannotCount(Exception):
    """valgrind is missing, or a program failed under it."""


def command(*arguments: str, counted: bool = True) -> list[str]:
    """The command line of a program."""
    tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    program = [sys.executable, "-m", "benchmarks.instructions.programs", *arguments]
    return tool + program if counted else program


def environment(*, native: bool | None, observers: str = "", balancer: str = "") -> dict[str, str]:
    """The same for each run. Nothing of the caller's own settings of Python gets in."""
    chosen = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    chosen["PYTHONHASHSEED"] = "0"
    chosen[OBSERVERS], chosen[BALANCER] = observers, balancer
    if native is not None:
        chosen["BEE_NATIVE"] = str(int(native))
    return chosen


def counted(text: str, marks: int) -> list[int]:
    """The numbers of all marks.

    Raises:
        CannotCount: There are not so many.
    """
    found = [int(number.replace(",", "")) for number in COUNTED.findall(text)]
    if len(found) <= marks:  # the program's own end is the last
        raise CannotCount(f"the program failed under valgrind:\n{text[-2000:]}")
    return found[:marks]


def too_slow(program: str) -> CannotCount:
    """The error for a program that does not end."""
    return CannotCount(
        f"{program} has not ended after {TIMEOUT} s under valgrind: the machine is too busy, or the"
        " program hangs"
    )


def count_client(program: str, env: dict[str, str]) -> dict[int, int]:
    """Instructions a call of a client, by the calls in flight."""
    batch = next(one.batch for one in FIGURES.values() if program in {one.program, one.against})
    peer = Answering(batch)
    try:
        done = subprocess.run(
            command(program, str(peer.port), str(WARM), str(CALLS)),
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise too_slow(program) from None
    first, last = counted(done.stderr, 2)
    peer.close()
    return {batch: (last - first) // CALLS}


def count_picks(balancer: str) -> int:
    """Instructions of a pick among some nodes, and of telling the balancer how it ended.

    Raises:
        CannotCount: valgrind is not there, or the program failed.
    """
    must_have_valgrind()
    done = subprocess.run(
        command("picks", balancer, str(WARM), str(CALLS)),
        cwd=ROOT, env=environment(native=None), capture_output=True, text=True, timeout=TIMEOUT,
        check=False,
    )  # fmt: skip
    first, last = counted(done.stderr, 2)
    return (last - first) // CALLS


def count_balancers(
    native: bool | None, done: Callable[[str], object] = lambda _: None
) -> dict[str, tuple[int, int, int]]:
    """Instructions by balancer: of a pick, of a blocking client's call, of an asyncio client's.

    Raises:
        CannotCount: valgrind is not there, or a program failed.
    """
    found = {}
    for name in BALANCERS:
        env = environment(native=native, balancer=name)
        blocking, multiplexed = (
            next(iter(count_client(program, env).values())) for program in ("blocking", "asyncio")
        )
        found[name] = count_picks(name), blocking, multiplexed
        done(name)
    return found


def must_have_valgrind() -> None:
    """Say so where it is missing.

    Raises:
        CannotCount: valgrind is not there.
    """
    if shutil.which("valgrind") is None:
        raise CannotCount("valgrind is not installed; on Debian: apt-get install valgrind")


def record(program: str, env: dict[str, str]) -> list[bytes]:
    """What a client sends, without valgrind: its fields are those of a client in a hurry."""
    peer = Answering(1)
    subprocess.run(
        command(program, str(peer.port), str(2 * (WARM + CALLS)), counted=False),
        cwd=ROOT, env=env, check=True, timeout=TIMEOUT,
    )  # fmt: skip
    peer.close()
    return peer.received


def count_server(program: str, env: dict[str, str]) -> dict[int, int]:
    """Instructions a call of a server, by the calls in flight."""
    recorded = record("blocking" if program == "server" else "bare-blocking", env)
    batches = (1, IN_FLIGHT)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command(program),
            cwd=ROOT, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
        )  # fmt: skip
        output, orders = process.stdout, process.stdin
        assert output is not None
        assert orders is not None

        def mark() -> None:
            print("mark", file=orders, flush=True)
            if not output.readline():
                raise ConnectionError("the server has ended")

        try:
            port = int(output.readline() or "0")
            if port:
                with Replay(port, recorded) as replay:
                    for batch in batches:
                        replay.send(WARM, batch)
                        mark()
                        replay.send(CALLS, batch)
                        mark()
        except ConnectionError:
            pass  # `counted` says what the server said
        finally:
            try:
                process.communicate("", TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise too_slow(program) from None
        said.seek(0)
        marks = counted(said.read(), 2 * len(batches))
    return {
        batch: (marks[2 * index + 1] - marks[2 * index]) // CALLS
        for index, batch in enumerate(batches)
    }


def count(
    native: bool | None = None,
    observers: str = "",
    done: Callable[[str], object] = lambda _: None,
) -> dict[str, tuple[int, int]]:
    """Instructions a call of every figure, and those of the bare protocol.

    Args:
        native: Whether bee's native exchange runs; None for what bee chooses.
        observers: Their names, with commas between them. Nobody observes the bare protocol, so it
            is not counted then, and its figure is 0.
        done: Is told of each program that was counted.

    Raises:
        CannotCount: valgrind is not there, or a program failed.
    """
    must_have_valgrind()
    env = environment(native=native, observers=observers)

    def run(program: str) -> dict[int, int]:
        found = (count_client if program in CLIENTS else count_server)(program, env)
        done(program)
        return found

    against = {one.against for one in FIGURES.values()}
    programs = [  # the longest first
        program for program in (*SERVERS, *CLIENTS) if not (observers and program in against)
    ]
    # valgrind counts, it does not measure time, so two at once do not disturb each other.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = dict(zip(programs, pool.map(run, programs), strict=True))
    return {
        name: (found[one.program][one.batch], found.get(one.against, {}).get(one.batch, 0))
        for name, one in FIGURES.items()
    }
