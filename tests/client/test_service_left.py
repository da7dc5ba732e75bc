"""Observers hear when a client does not use a service any more."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import bee_core
from bee_core.hookspecs import hookimpl


class Watcher:
    heard: ClassVar[list[str]] = []

    def event(self, name, fields):
        if name == "service_left":
            self.heard.append(fields["service"])


class Plugin:
    @hookimpl
    def bee_register_observers(self, registry):
        registry.add("watcher", Watcher)


def config(**services):
    client = {name: {"address": address} for name, address in services.items()}
    return {"bee": {"application": {"observers": ["watcher"]}, "rpc": {"client": client}}}


def test_they_hear_of_services_that_a_reload_replaces_or_takes_out_and_of_the_close():
    Watcher.heard = heard = []
    client = bee_core.build_client(
        config(a="tcp://127.0.0.1:1", b="tcp://127.0.0.1:1", c="tcp://127.0.0.1:1"),
        plugins=[Plugin()],
    )
    client.reload(config(a="tcp://127.0.0.1:1", b="tcp://127.0.0.1:2"))
    assert sorted(heard) == ["b", "c"]
    heard.clear()
    client.close()
    client.close()
    assert sorted(heard) == ["a", "b"]


def test_they_hear_of_the_close_of_an_asyncio_client():
    Watcher.heard = heard = []

    async def use():
        async with bee_core.build_async_client(config(a="tcp://127.0.0.1:1"), plugins=[Plugin()]):
            assert not heard

    asyncio.run(use())
    assert heard == ["a"]
