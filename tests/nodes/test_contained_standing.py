"""Whose ``standing`` calls may read themselves."""

from __future__ import annotations

import pytest

from bee_core.contracts.plugin_faults import PluginFaults
from bee_core.interfaces import Node
from bee_core.nodes.contained_breakers import ContainedBreakers

NODE = Node("1", "tcp://10.0.0.1:9000")


class Asked:
    """A breaker without ``standing``."""

    state = "closed"

    def admit(self, now):
        return object()

    def settle(self, permit, outcome, seconds, now):
        return None

    def probed(self, ok, now):
        return None


class Slotted(Asked):
    __slots__ = ("standing",)

    def __init__(self):
        self.standing = object()


class Stated(Asked):
    standing = None


class Unset(Slotted):
    def __init__(self):
        pass


class Computed(Asked):
    @property
    def standing(self):
        raise AssertionError("nobody looks while it is built")


class Odd(Stated):
    def __getattribute__(self, name):
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (Slotted, True),
        (Stated, True),
        (Asked, False),
        (Unset, False),
        (Computed, False),
        (Odd, False),
    ],
)
def test_calls_read_what_runs_no_code_of_the_plugin(kind, plain):
    class Breakers:
        def node(self, node):
            return kind()

        def sweep(self, now):
            return (), None

    breakers = ContainedBreakers(Breakers(), PluginFaults(lambda _: None, lambda: 0.0))
    breakers.node(NODE)
    assert breakers.plain is plain
