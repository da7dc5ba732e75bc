"""A server that would break the callers of the others does not register, or says so."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import pytest

import bee_core
from bee_core.errors import BeeError
from bee_core.testing import MemoryRegistry
from support.ports import fixed_address


class Old:
    def add(self, a: int, b: int) -> int:
        return a + b


class Wider:
    def add(self, a: int, b: int, c: int = 0) -> float:
        return a + b + c


class New:
    def add(self, a: int, b: int, c: int) -> int:
        return a + b + c


class More(Old):
    def subtract(self, a: int, b: int) -> int:
        return a - b


@pytest.fixture
def registry():
    return MemoryRegistry()


@pytest.fixture
def serve(registry):
    """Serve an object under a version; what is registered stays until the test ends."""
    with ExitStack() as running:

        def make(target, version, *, register=True, **keys):
            section = {
                "name": "calc",
                "version": version,
                "register": register,
                "address": "127.0.0.1:0",
                "drain_timeout": 0,
                **keys,
            }
            config = {"bee": {"rpc": {"registry": {"protocol": "memory"}, "server": section}}}
            server = bee_core.build_server(config, plugins=[registry])
            server.add(target)
            running.enter_context(server.in_thread())
            return server

        yield make


@pytest.fixture
def others(serve, registry):
    """One server that is there, of 1.2.0."""
    server = serve(Old(), "1.2.0", register=False)
    registry.publish("calc", server.address, version="1.2.0")
    return server


def test_one_that_breaks_callers_does_not_start(serve, others, registry):
    with pytest.raises(BeeError, match=r"would break callers in 1 way, so it does not register"):
        serve(New(), "1.3.0", on_breaking="refuse")


def test_it_says_which_change_and_compared_with_which_node(serve, others, caplog):
    with caplog.at_level(logging.WARNING), pytest.raises(BeeError) as caught:
        serve(New(), "1.3.0", on_breaking="refuse")
    line = (
        "add (c): it is new and has no default, so callers do not give it"
        f" (compared with 1.2.0 at {others.address})"
    )
    assert line in str(caught.value)
    (record,) = [one for one in caplog.records if one.bee_event == "breaking_change"]
    assert record.bee_fields["rule"] == "PARAMETER_ADDED"
    assert record.levelno == logging.ERROR


def test_one_that_may_warn_starts(serve, others, caplog):
    with caplog.at_level(logging.WARNING):
        assert serve(New(), "1.3.0", on_breaking="warn").address
    (record,) = [one for one in caplog.records if one.bee_event == "breaking_change"]
    assert record.levelno == logging.WARNING


@pytest.mark.parametrize(
    ("target", "version"),
    [
        (More(), "1.3.0"),  # it breaks nobody
        (New(), "2.0.0"),  # of another major version
        (New(), "1.1.0"),  # rolled back
    ],
)
def test_what_breaks_nobody_is_of_another_major_or_rolled_back_starts(
    serve, others, target, version
):
    assert serve(target, version, on_breaking="refuse").address


def test_each_version_is_asked(serve, others, registry):
    newer = serve(More(), "1.2.5", register=False)
    registry.publish("calc", newer.address, version="1.2.5")
    with pytest.raises(BeeError, match=r"subtract: the method is gone"):
        serve(Old(), "1.3.0", on_breaking="refuse")


def test_nodes_that_cannot_be_asked_keep_nobody_from_starting(serve, registry, caplog):
    closed = f"tcp://{fixed_address()}"
    silent = serve(Old(), "1.2.0", register=False, describe=False)
    registry.publish("calc", closed, version="1.0.0")
    registry.publish("calc", silent.address, version="1.2.0")
    with caplog.at_level(logging.WARNING):
        assert serve(New(), "1.3.0", on_breaking="refuse").address
    assert any(
        "none of 2 other nodes of calc says what it can do" in one.getMessage()
        for one in caplog.records
    )


def test_a_registry_that_is_down_keeps_nobody_from_starting(serve, registry, caplog):
    registry.go_out_of_reach()
    with caplog.at_level(logging.WARNING):
        assert serve(New(), "1.3.0", on_breaking="refuse").address
    assert any("does not say which other nodes" in one.getMessage() for one in caplog.records)


def test_the_first_server_of_all_starts(serve):
    assert serve(New(), "1.3.0", on_breaking="refuse").address


def test_one_that_does_not_register_asks_nobody(serve, others, registry):
    before = registry.watches_begun
    assert serve(New(), "1.3.0", register=False, on_breaking="refuse").address
    assert registry.watches_begun == before


def test_workers_compare_before_they_are_forked(others, registry):
    section = {"name": "calc", "version": "1.3.0", "register": True, "workers": 2}
    rpc = {"registry": {"protocol": "memory"}, "server": {**section, "on_breaking": "refuse"}}
    server = bee_core.build_server({"bee": {"rpc": rpc}}, plugins=[registry])
    server.add(New())
    with pytest.raises(BeeError, match="would break callers"):
        server.run()


def test_another_word_is_an_error_of_the_configuration():
    section = {"name": "calc", "on_breaking": "stop"}
    with pytest.raises(bee_core.errors.ConfigError, match=r"on_breaking"):
        bee_core.build_server({"bee": {"rpc": {"server": section}}})
