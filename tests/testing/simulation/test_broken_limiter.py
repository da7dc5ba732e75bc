"""A server's limiter that breaks its contract costs the calls that it fails, and no run."""

from __future__ import annotations

import pytest

from bee_core.hookspecs import hookimpl
from bee_core.testing.simulation import CallKind, Scenario, simulate
from support.simulations import settings


class Ticket:
    """A place in a queue: its permit comes at once, or a step of it raises."""

    timeout = 0.05

    def __init__(self, broken):
        self.broken = broken

    def on_admitted(self, callback):
        if self.broken == "on_admitted":
            raise RuntimeError("a bug")
        if self.broken != "leave":  # else nobody is ever admitted, and all leave
            callback()

    def leave(self):
        if self.broken == "leave":
            raise RuntimeError("a bug")
        return True


class Broken:
    """A limiter one of whose methods raises."""

    def __init__(self, where):
        self.where = where
        self.held = 0

    def admit(self, request, now):
        if self.where == "admit":
            raise RuntimeError("a bug")
        if self.where == "no ticket":
            return "a text"
        self.held += 1
        return True if self.where == "release" else Ticket(self.where)

    def release(self, outcome, seconds):
        if self.where == "release" and outcome is not None:
            raise RuntimeError("a bug")
        self.held -= 1


class Plugin:
    def __init__(self, where):
        self.where = where
        self.made = []

    @hookimpl
    def bee_register_limiters(self, registry):
        registry.add("broken", self.make)

    def make(self):
        self.made.append(Broken(self.where))
        return self.made[-1]


def broken(where, **server):
    plugin = Plugin(where)
    config = settings(retries=0)
    config["bee"]["rpc"]["server"] = {"name": "calc", "limiter": "broken", **server}
    scenario = Scenario(seconds=5, nodes=3, calls=(CallKind(),), rate=50)
    return simulate(config, scenario, plugins=[plugin]), plugin


@pytest.mark.parametrize("limiter", ["broken", ["broken", "fixed"]])
@pytest.mark.parametrize("where", ["admit", "no ticket", "on_admitted"])
def test_a_call_that_the_limiter_fails_ends_in_a_plugin_fault_and_has_not_run(where, limiter):
    found, _ = broken(where, limiter=limiter)
    assert found["answered"] == 0
    assert found["failures"] == {"plugin_fault": found["calls"]}
    assert found["untrue"] == 0
    assert any("broken" in line for line in found["complaints"])


def test_a_release_that_raises_costs_no_call_and_is_told_once_more():
    found, plugin = broken("release")
    assert found["success"] == 1.0
    assert [limiter.held for limiter in plugin.made] == [0, 0, 0]
    assert any("release" in line for line in found["complaints"])


def test_a_queue_that_cannot_be_left_ends_its_calls():
    found, _ = broken("leave")
    assert found["failures"] == {"overloaded": found["calls"]}
    assert any("leave" in line for line in found["complaints"])
