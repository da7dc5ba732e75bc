"""The registry ``consul``.

A server registers a service instance with a TTL check at an agent (``agents``), usually the one of
its own machine. Each heartbeat says ``pass`` to it. Clients wait with a blocking query until the
service's index changes, and then read the list of instances that pass (``entries``). py-consul
makes the requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from typing import TYPE_CHECKING

import attrs
import msgspec
from consul import Check

from bee_core.errors import RegistryError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import validator
from bee_plugins.registries.consul.agents import (
    AgentClient,
    Agents,
    AgentTroubleError,
    UnknownHereError,
)
from bee_plugins.registries.consul.entries import OWNER, EntryList, owner_of, registration
from bee_plugins.registries.shared.node_record import safe_name
from bee_plugins.registries.shared.servers import https_context, read_addresses
from bee_plugins.registries.shared.watched_registry import (
    REPLACED,
    REVOKED,
    WatchedLease,
    WatchedRegistry,
    id_taken,
    refused,
    title,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bee_core.interfaces import Address, Instance, Lease, Registry, RegistrySettings, Snapshot

log = logging.getLogger("bee.registry.consul")

_FORGOTTEN_AFTER = "1m"
"""When Consul drops an instance that no longer passes. It accepts no shorter time."""
_PATIENCE = 4.5
"""Seconds for one answer at most. After five, the control plane gives up a watch."""
_SHARE = 0.9
"""Part of a heartbeat (or of a second, if that is longer) that a renewal may take.

Within it all agents are asked, and the servers' list is looked at.
"""
_SHORTEST = 0.3
"""Seconds that each agent gets at least: a round trip on a loaded machine."""
_WAIT_BEATS = 2
"""Heartbeats that a blocking query waits.

So its silence shows in the third heartbeat, about when a lease would end.
"""
_LONGEST_WAIT = 300.0
"""Seconds; Consul accepts twice that."""
_JITTER = 1 / 16
"""Part of its wait that Consul adds to a blocking query at most."""
_REST = 4
"""Pause between two readings of a list, as a multiple of the time that reading takes.

So a long list that changes all the time takes a fifth of a core, not a whole one.
"""
_LONGEST_REST = 1.0


@validator
def _part_of_a_name(value: str) -> str:
    usable = re.fullmatch(r"[A-Za-z0-9._~-]*", value)
    return "" if usable else "letters, digits, and any of . _ ~ -"


@attrs.frozen
class ConsulOptions:
    """Options of ``consul``.

    Attributes:
        token: ACL token: service:write to register, service:read and node:read to watch. None
            means ``$CONSUL_HTTP_TOKEN``, as in all of Consul's programs, or else no token.
        datacenter: Where clients look for services; None means the agent's own. A server always
            registers with its agent.
        prefix: Comes before each service's name in Consul, so that two installations can share
            one Consul. Empty by default: other programs look for the plain name.
        verify: Whether an agent's certificate is checked. Only for https.
        ca: File or folder of the certificates (PEM) that sign the agents'; None means those of
            the system. Only for https.
        cert: File of a certificate (PEM) that the agent asks for, or None. Only for https.
        key: File of its key; None if the key stands in ``cert``.
    """

    token: str | None = attrs.field(default=None, repr=False)
    datacenter: str | None = None
    prefix: str = attrs.field(default="", validator=_part_of_a_name)
    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def agent_addresses(written: Iterable[str]) -> tuple[Address, ...]:
    """The agents, as :func:`~bee_plugins.registries.shared.servers.read_addresses` has them.

    Every machine of a Consul cluster has an agent, so the default is this machine's.
    """
    forms = "host:port, http://host:port or https://host:port"
    return read_addresses(written, {"http": 8500, "https": 8501}, "a Consul agent", forms)


class ConsulLease(WatchedLease):
    """A service instance and its check, with the agent that has them.

    Each registration makes a check with a new name. So a registration that replaces another one
    removes that one's check, and its server hears of it at the next heartbeat.
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
        super().__init__(times[0], name)
        self._beat = times[1]
        self.agents = agents
        self._agent = agent
        self._id, self._check = ids
        self._owner = owner

    async def _renew(self) -> str:
        clock = asyncio.get_running_loop().time
        since = clock()
        where = self._agent.where
        try:
            known = await self.agents.ask_one(
                self._agent,
                lambda agent: agent.agent.check.ttl_pass(self._check),
                self.agents.seconds,
            )
        except UnknownHereError:
            known = False
        except AgentTroubleError:
            raise  # the agent is in reach: no reason to move
        except OSError as error:
            # Consul, too, takes the machine of an agent that is out of reach for dead.
            other = await self.agents.another_than(self._agent)
            if other is None:
                raise
            return f"it is moved from the agent at {where} to {other.where}: {error}"
        if not known:
            return f"Consul at {where} does not know its check, or another server has taken its id"
        if not await self._listed(self._beat - (clock() - since)):
            return f"Consul's servers do not list it any more, though their agent at {where} has it"
        return ""

    async def _listed(self, seconds: float) -> bool:
        """Whether clients can see it.

        If the servers lost their data, the agents tell them again, but only after a minute or
        two. Clients do not wait so long.
        """
        try:
            return await self.agents.ask_one(
                self._agent, lambda agent: agent.listed(self._id), seconds
            )
        except (RegistryError, OSError, msgspec.MsgspecError, LookupError):
            # Without an answer the agent's word counts, also if the renewal took all the time.
            return True

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. A registration that replaced it stays."""
        if self.over not in {REPLACED, REVOKED}:
            await self.agents.ask_one(self._agent, self._deregister, self.agents.seconds)
            self.over = REVOKED

    async def _deregister(self, agent: AgentClient) -> None:
        meta = await agent.owner(self._id)
        if meta is not None and meta.get(OWNER) == self._owner:
            with contextlib.suppress(UnknownHereError):
                await agent.agent.service.deregister(self._id)


class ConsulRegistry(WatchedRegistry):
    """See :class:`bee_core.interfaces.Registry`.

    Raises:
        ValueError: An address or a file of TLS cannot be used.
    """

    def __init__(self, settings: RegistrySettings, options: ConsulOptions) -> None:
        super().__init__(settings, log)
        addresses = agent_addresses(settings.addresses)
        heartbeat = settings.heartbeat_interval
        self._beat = _SHARE * max(1.0, heartbeat)
        several = max(_SHORTEST, min(_PATIENCE, self._beat) / len(addresses))
        seconds = _PATIENCE if len(addresses) == 1 else several
        tls = https_context(options, addresses, verify=options.verify)
        self.agents = Agents(addresses, tls, options.token, options.datacenter, seconds)
        self._where = "Consul at " + ", ".join(address.url for address in addresses)
        self._prefix = options.prefix
        self._wait = min(_LONGEST_WAIT, _WAIT_BEATS * heartbeat)
        longest = self._wait * (1 + _JITTER)
        usual = max(self._ttl, longest + 1.0)
        self._silence = usual if self._wait < _LONGEST_WAIT else longest + heartbeat
        self._owner = secrets.token_hex(8)
        self._leases: dict[str, ConsulLease] = {}

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        It replaces an earlier registration of the same id by this object.

        Raises:
            RegistryError: Another server that lives has the id, or Consul refuses. The message
                says what to do.
            OSError: No agent is in reach. TimeoutError is one.
        """
        name = self._name(instance.service)
        # Unique on an agent over all services: safe names have no colon.
        id_ = f"{name}:{safe_name(instance.node.id)}"
        check_id = f"{id_}:{secrets.token_hex(8)}"
        try:
            arguments = registration(name, id_, instance.node, self._owner)
        except ValueError as error:  # UnicodeEncodeError is one
            raise refused(instance, f"its registration {error}") from error
        check = {
            **Check.ttl(f"{self._ttl * 1000:.0f}ms"),
            "CheckID": check_id,
            "Status": "passing",
            "DeregisterCriticalServiceAfter": _FORGOTTEN_AFTER,
        }

        async def put(agent: AgentClient) -> None:
            holder = await self._other_holder(agent, name, id_)
            if holder:
                raise id_taken(instance, holder)
            await agent.agent.service.register(
                **arguments, check=check, replace_existing_checks=True
            )

        agent, _ = await self.agents.ask(put)
        if id_ in self._leases:
            self._leases[id_].over = REPLACED
        times, ids = (self._ttl, self._beat), (id_, check_id)
        self._leases[id_] = ConsulLease(
            self.agents, agent, times, ids, self._owner, title(instance)
        )
        return self._leases[id_]

    async def _other_holder(self, agent: AgentClient, name: str, id_: str) -> str:
        """Who else has an id with a check that passes; empty if nobody has."""
        here = await agent.registered_here(id_)
        if here is not None:
            # The catalogue may be older than the agent's own words.
            return "" if owner_of(here) == self._owner else f"another server at {agent.where}"
        _, entries, _ = await agent.passing(name, id_, anywhere=False)
        others = any(owner_of(entry) != self._owner for entry in entries)
        return f"another server of {self._where}" if others else ""

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

        Raises:
            RegistryError: Consul refuses, or shows nothing for lack of rights.
            OSError: No agent is in reach, or one is silent for longer than a blocking query lasts.
                TimeoutError is one.
        """
        name = self._name(service)
        entries = EntryList(name, self._where, self._revisions, self._warnings[service])
        clock = asyncio.get_running_loop().time
        seen_any = True  # so that an empty first list is doubted
        while True:
            since = clock()
            agent, (index, found, filtered) = await self.agents.ask(
                lambda agent: agent.passing(name)
            )
            if not found and (filtered or (seen_any and not await self._may_read(agent, name))):
                raise RegistryError(
                    f"Consul at {agent.where} shows nothing of {name} for lack of rights; set "
                    "bee.rpc.registry.options.token to a token with service:read and node:read"
                )
            seen_any = bool(found)
            entries.take(found)
            rest = since + min(_LONGEST_REST, _REST * (clock() - since))
            snapshot = entries.snapshot()
            if snapshot is not None:
                yield snapshot
            await self._change(agent, name, index)
            await asyncio.sleep(max(0.0, rest - clock()))

    async def _change(self, agent: AgentClient, name: str, index: int) -> None:
        """Return when the index differs. It may also be lower: it restarts when Consul does."""
        clock = asyncio.get_running_loop().time
        while True:
            since = clock()
            try:
                now = await self.agents.ask_one(
                    agent,
                    lambda agent: agent.wait_for_change(name, index, self._wait),
                    self._silence,
                )
            except OSError:
                self.agents.leave(agent)
                raise
            if now != index:
                return
            # A query may return too soon with nothing. It must not be repeated without a pause.
            await asyncio.sleep(max(0.0, min(1.0, self._wait / 2 - (clock() - since))))

    async def _may_read(self, agent: AgentClient, name: str) -> bool:
        """Whether the token may see a service; True if the agent does not say."""
        answer = await self.agents.ask_one(
            agent, lambda agent: agent.may_read("service", name), self.agents.seconds
        )
        return answer is not False

    def _name(self, service: str) -> str:
        return self._prefix + safe_name(service)

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`."""
        self._leases.clear()
        await self.agents.close()


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``consul``."""
    registry.add("consul", ConsulRegistry, options=ConsulOptions)
