"""Clients of one registry whose namespaces differ: none starts from the other's list on disk."""

from __future__ import annotations

import attrs
import pytest

import bee_core
from bee_core.testing import MemoryRegistry

URL = "tcp://127.0.0.1:1"


@attrs.frozen
class SpacedOptions:
    prefix: str = "/bee"
    password: str | None = attrs.field(default=None, repr=False)
    retries: int = 3


class Spaced:
    """A registry with a prefix that its plugin states as a namespace, or does not."""

    def __init__(self, *, stated):
        self.memory = MemoryRegistry()
        self._stated = stated

    @bee_core.hookimpl
    def bee_register_registries(self, registry):
        registry.add("spaced", self._make, options=SpacedOptions)

    def _make(self, settings, options):
        session = Session(self.memory.session(settings))
        if self._stated:
            session.namespace = f"prefix={options.prefix}"
        return session


class Session:
    """A session of the memory registry, without what it states of itself."""

    def __init__(self, inner):
        self._inner = inner

    def known(self, service, addresses):
        return self._inner.known(service, addresses)

    async def register(self, instance):
        return await self._inner.register(instance)

    def watch(self, service):
        return self._inner.watch(service)

    async def close(self):
        await self._inner.close()


@pytest.fixture(params=[True, False], ids=["stated", "by options"])
def spaced(request):
    return Spaced(stated=request.param)


def known(spaced, address=("a:1", "b:1"), **options):
    """Where a client has its nodes from, and their urls."""
    registry = {"protocol": "spaced", "address": list(address), "options": options}
    config = {"bee": {"rpc": {"registry": registry, "client": {"calc": {}}}}}
    with bee_core.build_client(config, plugins=[spaced]) as client:
        report = client.nodes("calc")
        return report.source, [one.node.url for one in report.nodes]


def test_a_list_is_of_one_namespace(spaced):
    spaced.memory.publish("calc", URL)
    assert known(spaced, prefix="/staging") == ("registry", [URL])
    spaced.memory.go_out_of_reach()
    assert known(spaced, prefix="/prod") == (None, [])
    assert known(spaced, ("a:1",), prefix="/staging") == (None, [])
    assert known(spaced, ("b:1", "a:1"), prefix="/staging", password="new") == ("cache", [URL])


def test_no_secret_is_written(spaced, own_cache_folder):
    spaced.memory.publish("calc", URL)
    known(spaced, ("redis://ada:hidden@a:1",), password="hidden")
    (file,) = own_cache_folder.iterdir()
    assert "prefix" in file.read_text()
    assert "hidden" not in file.read_text()
