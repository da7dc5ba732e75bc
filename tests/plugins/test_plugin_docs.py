"""The plugin that ``docs/plugins.md`` shows, taken from the page and used."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from random import Random

import pytest

from bee_core.plugins.hub import PluginHub
from bee_core.terms.node import Node
from bee_core.testing import BalancerContract

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"
SOURCE = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]


def shown():
    module = types.ModuleType("nearest")
    sys.modules["nearest"] = module
    exec(SOURCE, module.__dict__)
    return module


@pytest.fixture(autouse=True)
def forget_the_module():
    yield
    sys.modules.pop("nearest", None)


class TestTheShownBalancer(BalancerContract):
    def make_balancer(self):
        module = shown()
        return module.Nearest(module.NearestOptions(zone="eu-1"))


class Ref:
    name, options, path = "nearest", {"zone": "b"}, "bee.rpc.client.calc.balancer"


def test_the_shown_plugin_is_made_by_the_hub_and_prefers_its_zone():
    balancer = PluginHub(plugins=[shown()], entry_points=[], disabled=()).create(Ref(), "balancer")
    far, near = Node("1", "tcp://10.0.0.1:1", zone="a"), Node("2", "tcp://10.0.0.2:1", zone="b")
    balancer.update([far, near])
    assert balancer.pick(None, (), Random(1)) is near
    assert balancer.pick(None, ("2",), Random(1)) is far
