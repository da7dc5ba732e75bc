"""One party's access to the registry, with faults of its own, and a count of what goes over it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

import attrs

from bee_core.errors import RegistryError
from bee_core.terms.node import Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from bee_core.contracts.registry import Instance, Lease, Registry
    from support.virtual_loop import VirtualLoop

Trouble = Literal["", "refused", "lost", "garbled", "denied"]
"""``refused``: at once. ``lost``: nothing comes back until the plugin gives up. ``garbled``: it is
carried out, and what comes back cannot be read. ``denied``: the registry refuses, in words."""

KEPT = 400
"""Answers that a line remembers; a history does not take longer than that many heartbeats."""


@attrs.frozen
class Heard:
    """What a watch has said, and when. ``begins``: as the first word of a watch."""

    at: float
    nodes: dict[str, Any]
    begins: bool


class Line:
    """Stands between a party and its session of the registry. A registry to the party.

    Args:
        session: The party's own.
        loop: Of the model.
        heartbeat: Seconds. A plugin gives up a request that is lost after so long, and a watch that
            is silent after twice as long.
        broken_promise: Told of what no server may do.

    Attributes:
        trouble: What is wrong with the line.
        delay: Seconds that each answer takes longer.
        hidden: The registry names none of these nodes on this line, although it has them; None
            hides all of them.
        requests: When each request of a server began.
        heard: The last answers of watches.
        leaving: Whether the server may revoke.
    """

    def __init__(
        self,
        session: Registry,
        loop: VirtualLoop,
        heartbeat: float,
        broken_promise: Callable[[str], None],
    ) -> None:
        self.session = session
        self.confirms_every: float = getattr(session, "confirms_every", heartbeat)
        self.namespace: str = getattr(session, "namespace", "")
        self.trouble: Trouble = ""
        self.delay = 0.0
        self.hidden: frozenset[str] | None = frozenset()
        self.requests: deque[float] = deque(maxlen=KEPT)
        self.heard: deque[Heard] = deque(maxlen=KEPT)
        self.watches: deque[float] = deque(maxlen=KEPT)
        self.leaving = False
        self._loop = loop
        self._heartbeat = heartbeat
        self.broken_promise = broken_promise
        self._late_until = 0.0
        self._registering = 0
        self._changes = asyncio.Event()
        self._revision = 0

    def set(self, trouble: Trouble = "", delay: float = 0.0) -> None:
        """Change what is wrong with it; what is under way feels it, but for delays."""
        self._late_until = self._loop.time() + self.delay
        self.trouble, self.delay = trouble, delay
        self._changed()

    def hide(self, nodes: frozenset[str] | None) -> None:
        """Let the registry lie on this line; an empty set ends that."""
        self.hidden = nodes
        self._changed()

    def _changed(self) -> None:
        changes, self._changes = self._changes, asyncio.Event()
        changes.set()

    @property
    def ok(self) -> bool:
        """Whether what comes over it is right and in time."""
        late = self.delay or self._loop.time() < self._late_until
        return not self.trouble and not late and self.hidden == frozenset()

    # What a registry offers.

    def known(self, service: str, addresses: tuple[Any, ...]) -> Snapshot | None:
        return self.session.known(service, addresses)

    async def register(self, instance: Instance) -> Lease:
        self._registering += 1
        if self._registering > 1:
            self.broken_promise("two attempts to register are in flight")
        try:
            lease = await self.request(self.session.register(instance))
        finally:
            self._registering -= 1
        return LineLease(self, lease)

    async def close(self) -> None:
        await self.session.close()

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        self.watches.append(self._loop.time())
        inner = self.session.watch(service)
        coming: asyncio.Future[Snapshot] | None = None
        said: Snapshot | None = None
        source: Snapshot | None = None
        try:
            while True:
                changes = self._changes
                await self._answers()
                mapped = None if source is None else self._shown(source, said)
                if mapped is None or mapped is said:
                    if coming is None:
                        coming = asyncio.ensure_future(inner.__anext__())
                    change = asyncio.ensure_future(changes.wait())
                    await asyncio.wait({coming, change}, return_when=asyncio.FIRST_COMPLETED)
                    change.cancel()
                    if not coming.done() or self._changes is not changes:
                        continue
                    source, coming = coming.result(), None
                    if self.delay:
                        await asyncio.sleep(self.delay)
                    mapped = self._shown(source, said)
                begins, said = said is None, mapped
                self.heard.append(
                    Heard(self._loop.time(), {node.id: node for node in said.nodes}, begins)
                )
                yield said
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})
                if not coming.cancelled():
                    coming.exception()  # the line has failed first: nobody asks for this one
            await inner.aclose()  # type: ignore[attr-defined]

    async def _answers(self) -> None:
        """Wait until a watch may speak; raise what it ends with."""
        silent_until = self._loop.time() + 2 * self._heartbeat
        while self.trouble == "lost":
            left = silent_until - self._loop.time()
            if left <= 0:
                raise TimeoutError("the registry of the model has said nothing for too long")
            change = asyncio.ensure_future(self._changes.wait())
            await asyncio.wait({change}, timeout=left)
            change.cancel()
        self._fail()

    def _fail(self) -> None:
        if self.trouble == "refused":
            raise ConnectionRefusedError("the line of the model is cut")
        if self.trouble == "denied":
            raise RegistryError("the registry of the model refuses")
        if self.trouble == "garbled":
            raise ConnectionError("what came over the line of the model cannot be read")

    def _shown(self, source: Snapshot, said: Snapshot | None) -> Snapshot:
        """What the party is told; the same object again where that is nothing new."""
        hidden = self.hidden
        nodes = tuple(node for node in source.nodes if hidden is not None and node.id not in hidden)
        if said is not None and said.nodes == nodes:
            return said
        self._revision += 1
        return Snapshot(self._revision, "registry", nodes)

    async def request(self, asked: Coroutine[Any, Any, Any]) -> Any:
        """What the registry answers. A request that has left is carried out, whatever comes."""
        self.requests.append(self._loop.time())
        if self.trouble in {"refused", "denied"}:
            asked.close()
            self._fail()
        answer = self._loop.carry(self._travel(asked))
        try:
            await asyncio.wait({answer})
            result = answer.result()
        except asyncio.CancelledError:
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        self._fail()
        return result

    async def _travel(self, request: Coroutine[Any, Any, Any]) -> Any:
        if self.trouble == "lost":
            request.close()
            await asyncio.sleep(self._heartbeat)
            raise TimeoutError("the registry of the model did not answer")
        if self.delay:
            await asyncio.sleep(self.delay / 2)
        result = await request
        if self.delay:
            await asyncio.sleep(self.delay / 2)
        if self.trouble == "lost":
            await asyncio.sleep(self._heartbeat)
            raise TimeoutError("the answer of the registry of the model was lost")
        return result


class LineLease:
    """A lease that is renewed over a line."""

    def __init__(self, line: Line, lease: Lease) -> None:
        self._line = line
        self._lease = lease
        self.ttl = lease.ttl

    async def renew(self) -> None:
        await self._line.request(self._lease.renew())

    async def revoke(self) -> None:
        if not self._line.leaving:
            self._line.broken_promise("a lease is revoked although the server stays")
        await self._line.request(self._lease.revoke())
