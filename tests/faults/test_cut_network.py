"""Nodes behind a cut network, with a connect_timeout that is longer than the timeout."""

from __future__ import annotations

import pytest

from bee_core.errors import CircuitOpen, DeadlineExceeded
from support.black_holes import black_hole

LONG = {"connect_timeout": 30, "balancer": "round-robin"}


@pytest.fixture
def hole():
    with black_hole() as (host, port):
        yield f"tcp://{host}:{port}"


@pytest.mark.parametrize("fail", ["failover", "failbackup"])
def test_a_node_behind_a_cut_network_leaves_the_call_time_for_another_one(
    users, server, hole, fail
):
    user = users(hole, server.address, fail=fail, idempotent=True, timeout=2, **LONG)
    for _ in range(2):
        assert user.call("add", 1, 2) == 3


def test_it_is_cut_off_after_calls_that_had_no_other_node(users, hole):
    breaker = {"name": "consecutive", "options": {"max_error_count": 2}}
    user = users(hole, timeout=0.3, breaker=breaker, **LONG)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded) as caught:
            user.call("add", 1, 2)
        assert caught.value.executed == "no"
    with pytest.raises(CircuitOpen):
        user.call("add", 1, 2)
