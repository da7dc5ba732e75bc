"""A process that uses the registry ``local``: FOLDER HEARTBEAT ID ACT.

It says on stdout what it has done, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

from bee_core.errors import RegistryError
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node
from bee_plugins.registries.local.registry import LocalRegistry


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


def wait_in_child():
    """Live until the signal, whatever becomes of the parent."""
    signal.pause()
    os._exit(0)


async def serve(registry, heartbeat, instance):
    lease = await registry.register(instance)
    say("registered")
    while True:
        await asyncio.sleep(heartbeat)
        await lease.renew()


async def contend(registry, instance):
    """Take the id whenever it is free, and find it ours until we leave."""
    held = 0
    while held < 15:
        try:
            lease = await registry.register(instance)
        except RegistryError:
            continue
        held += 1
        # A renewal fails when another one has taken the name.
        await lease.renew()
        await asyncio.sleep(0)
        await lease.renew()
        await lease.revoke()
    say("done")


async def inherit(registry, instance):
    lease = await registry.register(instance)
    child = os.fork()
    if child == 0:
        try:
            await lease.renew()
        except RegistryError:
            await lease.revoke()
            say("child", os.getpid())
        wait_in_child()
    say("registered")
    await asyncio.Event().wait()


def main():
    folder, heartbeat, name, act = sys.argv[1:]
    threading.Thread(target=end_with_stdin, daemon=True).start()
    registry = LocalRegistry(RegistrySettings((folder,), float(heartbeat)))
    instance = Instance("calc", Node(name, f"tcp://127.0.0.1:{10_000 + os.getpid() % 50_000}"))
    if act == "serve":
        asyncio.run(serve(registry, float(heartbeat), instance))
    elif act == "contend":
        asyncio.run(contend(registry, instance))
    elif act == "fork":
        asyncio.run(inherit(registry, instance))


if __name__ == "__main__":
    main()
