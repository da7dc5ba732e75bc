"""kazoo's client and forked children, in real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = str(Path(__file__).parents[2])


def ran(program, address):
    """What a program prints, its complaints, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", program, address, TESTS],
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    return done.stdout, done.stderr, done.returncode


PARENT = """
import asyncio, os, sys, threading
sys.path.insert(0, sys.argv[2])
from support.zookeeper_rig import instance, registry

loop = asyncio.new_event_loop()  # as a control plane has it: on a thread of its own
threading.Thread(target=loop.run_forever, daemon=True).start()

def run(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

async def begin():
    mine = registry(sys.argv[1], heartbeat=1.6)
    return mine, await mine.register(instance("forked"))

async def watched(mine):
    watch = mine.watch("forked")
    nodes = (await watch.__anext__()).nodes
    await watch.aclose()
    return nodes

mine, lease = run(begin())
assert len(run(watched(mine))) == 1
session = mine.session
number, (sock,), connects = session.id, session.handler.sockets, session.connects
here = f"socket:[{os.fstat(sock.fileno()).st_ino}]"
child = os.fork()
if child == 0:
    left = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            left.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass  # that of the listing itself
    if here in left:
        os._exit(3)
    sys.exit(0)  # by way of the interpreter's exit, with its hooks
_, status = os.waitpid(child, 0)
assert status == 0, status
run(lease.renew())
run(mine.register(instance("forked")))
assert len(run(watched(mine))) == 1
now = (session.id, session.connects)
assert now == (number, connects), "the child has disturbed the parent's session"
run(mine.close())
print("well", flush=True)
"""


def test_a_forked_child_lets_go_of_the_connection_and_disturbs_nothing(zookeeper):
    printed, complaints, code = ran(PARENT, zookeeper.address)
    assert (printed, code) == ("well\n", 0), complaints
    assert "Traceback" not in complaints


NOT_CLOSED = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from support.zookeeper_rig import instance, registry

async def main():
    mine = registry(sys.argv[1], heartbeat=1.6)
    await mine.register(instance("left-open"))

asyncio.run(main())
print("well", flush=True)
"""


def test_a_program_that_closes_nothing_still_ends(zookeeper):
    assert ran(NOT_CLOSED, zookeeper.address) == ("well\n", "", 0)
