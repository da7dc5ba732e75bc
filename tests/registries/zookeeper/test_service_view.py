"""What a view makes of answers and events that come close together."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from kazoo.exceptions import NoNodeError

from bee_plugins.registries.zookeeper.watch import ServiceView

PATH = "/bee/rpc/calc/providers"


class Asked:
    """Stands for kazoo's client: names what is asked."""

    def get_children_async(self, path, watch):
        return "children"

    def exists_async(self, path, watch):
        return "exists"


class Session:
    """Connected. The event of a watch comes after its answer, before anybody has read that."""

    connected, connects, on_event = True, 1, None

    def __init__(self, stat):
        self.subscribers = set()
        self.asked = []
        self._stat = stat

    async def request(self, start):
        self.asked.append(start(Asked()))
        if self.asked[-1] == "children":
            if len(self.asked) == 1:
                raise NoNodeError
            return []
        for view in self.subscribers:
            view.znode_changed(PATH)
        return self._stat


@pytest.mark.parametrize("stat", [None, SimpleNamespace(version=0)], ids=["not yet", "there"])
def test_a_parent_that_comes_as_it_is_looked_for_is_listed(stat):
    async def main():
        session = Session(stat)
        await ServiceView(session, PATH, SimpleNamespace()).refresh()
        return session.asked

    assert asyncio.run(main()) == ["children", "exists", "children"]
