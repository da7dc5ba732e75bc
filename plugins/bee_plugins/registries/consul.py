"""Registry ``consul``: servers are service instances with a TTL check, clients follow the list of those that pass.

A server registers with an agent (``consul_agents``), usually that of its own machine, and says ``pass`` with each heartbeat. Clients wait with blocking queries for the service's
index to change, and then read the list (``consul_entries``). Requests are py-consul's (``consul_client``).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from typing import TYPE_CHECKING

import msgspec
from consul import Check

from bee_core.errors import RegistryError
from bee_core.hookspecs import hookimpl
from bee_plugins.registries.consul_agents import Agents
from bee_plugins.registries.consul_client import AgentTroubleError
from bee_plugins.registries.consul_entries import OWNER, EntryList, owner_of, registration
from bee_plugins.registries.consul_options import ConsulOptions, agent_addresses, tls_context
from bee_plugins.registries.safe_names import safe_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Instance, Lease, Node, Registry, RegistrySettings, Snapshot
    from bee_plugins.registries.consul_client import AgentClient

log = logging.getLogger("bee.registry.consul")

_BEATS = 3
_FORGOTTEN_AFTER = "1m"
"""After which Consul drops an instance that no longer passes; it takes no shorter time."""
_GONE = ("does not have associated TTL", "Unknown check", "Unknown service", "unknown service")
"""How versions of Consul say that they do not know a check or a service."""

_PATIENCE = 4.5
"""Seconds for one answer at most: less than the five after which a watch that says nothing is given up by who reads it."""
_SHARE = 0.9
"""Of the time that a renewal is granted (a heartbeat, and a second at least): within it all agents are asked, and the look at the servers is over."""
_SHORTEST = 0.3
"""Seconds that any agent gets: a round trip on a loaded machine."""
_WAIT_BEATS = 2
"""A blocking query waits for two heartbeats, so that its silence is noticed in the third, about when a lease would end."""
_LONGEST_WAIT = 300.0
"""Seconds; Consul takes twice that."""
_JITTER = 1 / 16
"""Of its wait, which Consul adds to a blocking query at most."""
_REST = 4
"""How many times the duration of reading a list must pass until it is read again: a long list that changes all the time takes a fifth of a core and not a whole one."""
_LONGEST_REST = 1.0


class ConsulLease:
    """A service instance and its check, with the agent that took them.

    The check's name is new with each registration. So a registration that replaces another takes its check away, and the other's server hears of it at its next heartbeat.
    """

    def __init__(
        self,
        agents: Agents,
        agent: AgentClient,
        times: tuple[float, float],
        ids: tuple[str, str],
        owner: str,
        name: str,
    ) -> None:
        self.ttl, self._beat = times
        self.replaced = False
        self._agents = agents
        self._agent = agent
        self._id, self._check = ids
        self._owner = owner
        self._name = name

    async def renew(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.renew`.

        Where its agent is out of reach and another is not, the lease counts as lost: Consul takes the agent's machine for dead, too.
        """
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            known = await self._agents.ask_one(
                self._agent,
                lambda agent: agent.agent.check.ttl_pass(self._check),
                self._agents.seconds,
            )
        except AgentTroubleError as error:
            if not _says_gone(error):
                raise
            known = False
        except OSError as error:
            other = await self._agents.another_than(self._agent)
            if other is None:
                raise
            raise RegistryError(
                f"the registration of {self._name} is moved from the agent at {self._agent.where} to {other.where}: {error}"
            ) from error
        if not known:
            raise RegistryError(
                f"the registration of {self._name} has gone: Consul at {self._agent.where} does not know its check, or another server has taken its id"
            )
        if not await self._listed(self._beat - (clock() - since)):
            raise RegistryError(
                f"the registration of {self._name} has gone: Consul's servers do not list it any more, though their agent at {self._agent.where} has it"
            )

    async def _listed(self, seconds: float) -> bool:
        """Whether clients can see it. Servers that lost their data are told again by their agents, but after a minute or two, and clients do not wait so long."""
        if seconds <= 0:
            return (
                True  # the renewal itself has taken all the time; there is a look at the next one
            )
        try:
            return await self._agents.ask_one(
                self._agent, lambda agent: agent.listed(self._id), seconds
            )
        except (RegistryError, OSError, msgspec.MsgspecError, LookupError):
            return True  # no answer is no reason to give up what the agent has

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. Leaves alone what another registration has put in its place."""
        if not self.replaced:
            await self._agents.ask_one(self._agent, self._deregister, self._agents.seconds)
            self.replaced = True

    async def _deregister(self, agent: AgentClient) -> None:
        meta = await agent.owner(self._id)
        if meta is None or meta.get(OWNER) != self._owner:
            return
        try:
            await agent.agent.service.deregister(self._id)
        except AgentTroubleError as error:
            if not _says_gone(error):
                raise


class ConsulRegistry:
    """See :class:`bee_core.interfaces.Registry`."""

    def __init__(self, settings: RegistrySettings, options: ConsulOptions) -> None:
        addresses = agent_addresses(settings.addresses)
        heartbeat = settings.heartbeat_interval
        self._beat = _SHARE * max(1.0, heartbeat)
        seconds = (
            _PATIENCE
            if len(addresses) == 1
            else max(_SHORTEST, min(_PATIENCE, self._beat) / len(addresses))
        )
        self._agents = Agents(addresses, options, tls_context(options, addresses), seconds)
        self._where = "Consul at " + ", ".join(address.url for address in addresses)
        self._prefix = options.prefix
        self._ttl = _BEATS * heartbeat
        self._wait = min(_LONGEST_WAIT, _WAIT_BEATS * heartbeat)
        longest = self._wait * (1 + _JITTER)
        self._silence = (
            max(self._ttl, longest + 1.0) if self._wait < _LONGEST_WAIT else longest + heartbeat
        )
        self._owner = secrets.token_hex(8)
        self._leases: dict[str, ConsulLease] = {}
        self._revisions = itertools.count(1)

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """See :meth:`bee_core.interfaces.Registry.known`. Nothing without asking."""
        return None

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        A registration of the same id that this object made before is replaced.

        Raises:
            RegistryError: Another server that lives has the id; Consul refuses. The message says what to do.
            OSError: No agent is in reach. TimeoutError is one.
        """
        service, node = instance.service, instance.node
        what = f"{service} at {node.url}"
        name = self._name(service)
        id_ = f"{name}:{safe_name(node.id)}"  # unique on an agent, whatever services there are: safe names have no colon
        check_id = f"{id_}:{secrets.token_hex(8)}"
        try:
            arguments = registration(name, id_, node, self._owner)
        except ValueError as error:  # UnicodeEncodeError is one
            raise RegistryError(f"{what} cannot be registered: its registration {error}") from error
        check = {
            **Check.ttl(f"{self._ttl * 1000:.0f}ms"),
            "CheckID": check_id,
            "Status": "passing",
            "DeregisterCriticalServiceAfter": _FORGOTTEN_AFTER,
        }

        async def put(agent: AgentClient) -> None:
            holder = await self._other_holder(agent, name, id_)
            if holder:
                raise RegistryError(
                    f"{what} cannot be registered: {holder} has registered the id {node.id!r} and lives; stop it, or give each server an id of its own"
                )
            await agent.agent.service.register(
                **arguments, check=check, replace_existing_checks=True
            )

        agent, _ = await self._agents.ask(put)
        before = self._leases.get(id_)
        if before is not None:
            before.replaced = True
        lease = self._leases[id_] = ConsulLease(
            self._agents, agent, (self._ttl, self._beat), (id_, check_id), self._owner, what
        )
        return lease

    async def _other_holder(self, agent: AgentClient, name: str, id_: str) -> str:
        """Who else holds an id with a check that passes; empty where nobody does."""
        here = await agent.registered_here(id_)
        if here is not None and owner_of(here) != self._owner:
            return f"another server at {agent.where}"
        _, entries, _ = await agent.passing(name, id_, anywhere=False)
        # The catalogue may lag behind the agent, whose own words were just heard.
        return next(
            (
                f"another server of {self._where}"
                for entry in entries
                if owner_of(entry) != self._owner and here is None
            ),
            "",
        )

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

        Raises:
            RegistryError: Consul refuses, or shows nothing for lack of rights.
            OSError: No agent is in reach, or one says nothing for longer than a blocking query lasts. TimeoutError is one.
        """
        name = self._name(service)
        entries = EntryList(name, self._where, self._revisions, log)
        clock = asyncio.get_running_loop().time
        seen_any = True  # so that an empty list is doubted at first
        while True:
            since = clock()
            agent, (index, found, filtered) = await self._agents.ask(
                lambda agent: agent.passing(name)
            )
            if filtered and not found:
                raise self._no_rights(agent, name)
            if seen_any and not found:
                await self._agents.ask_one(
                    agent, lambda agent: self._require_rights(agent, name), self._agents.seconds
                )
            seen_any = bool(found)
            entries.replace(found)
            rest = since + min(_LONGEST_REST, _REST * (clock() - since))
            snapshot = entries.snapshot()
            if snapshot is not None:
                yield snapshot
            await self._change(agent, name, index)
            await asyncio.sleep(max(0.0, rest - clock()))

    async def _change(self, agent: AgentClient, name: str, index: int) -> None:
        """Return when the service's index is another one, whichever: it begins anew when Consul does."""
        clock = asyncio.get_running_loop().time
        while True:
            since = clock()
            try:
                now = await self._agents.ask_one(
                    agent,
                    lambda agent: agent.wait_for_change(name, index, self._wait),
                    self._silence,
                )
            except OSError:
                self._agents.leave(agent)
                raise
            if now != index:
                return
            # One that comes back too soon with nothing must not be put again and again without a pause.
            await asyncio.sleep(max(0.0, min(1.0, self._wait / 2 - (clock() - since))))

    async def _require_rights(self, agent: AgentClient, name: str) -> None:
        if await agent.may_read("service", name) is False:
            raise self._no_rights(agent, name)

    def _no_rights(self, agent: AgentClient, name: str) -> RegistryError:
        return RegistryError(
            f"Consul at {agent.where} shows nothing of {name} for lack of rights; set bee.rpc.registry.options.token to a token with service:read and node:read"
        )

    def _name(self, service: str) -> str:
        return self._prefix + safe_name(service)

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`."""
        self._leases.clear()
        await self._agents.close()


def _says_gone(error: AgentTroubleError) -> bool:
    return any(words in error.said for words in _GONE)


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``consul``."""
    registry.add("consul", ConsulRegistry, options=ConsulOptions)
