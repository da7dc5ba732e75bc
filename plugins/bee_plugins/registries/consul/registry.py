"""The registry ``consul``.

A server registers a service instance with a TTL check at an agent (``agents``), usually the one of
its own machine. Each heartbeat says ``pass`` to it. Clients wait with a blocking query until the
service's index changes, and then read the list of instances that pass (``entries``). py-consul
makes the requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from typing import TYPE_CHECKING

import attrs

from bee_core.errors import RegistryError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import logger
from bee_core.options import validator
from bee_plugins.registries.consul.agents import AgentClient, Agents
from bee_plugins.registries.consul.entries import EntryList, registration
from bee_plugins.registries.consul.leases import PATIENCE, Announcement, ConsulLease
from bee_plugins.registries.shared.node_record import safe_name
from bee_plugins.registries.shared.servers import https_context, read_addresses
from bee_plugins.registries.shared.watched_registry import (
    REPLACED,
    WatchedRegistry,
    id_taken,
    refused,
    title,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bee_core.interfaces import Address, Instance, Lease, Registry, RegistrySettings, Snapshot

log = logger("bee.registry.consul")

_SHORTEST_WAIT = 0.5
"""Seconds that a blocking query waits at least. It waits a heartbeat if that is longer."""
_LONGEST_WAIT = 300.0
"""Seconds; Consul accepts twice that."""
_COMPANY = 1.0
"""Seconds that a query may be late before another agent is asked, where there are several."""
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


class ConsulRegistry(WatchedRegistry):
    """See :class:`bee_core.interfaces.Registry`.

    Raises:
        ValueError: An address or a file of TLS cannot be used.
    """

    def __init__(self, settings: RegistrySettings, options: ConsulOptions) -> None:
        super().__init__(settings, log)
        addresses = agent_addresses(settings.addresses)
        tls = https_context(options, addresses, verify=options.verify)
        self.agents = Agents(addresses, tls, options.token, options.datacenter)
        self.addresses = tuple(address.url for address in addresses)
        self._where = "Consul at " + ", ".join(self.addresses)
        self._prefix = options.prefix
        self._wait = min(_LONGEST_WAIT, max(_SHORTEST_WAIT, settings.heartbeat_interval))
        self.confirms_every = self._wait * (1 + _JITTER)
        self._silence = self.confirms_every + (PATIENCE if len(addresses) == 1 else _COMPANY)
        self.namespace = _namespace(options, self.agents.current.token)
        self._owner = secrets.token_hex(8)
        self._leases: dict[str, ConsulLease] = {}

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        It replaces an earlier registration of the same id by this object. The agent is the first
        that answers and has a leader. The others are asked nothing that would leave a trace.

        Raises:
            IdTaken: Another server that lives has the id. The message names it.
            RegistryError: Consul refuses. The message says what to do.
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
        announcement = Announcement(name, id_, check_id, self._owner, arguments, self._ttl)
        ours = id_ in self._leases
        patience = max(PATIENCE, self._ttl)
        agent, rival = await self.agents.ask(
            lambda agent: announcement.rival(agent, ours=ours), patience
        )
        if rival is not None:
            raise id_taken(instance, f"the server at {rival}")
        since = asyncio.get_running_loop().time()
        await self.agents.ask_one(agent, announcement.put, 2 * patience)  # it has just answered
        if id_ in self._leases:
            self._leases[id_].over = REPLACED
        lease = ConsulLease(self.agents, agent, announcement, title(instance), since)
        self._leases[id_] = lease
        return lease

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
        failures = 0
        while True:
            since = clock()
            agent, (index, found, filtered) = await self.agents.ask(
                lambda agent: agent.passing(name), PATIENCE
            )
            if not found and (filtered or (seen_any and not await self._may_read(agent, name))):
                raise RegistryError(
                    f"Consul at {agent.where} shows nothing of {name} for lack of rights; set "
                    "bee.rpc.registry.options.token to a token with service:read and node:read"
                )
            seen_any = bool(found)
            last = entries.take(found)
            rest = since + min(_LONGEST_REST, _REST * (clock() - since))
            yield last
            try:
                while await self._waits_in_vain(agent, name, index):
                    failures = 0
                    yield last
                failures = 0
            except OSError:
                # The list is read anew, at an agent that answers.
                self.agents.leave(agent)
                failures += 1
                if failures >= len(self.agents.servers):
                    raise
            await asyncio.sleep(max(0.0, rest - clock()))

    async def _waits_in_vain(self, agent: AgentClient, name: str, index: int) -> bool:
        """One blocking query; whether the index is still the same.

        The index may also become lower: it restarts when Consul does.
        """
        clock = asyncio.get_running_loop().time
        since = clock()
        now = await self.agents.ask_one(
            agent, lambda agent: agent.wait_for_change(name, index, self._wait), self._silence
        )
        if now != index:
            return False
        # A query may return too soon with nothing. It must not be repeated without a pause.
        await asyncio.sleep(max(0.0, min(1.0, self._wait / 2 - (clock() - since))))
        return True

    async def _may_read(self, agent: AgentClient, name: str) -> bool:
        """Whether the token may see a service; True if the agent does not say."""
        answer = await self.agents.ask_one(
            agent, lambda agent: agent.may_read("service", name), PATIENCE
        )
        return answer is not False

    def _name(self, service: str) -> str:
        return self._prefix + safe_name(service)

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`."""
        self._leases.clear()
        await self.agents.close()


def _namespace(options: ConsulOptions, token: str | None) -> str:
    """What tells the lists of these options from others; of the token no more than 16 bits."""
    stated = {
        "datacenter": options.datacenter,
        "prefix": options.prefix,
        "token": token and hashlib.sha256(token.encode()).hexdigest()[:4],
    }
    return " ".join(f"{key}={value}" for key, value in stated.items() if value)


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``consul``."""
    registry.add("consul", ConsulRegistry, options=ConsulOptions)
