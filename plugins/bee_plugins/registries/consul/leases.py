"""A server's registration at an agent: made, renewed, repaired, moved to another agent.

A renewal is one request, ``pass`` to the check. Another one then asks what has become of the
record. A lease ends only if another server that lives has the id, or by its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, cast

import anyio
import attrs
from consul import Check

from bee_core.errors import RegistryError
from bee_core.interfaces import logger, printable
from bee_plugins.registries.consul.http import AgentTroubleError, UnknownHereError
from bee_plugins.registries.shared.watched_registry import (
    BEATS,
    REPLACED,
    REVOKED,
    WatchedLease,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bee_plugins.registries.consul.agents import AgentClient, Agents
    from bee_plugins.registries.consul.answers import Held

log = logger("bee.registry.consul")

_FORGOTTEN_AFTER = "1m"
"""When Consul drops an instance that no longer passes. It accepts no shorter time."""
_REST = 1.5
"""Heartbeats that a renewal may take in all once the check has passed.

The core's next renewal comes a heartbeat later, and the lease lasts three.
"""
PATIENCE = 4.5
"""Seconds for one answer where nothing depends on it. After five, the core gives up a watch."""


@attrs.frozen
class Announcement:
    """What a server registers.

    Attributes:
        name: The service's name in Consul.
        id: The instance's id there. Unique on an agent over all services.
        check_id: The name of its check. New with each registration, so that a registration that
            replaces another one removes that one's check, and its server hears of it.
        owner: Who registers.
        arguments: Of py-consul's ``agent.service.register``.
        ttl: Seconds that the check lasts.
    """

    name: str
    id: str
    check_id: str
    owner: str
    arguments: Mapping[str, Any]
    ttl: float

    async def put(self, agent: AgentClient) -> None:
        """Write it, with its check, in place of whatever has the id at this agent.

        A check that is there already gets its whole time again.
        """
        check = {
            **Check.ttl(f"{self.ttl * 1000:.0f}ms"),
            "CheckID": self.check_id,
            "Status": "passing",
            "DeregisterCriticalServiceAfter": _FORGOTTEN_AFTER,
        }
        await agent.agent.service.register(
            **self.arguments, check=check, replace_existing_checks=True
        )

    async def passed(self, agent: AgentClient) -> None:
        """Renew the check."""
        await agent.agent.check.ttl_pass(self.check_id)

    async def rival(self, agent: AgentClient, *, ours: bool) -> Held | None:
        """Who else has the id and lives, at this agent or anywhere in its datacenter.

        Args:
            agent: Who is asked. It answers only if it has a leader.
            ours: The id has been this server's. So what no check keeps alive is only what somebody
                has written over it. Otherwise it is a node that somebody registered by hand.
        """
        here, listed = await agent.held_anywhere(self.name, self.id)
        held = [one for one in listed if here is None or one.machine != here.machine]
        # The servers' words of an agent may be older than its own.
        found = [*held, *(() if here is None or here.status != "passing" else (here,))]
        others = (one for one in found if one.owner != self.owner)
        return next((one for one in others if not ours or one.lives(self.check_id)), None)

    async def is_right(self, agent: AgentClient) -> bool:
        """Whether the record that clients see is this one."""
        found = await agent.shown(self.id)
        return found is not None and found.is_as(self.arguments)

    async def is_first(self, agent: AgentClient) -> bool:
        """The same, and nobody has registered the id elsewhere later."""
        here, listed = await agent.held_anywhere(self.name, self.id)
        own = [one for one in listed if one.owner == self.owner]
        since = max((one.modified for one in own), default=None)
        later = since is not None and any(
            one.modified > since and one.lives() for one in listed if one.owner != self.owner
        )
        service = None if here is None else here.service
        return service is not None and service.is_as(self.arguments) and not later

    async def take_back(self, agent: AgentClient) -> None:
        """Remove it from an agent, unless somebody else has the id by now."""
        with contextlib.suppress(UnknownHereError):
            # No client sees it from now on, also if the next answers come too late.
            await agent.agent.check.ttl_fail(self.check_id)
        held = await agent.held_here(self.id)
        if held is not None and held.owner == self.owner:
            with contextlib.suppress(UnknownHereError):
                await agent.agent.service.deregister(self.id)


class ConsulLease(WatchedLease):
    """A registration at one of the agents.

    Args:
        agents: All agents.
        agent: The one that has it.
        announcement: What is registered.
        title: What messages call it.
        since: When it was registered, in the loop's time.

    Attributes:
        repairs: How often a renewal has written the record again.
    """

    def __init__(
        self,
        agents: Agents,
        agent: AgentClient,
        announcement: Announcement,
        title: str,
        since: float,
    ) -> None:
        super().__init__(announcement.ttl, title)
        self._beat = announcement.ttl / BEATS
        self._agents = agents
        self._agent = agent
        self._announcement = announcement
        self._renewed = since
        self.repairs = 0
        self._failures = 0
        self._compared = False
        self._looked = -math.inf
        self._writing = asyncio.Lock()
        self._writes = 0

    async def _renew(self) -> str:
        since, writes = _now(), self._writes
        end = self._renewed + self.ttl
        # The core itself gives up the wait when the lease is over.
        until = max(end, since + PATIENCE)
        found = await self._pass(end, until)
        rival = None
        if found is not None:
            rival = await self._register(*found, writes, until)
        else:
            self._renewed = max(self._renewed, since)
            # The lease goes on, whatever comes of this.
            with (
                anyio.move_on_after(_REST * self._beat - (_now() - since)),
                contextlib.suppress(RegistryError, OSError),
            ):
                rival = await self._compare(writes, until)
        if rival is not None:
            raise self.taken(f"the server at {rival}")
        return ""

    async def _pass(self, end: float, until: float) -> tuple[AgentClient, Held | None] | None:
        """Renew the check; None if that is done.

        Returns:
            Otherwise the agent to register at anew, and the rival who lives and has the id.

        Raises:
            OSError: It is not known whether the check was renewed.
        """
        own = asyncio.ensure_future(
            self._agents.ask_one(self._agent, self._announcement.passed, until - _now())
        )
        tasks: list[asyncio.Future[Any]] = [own]
        several = len(self._agents.servers) > 1
        try:
            if several:
                # Two thirds of the lease are the own agent's alone: it may be slow.
                await asyncio.wait(tasks, timeout=max(0.0, end - self._beat - _now()))
            if several and (not own.done() or self._is_away(own.exception(), end)):
                # Consul, too, takes the machine of an agent that is out of reach for dead.
                tasks.append(asyncio.ensure_future(self._look_elsewhere(until)))
            first = await _first_good(tasks)
            if first is not own:
                return cast("tuple[AgentClient, Held | None]", first.result())
            own.result()
        except UnknownHereError:
            self._failures = 0
            return self._agent, await self._agents.ask_one(self._agent, self._look, until - _now())
        except OSError:
            self._failures += 1
            raise
        finally:
            await _end(*tasks)
        self._failures = 0
        return None

    def _is_away(self, error: BaseException | None, end: float) -> bool:
        """Whether the own agent is out of reach, and not for the moment of one request."""
        if not isinstance(error, OSError) or isinstance(error, UnknownHereError):
            return False
        late = end - _now() <= self._beat
        gone = self._failures > 0 and not isinstance(error, AgentTroubleError)
        # If no other agent answers, they are asked now and then: once a second, in all.
        pause = 2.0 * len(self._agents.servers)
        return (late or gone) and _now() - self._looked >= pause

    async def _look(self, agent: AgentClient) -> Held | None:
        return await self._announcement.rival(agent, ours=True)

    async def _look_elsewhere(self, until: float) -> tuple[AgentClient, Held | None]:
        """An agent that answers and has a leader, the own one last, and the rival it knows."""
        self._looked = _now()
        first = self._agents.in_turn(self._agent)[1]
        return await self._agents.ask(self._look, until - _now(), first)

    async def _compare(self, writes: int, until: float) -> Held | None:
        """Write the record again if clients do not see it as it was registered.

        Returns:
            Who has the id, if another server that lives has it.
        """
        ask = self._announcement.is_right if self._compared else self._announcement.is_first
        self._compared = await self._agents.ask_one(self._agent, ask, until - _now())
        if self._compared:
            return None
        rival = await self._agents.ask_one(self._agent, self._look, until - _now())
        return await self._register(self._agent, rival, writes, until)

    async def _register(
        self, agent: AgentClient, rival: Held | None, writes: int, until: float
    ) -> Held | None:
        """Register anew, unless a rival has the id: then return it.

        Args:
            agent: Where.
            rival: Who has it.
            writes: As many there were when the renewal began. Renewals may run side by side, and
                one of them is enough.
            until: When to give up.
        """
        if rival is not None:
            return rival
        async with self._writing:
            if self._writes == writes:
                since = _now()
                await self._agents.ask_one(agent, self._announcement.put, until - since)
                self._writes += 1
                self._note_write(agent, since)
        return None

    def _note_write(self, agent: AgentClient, since: float) -> None:
        if agent is self._agent:
            self.repairs += 1
        else:
            log.warning(
                "%s has moved to Consul at %s: its agent at %s is out of reach",
                printable(self._name),
                agent.where,
                self._agent.where,
            )
        self._agent, self._renewed, self._compared = agent, since, False

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. A registration that replaced it stays."""
        if self.over not in {REPLACED, REVOKED}:
            patience = max(PATIENCE, self._beat)
            await self._agents.ask_one(self._agent, self._announcement.take_back, patience)
            self.over = REVOKED


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _first_good(tasks: list[asyncio.Future[Any]]) -> asyncio.Future[Any]:
    """The first that ends otherwise than by failing to reach an agent; else the first of all."""
    waiting = list(tasks)
    while waiting:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in (task for task in tuple(waiting) if task.done()):
            error = task.exception()
            if not isinstance(error, OSError) or isinstance(error, UnknownHereError):
                return task
            waiting.remove(task)
    return tasks[0]


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """End requests that nobody waits for."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # marks it as seen
