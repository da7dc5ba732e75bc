"""The suite of registries fails for each that breaks the contract, in the test that is about it.

What is optional is skipped for a registry without it.
"""

from __future__ import annotations

import asyncio
import contextlib

import attrs
import pytest

from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.interfaces import RegistrySettings
from bee_core.testing import MemoryRegistry, RegistryContract, registry_contract, registry_silence

BEAT = 0.2


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nothing here is as slow as a registry of the network."""
    monkeypatch.setattr(registry_contract, "SHORTLY", 0.3)
    monkeypatch.setattr(registry_silence, "SLACK", 0.3)


class Wrapped:
    """A registry as it should be; the classes below break it in one way each."""

    def __init__(self, shelf):
        self.shelf = shelf
        self.inner = shelf.session(RegistrySettings((), BEAT))

    def __getattr__(self, name):
        return getattr(self.inner, name)

    async def register(self, instance):
        lease = await self.inner.register(instance)
        return self.Lease(self, instance, lease)

    class Lease:
        def __init__(self, registry, instance, inner):
            self.registry = registry
            self.instance = instance
            self.inner = inner
            self.ttl = inner.ttl

        async def renew(self):
            await self.inner.renew()

        async def revoke(self):
            await self.inner.revoke()


class SaysItIsRefused(Wrapped):
    class Lease(Wrapped.Lease):
        async def renew(self):
            try:
                await super().renew()
            except LeaseLost as error:
                raise RegistryError(str(error)) from None


class NeverConfirms(Wrapped):
    async def watch(self, service):
        last = None
        async with contextlib.aclosing(self.inner.watch(service)) as snapshots:
            async for snapshot in snapshots:
                if snapshot is not last:
                    yield snapshot
                last = snapshot


class ConfirmsByHeart(Wrapped):
    """The watch tells the last list again, whether the registry answers or not."""

    async def watch(self, service):
        snapshots = self.inner.watch(service)
        last = await anext(snapshots)
        yield last
        news = asyncio.ensure_future(anext(snapshots))
        try:
            while True:
                await asyncio.wait((news,), timeout=self.confirms_every / 2)
                if news.done():
                    last, news = news.result(), asyncio.ensure_future(anext(snapshots))
                yield last
        finally:
            news.cancel()
            await asyncio.wait((news,))
            await snapshots.aclose()


class ConfirmsWithNewRevisions(Wrapped):
    async def watch(self, service):
        revision = 0
        async with contextlib.aclosing(self.inner.watch(service)) as snapshots:
            async for snapshot in snapshots:
                revision += 1
                yield attrs.evolve(snapshot, revision=revision)


class RevokesWhatIsNotRenewed(Wrapped):
    class Lease(Wrapped.Lease):
        async def renew(self):
            try:
                await super().renew()
            except BaseException:
                self.registry.shelf.withdraw(self.instance.service, self.instance.node.id)
                raise


class TakesSilenceForLoss(Wrapped):
    class Lease(Wrapped.Lease):
        async def renew(self):
            try:
                await asyncio.wait_for(super().renew(), self.ttl / 8)
            except asyncio.TimeoutError:
                raise LeaseLost("it did not answer") from None


class DoesNotRepair(Wrapped):
    class Lease(Wrapped.Lease):
        async def renew(self):
            service, node = self.instance.service, self.instance.node
            before = self.registry.shelf.nodes(service)
            await super().renew()
            if before != (node,):
                self.registry.shelf.erase(service, node.id)


class TakesLivingIds(Wrapped):
    async def register(self, instance):
        try:
            return await super().register(instance)
        except IdTaken:
            self.shelf.withdraw(instance.service, instance.node.id)
            return await super().register(instance)


class RefusesWithoutAName(Wrapped):
    async def register(self, instance):
        try:
            return await super().register(instance)
        except IdTaken:
            raise IdTaken("another server has it") from None


class NamespaceByChance(Wrapped):
    @property
    def namespace(self):
        return f"session={id(self)}"


class ListsById(Wrapped):
    async def watch(self, service):
        last = None
        async with contextlib.aclosing(self.inner.watch(service)) as snapshots:
            async for snapshot in snapshots:
                if last is None or last.revision != snapshot.revision:
                    nodes = tuple(sorted(snapshot.nodes, key=lambda node: node.id))
                    last = attrs.evolve(snapshot, nodes=nodes)
                yield last


class Plain:
    """Nothing but the four methods that a registry must have."""

    def __init__(self, shelf):
        self.inner = shelf.session(RegistrySettings((), BEAT))

    def known(self, service, addresses):
        return self.inner.known(service, addresses)

    async def register(self, instance):
        return await self.inner.register(instance)

    async def watch(self, service):
        last = None
        async with contextlib.aclosing(self.inner.watch(service)) as snapshots:
            async for snapshot in snapshots:
                if snapshot is not last:
                    yield snapshot
                last = snapshot

    async def close(self):
        await self.inner.close()


def suite_of(registry, contract=RegistryContract):
    class Suite(contract):
        def __init__(self):
            self.shelf = MemoryRegistry()

        def make_registry(self):
            return registry(self.shelf)

    return Suite()


class Spoilable(RegistryContract):
    async def spoil(self, service, node, how):
        if how == "removed":
            self.shelf.erase(service, node.id)
        else:
            self.shelf.overwrite(service, node.id, url="tcp://10.9.9.9:9")

    def go_silent(self):
        self.shelf.go_silent()

    def come_back(self):
        self.shelf.come_back()


FOUND_BY = {
    ListsById: "test_of_nodes_with_one_url_the_newest_is_listed_last",
    SaysItIsRefused: (
        "test_a_lease_that_was_left_cannot_be_renewed_and_the_node_can_register_again"
    ),
    NeverConfirms: "test_a_quiet_service_is_confirmed_as_often_as_promised",
    ConfirmsByHeart: "test_a_silent_registry_confirms_nothing",
    ConfirmsWithNewRevisions: "test_a_quiet_service_is_confirmed_as_often_as_promised",
    RevokesWhatIsNotRenewed: "test_a_renewal_without_an_answer_costs_nothing",
    TakesSilenceForLoss: "test_a_renewal_without_an_answer_costs_nothing",
    DoesNotRepair: "test_a_renewal_writes_an_overwritten_record_again",
    TakesLivingIds: "test_an_id_that_lives_is_refused_to_another_server_by_the_holders_url",
    RefusesWithoutAName: "test_an_id_that_lives_is_refused_to_another_server_by_the_holders_url",
    NamespaceByChance: "test_the_namespace_is_one_line_and_the_same_for_the_same_settings",
}


@pytest.mark.parametrize("registry", FOUND_BY, ids=lambda registry: registry.__name__)
def test_a_registry_that_breaks_the_contract_fails(registry):
    test = getattr(suite_of(registry, Spoilable), FOUND_BY[registry])
    with pytest.raises((AssertionError, RegistryError, pytest.fail.Exception)):
        test()


@pytest.mark.parametrize("name", sorted(set(FOUND_BY.values())))
def test_the_same_test_passes_for_one_that_keeps_it(name):
    getattr(suite_of(Wrapped, Spoilable), name)()


OPTIONAL = [
    "test_the_namespace_is_one_line_and_the_same_for_the_same_settings",
    "test_a_quiet_service_is_confirmed_as_often_as_promised",
    "test_a_silent_registry_confirms_nothing",
    "test_a_renewal_writes_an_overwritten_record_again",
    "test_a_renewal_writes_a_removed_record_again_or_the_lease_is_lost",
    "test_a_renewal_without_an_answer_costs_nothing",
]


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_is_optional_is_skipped_for_a_registry_without_it(name):
    with pytest.raises(pytest.skip.Exception):
        getattr(suite_of(Plain), name)()
