"""What every registry must do so that bee knows its silence from quiet; a part of the suite."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import ClassVar

import pytest

from bee_core.contracts.registry import Registry  # noqa: TC001  # part of the suite's interface

from .registry_rig import FULL, LONGEST_TTL, Rig, on_a_loop, soon, with_registrations

SLACK = 1.5
"""Seconds that a busy machine may add to three confirmations."""


class SilenceContract:
    """See :class:`bee_core.testing.RegistryContract`."""

    keeps_registrations: ClassVar[bool] = True
    """False for a registry that tells nobody of a registration, as ``direct``.

    Then only the part without registrations is tested.
    """

    @abstractmethod
    def make_registry(self) -> Registry:
        """A registry with the settings under test, not yet connected.

        All that one test makes know of each other's registrations.
        """

    def go_silent(self) -> None:
        """From now on the registry answers nothing, until :meth:`come_back`. Optional."""
        pytest.skip("go_silent() does not say how")

    def come_back(self) -> None:
        """The registry answers again, and has kept all that it knew."""

    @on_a_loop
    async def test_the_namespace_is_one_line_and_the_same_for_the_same_settings(
        self, rig: Rig
    ) -> None:
        if not hasattr(rig.server, "namespace"):
            pytest.skip("states no namespace")
        assert isinstance(rig.server.namespace, str)
        assert rig.server.namespace.isprintable()
        assert rig.server.namespace == rig.client.namespace  # type: ignore[attr-defined]

    @with_registrations
    async def test_a_quiet_service_is_confirmed_as_often_as_promised(self, rig: Rig) -> None:
        every = confirms_every(rig)
        await rig.register_and_renew(FULL)
        watcher = rig.watch()
        await watcher.until_ids([FULL.id])
        seen, confirmed = len(watcher.seen), watcher.confirmed
        # A busy machine may be late, but not by as much as is promised in all.
        await watcher.until(lambda _: watcher.confirmed >= confirmed + 3, 3 * every + SLACK)
        assert len(watcher.seen) == seen, "a confirmation has the revision that it confirms"

    @with_registrations
    async def test_a_silent_registry_confirms_nothing(self, rig: Rig) -> None:
        every = confirms_every(rig)
        watcher = rig.watch()
        await watcher.until(lambda _: watcher.confirmed >= 1)
        self.go_silent()
        try:
            await asyncio.sleep(every)  # the last answer may still be on its way
            confirmed = watcher.confirmed
            await asyncio.sleep(3 * every)
            assert watcher.confirmed == confirmed
        finally:
            self.come_back()

    @with_registrations
    async def test_a_renewal_without_an_answer_costs_nothing(self, rig: Rig) -> None:
        lease, watcher = await rig.short_lease()
        self.go_silent()
        try:
            with pytest.raises((OSError, asyncio.TimeoutError)):
                await asyncio.wait_for(lease.renew(), lease.ttl / 4)
        finally:
            self.come_back()
        await soon(lease.renew())
        watcher = rig.watch() if watcher.task.done() else watcher
        await watcher.until_ids([FULL.id])
        assert all(snapshot.nodes == (FULL,) for snapshot in watcher.seen)


def confirms_every(rig: Rig) -> float:
    """What the registry promises; skips without a promise, or where it takes too long to see."""
    every: float | None = getattr(rig.client, "confirms_every", None)
    if every is None:
        pytest.skip("promises no confirmations")
    if every > LONGEST_TTL:
        pytest.skip(f"confirms once in {every:g} s here")
    assert every > 0
    return every
