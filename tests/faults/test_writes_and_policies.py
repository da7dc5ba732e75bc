"""Writes that are not idempotent, over connections that are cut again and again.

Each fault tolerance that makes several attempts at a time: none runs twice on a node.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest

import bee_core
from bee_core.errors import CallError
from faults.services import serving
from faults.users import AsyncUser, BlockingUser, FutureUser, client_config
from support.patience import PATIENCE
from support.tcp_relay import TcpRelay

POLICIES = {
    "failbackup": {"name": "failbackup", "options": {"delay": 0.0001, "budget": 0.1}},
    "broadcast": {"name": "broadcast", "options": {"base": 0.001, "cap": 0.002}},
}
NODES = 3


class Book:
    def __init__(self):
        self.ran = Counter()

    @bee_core.nonblocking
    def write(self, key: str) -> str:
        self.ran[key] += 1
        return key


@contextmanager
def relays(ports):
    """A relay before each port, on a loop in a thread of its own; and what cuts one of them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def on_loop(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE)

    made = [TcpRelay(port) for port in ports]
    for relay in made:
        on_loop(relay.__aenter__())
    try:
        yield (
            [relay.address for relay in made],
            lambda: loop.call_soon_threadsafe(random.choice(made).cut),
        )
    finally:
        for relay in made:
            on_loop(relay.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def write(users, writes, cut):
    """Write from six threads; every now and then a relay cuts all that is connected."""
    numbers, outcomes = itertools.count(), {}

    def work(user):
        while (number := next(numbers)) < writes:
            key = f"w{number}"
            try:
                outcomes[key] = user.call("write", key)
            except CallError as error:
                outcomes[key] = error
            if number % 25 == 0:
                cut()

    threads = [threading.Thread(target=work, args=(user,)) for user in users for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 10)
        assert not thread.is_alive()
    return outcomes


def check(policy, writes):
    books = [Book() for _ in range(NODES)]
    with ExitStack() as stack:
        ports = [
            int(stack.enter_context(serving(book)).address.rpartition(":")[2]) for book in books
        ]
        addresses, cut = stack.enter_context(relays(ports))
        config = client_config(
            *addresses, fail=POLICIES[policy], retries=4, timeout=20, idempotent=False
        )
        users = [BlockingUser(config), AsyncUser(config), FutureUser(config)]
        for user in users:
            stack.callback(user.close)
        outcomes = write(users, writes, cut)
    total = sum((book.ran for book in books), Counter())
    errors = {key: one for key, one in outcomes.items() if isinstance(one, CallError)}
    assert len(outcomes) == writes
    assert errors, "no connection was cut under a write"
    for book in books:
        assert [key for key, times in book.ran.items() if times > 1] == [], "twice on one node"
    if policy != "broadcast":
        assert [key for key, times in total.items() if times > 1] == [], "ran twice"
    fewest = NODES if policy == "broadcast" else 1
    assert [key for key in outcomes if key not in errors and total[key] != fewest] == []
    said = {key: error.executed for key, error in errors.items()}
    assert [key for key, executed in said.items() if executed == "no" and total[key]] == []
    assert [key for key, executed in said.items() if executed == "yes" and not total[key]] == []


@pytest.mark.parametrize("policy", POLICIES)
def test_no_write_runs_twice_on_a_node_while_connections_are_cut(policy):
    check(policy, 1000)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("policy", POLICIES)
def test_no_write_of_ten_thousand_runs_twice_on_a_node(policy):
    check(policy, 10_000)
