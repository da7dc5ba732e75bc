"""A client in a process of its own: ``client_program.py CONFIG-AS-JSON ACT``.

Says on standard output what it does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time

import bee_core

HANGING = 8
CHILDREN = 8


def say(what):
    os.write(1, f"{what}\n".encode())


def await_order():
    """A line on standard input: the calls are in flight."""
    sys.stdin.readline()
    say("leaving")


def leave_with_blocking_calls(config):
    """The end of the program, with threads in the middle of calls. No ``close``."""
    calc = bee_core.build_client(config).service("calc")
    for number in range(HANGING):
        threading.Thread(target=calc.hold, args=(number,), daemon=True).start()
    await_order()


def leave_with_async_calls(config):
    """The end of ``asyncio.run`` with tasks in the middle of calls. No ``close``."""

    async def main():
        calc = bee_core.build_async_client(config).service("calc")
        tasks = [asyncio.create_task(calc.hold(number)) for number in range(HANGING)]
        await asyncio.get_running_loop().run_in_executor(None, await_order)
        assert not any(task.done() for task in tasks)

    asyncio.run(main())


def watch_for_a_third(client):
    """Whether a forked child learns of a server that came after the fork. Two are there."""
    client.service("calc").echo(1)
    say("watching")
    until = time.monotonic() + 10
    while len(client.nodes("calc").fitting) < 3 and time.monotonic() < until:
        threading.Event().wait(0.01)
    return len(client.nodes("calc").fitting) == 3


def fork_while_busy(config):
    """Threads call all the time.

    Children are forked meanwhile, call with the client that they inherit, and end. Then the
    parent's calls must have been well.
    """
    client = bee_core.build_client(config)
    calc = client.service("calc")
    stop = threading.Event()
    failed, made = [], []

    def call():
        number = 0
        while not stop.is_set():
            number += 1
            try:
                if calc.echo(number) != number:
                    failed.append("wrong answer")
            except BaseException as error:
                failed.append(repr(error))
            made.append(1)

    threads = [threading.Thread(target=call, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(made) < 100:
        stop.wait(0.001)
    codes, seconds = [], []
    for _ in range(CHILDREN):
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                answers = [calc.echo(["child", number]) for number in range(20)]
                code = (
                    0
                    if answers == [["child", number] for number in range(20)]
                    and client.nodes("calc").source == "registry"
                    else 2
                )
            except BaseException as error:
                say(f"child: {error!r}")
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        seconds.append(time.monotonic() - began)
    watcher = os.fork()
    if watcher == 0:
        os._exit(0 if watch_for_a_third(client) else 3)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(watcher, 0)[1]))
    goal = len(made) + 100
    while len(made) < goal:
        stop.wait(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    client.close()
    say(json.dumps({"calls": len(made), "failed": failed, "codes": codes, "slowest": max(seconds)}))


if __name__ == "__main__":
    globals()[sys.argv[2]](json.loads(sys.argv[1]))
