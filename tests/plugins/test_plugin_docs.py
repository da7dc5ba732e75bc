"""The plugins that the pages show, taken from there and used."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from random import Random

import pytest

from bee_core.plugins.hub import PluginHub
from bee_core.terms.node import Node
from bee_core.testing import BalancerContract, InterceptorContract, ObserverContract

DOCS = Path(__file__).resolve().parents[2] / "docs"


def shown(name="nearest", page="plugins.md"):
    """The module of a page that registers a plugin."""
    text = (DOCS / page).read_text(encoding="utf-8")
    module = types.ModuleType(name)
    sys.modules[name] = module
    (source,) = (
        source
        for source in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if f'registry.add("{name}"' in source
    )
    exec(source, module.__dict__)
    return module


@pytest.fixture(autouse=True)
def forget_the_modules():
    yield
    for name in ("nearest", "first-node", "counting", "tenants"):
        sys.modules.pop(name, None)


class TestTheShownBalancer(BalancerContract):
    def make_balancer(self):
        module = shown()
        return module.Nearest(module.NearestOptions(zone="eu-1"))


class TestTheBalancerOfTheHowTo(BalancerContract):
    def make_balancer(self):
        return shown("first-node", "how-to/write-a-plugin.md").FirstNode()


def test_the_shown_test_runs_as_it_is_pasted():
    shown()
    text = (DOCS / "plugins.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n([^`]*class TestNearest.*?)```", text, re.DOTALL)
    pasted = {}
    exec(source, pasted)
    suite = pasted["TestNearest"]()
    assert isinstance(suite, BalancerContract)
    assert type(suite.make_balancer()).__module__ == "nearest"


class Ref:
    name, options, path = "nearest", {"zone": "b"}, "bee.rpc.client.calc.balancer"


def test_the_shown_plugin_is_made_by_the_hub_and_prefers_its_zone():
    balancer = PluginHub(plugins=[shown()], entry_points=[], disabled=()).create(Ref(), "balancer")
    far, near = Node("1", "tcp://10.0.0.1:1", zone="a"), Node("2", "tcp://10.0.0.2:1", zone="b")
    balancer.update([far, near])
    assert balancer.pick(None, (), 0.0, Random(1)) is near
    assert balancer.pick(None, ("2",), 0.0, Random(1)) is far


class TestTheShownObserver(ObserverContract):
    def make_observer(self):
        return shown("counting").Counting()


class TestTheShownInterceptor(InterceptorContract):
    sides = ("server",)

    def make_interceptor(self):
        return shown("tenants").Tenants()
