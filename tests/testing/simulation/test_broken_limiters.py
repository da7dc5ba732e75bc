"""A limiter of the server that breaks its contract costs the calls that ask it, and not the run."""

from __future__ import annotations

import pytest

import bee_core
from bee_core.testing.simulation import CallKind, Scenario, simulate

SMALL = Scenario(nodes=3, rate=20, seconds=3, calls=(CallKind(method="read"),))


class Open:
    """Lets every call in."""

    def admit(self, request, now):
        return True

    def release(self, outcome, seconds):
        pass


class RaisesAtAdmit(Open):
    def admit(self, request, now):
        raise KeyError("a")


class AnswersNonsense(Open):
    def admit(self, request, now):
        return False


class RaisesAtRelease(Open):
    def release(self, outcome, seconds):
        raise RuntimeError("b")


class NoTurn:
    """A ticket that never gets a permit, and cannot be given up."""

    timeout = 0.1

    def on_admitted(self, callback):
        pass

    def leave(self):
        raise OSError("c")


class GivesNoTurn(Open):
    def admit(self, request, now):
        return NoTurn()


class RefusesToCallBack(Open):
    class _Ticket(NoTurn):
        def on_admitted(self, callback):
            raise ValueError("d")

    def admit(self, request, now):
        return self._Ticket()


def simulated(limiter_class, limiter="mine"):
    class Plugin:
        @bee_core.hookimpl
        def bee_register_limiters(self, registry):
            registry.add("mine", limiter_class)

    settings = {"server": {"name": "calc", "limiter": limiter}, "client": {"calc": {}}}
    return simulate({"bee": {"rpc": settings}}, SMALL, plugins=[Plugin()])


@pytest.mark.parametrize(
    ("limiter_class", "line", "failures"),
    [
        (RaisesAtAdmit, "admit raised KeyError: 'a'", {"plugin_fault"}),
        (AnswersNonsense, "admit raised AttributeError", {"plugin_fault"}),
        (RefusesToCallBack, "admit raised ValueError: d", {"plugin_fault"}),
        (RaisesAtRelease, "release raised RuntimeError: b", set()),
        (GivesNoTurn, "leave raised OSError: c", {"overloaded"}),
    ],
)
def test_it_is_named_and_the_run_goes_on(limiter_class, line, failures):
    found = simulated(limiter_class)
    assert found["calls"] > 30
    assert set(found["failures"]) == failures
    assert found["success"] == (0.0 if failures else 1.0)
    assert found["complaints"][0].startswith("limiter 'mine'")
    assert line in found["complaints"][0]
    assert found["untrue"] == 0


def test_in_a_list_of_limiters_it_is_named_too():
    found = simulated(RaisesAtAdmit, ["fixed", "mine"])
    assert set(found["failures"]) == {"plugin_fault"}
    assert "limiter 'mine': admit raised KeyError: 'a'" in found["complaints"][0]


def test_what_all_servers_would_say_is_said_once():
    assert len(simulated(RaisesAtAdmit)["complaints"]) == 1
