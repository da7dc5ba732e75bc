"""Announcing a server: its id, the address that others can dial, and the record in the registry."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from concurrent.futures import Future
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import attrs

from ..config.server_contradictions import announces_loopback
from ..contracts.registry import Instance
from ..control.plane import ControlPlane
from ..control.registration import Registration, RegistrationEvent
from ..terms.addresses import parse
from ..terms.node import Node
from .log_lines import log, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..config import RegistryConfig
    from ..config.server_model import ServerConfig
    from ..contracts.observation import Observation
    from ..contracts.registry import Registry
    from ..control.lease_states import State

    Run = Callable[[Callable[[], None]], Any]
    """Calls what writes to the log, at once or later."""
    LookUp = Callable[[socket.AddressFamily], str | None]

DEREGISTER_TIMEOUT = 2.0
"""Seconds granted to leaving the registry: one round trip to one that lives. One that does not must
not hold up the drain."""
WATCH_GRACE = 0.3
"""Seconds between leaving the registry and refusing connections, in which watchers hear of it. The
embedded registry tells them within 0.2 s. Serving goes on meanwhile."""
_TICKS_A_BEAT = 3
"""How often the serving loop ticks in a heartbeat_interval: one late tick costs no renewal."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses reserved for documentation (RFC 5737, RFC 3849). Nobody has them, so the way to them is
the way to everybody else. Nothing is sent."""


# What is announced.


def instance_id(service: str) -> str:
    """A new id of this process as an instance, safe as a file name and as a part of a key.

    It has the service, the host, the process and 48 random bits of the operating system.
    """
    host = socket.gethostname().partition(".")[0]
    parts = (service, host, str(os.getpid()), os.urandom(6).hex())
    return "-".join(_UNSAFE.sub("_", part)[:64] for part in parts)


def announced_url(advertise: str | None, listening: Sequence[str]) -> str:
    """Where clients reach the server; never a wildcard address.

    It is the address that was stated, with the real port for port 0, or the first that the server
    listens on.
    """
    if advertise is None:
        address = parse(listening[0])
        if address.is_wildcard:
            address = attrs.evolve(address, host=outward_host(address.host))
        return address.url
    address = parse(advertise)
    if address.port == 0:
        # The port of the same scheme first. With another one, TLS may end in front of a tcp port.
        own = sorted(map(parse, listening), key=lambda each: each.scheme != address.scheme)
        address = attrs.evolve(address, port=next((each.port for each in own if each.port), 0))
    return address.url


def announced_addresses(
    url: str, listening: Sequence[str], *, is_elsewhere: bool
) -> tuple[str, ...]:
    """The addresses of a server that listens on several, a url for each scheme; else none.

    Args:
        url: The one that is announced first.
        listening: Those that it listens on.
        is_elsewhere: The registry is read on other machines: what only this one reaches stays out.
    """
    found = {parse(url).scheme: url}
    for each in listening:
        address = parse(each)
        if not (is_elsewhere and (address.is_loopback or address.port is None)):
            found.setdefault(address.scheme, announced_url(None, [each]))
    return tuple(found.values()) if len(found) > 1 else ()


def announced_instance(
    settings: ServerConfig, section: RegistryConfig, urls: Sequence[str], workers: int
) -> Instance:
    """What a server announces of itself. Warns of an address that others cannot dial.

    Args:
        settings: Of the server.
        section: Of its registry.
        urls: Those that it listens on, with the real ports.
        workers: How many processes serve behind them.
    """
    url = announced_url(settings.advertise, urls)
    if section.is_elsewhere and parse(url).is_loopback:
        say("announces_loopback", announces_loopback(url), level=logging.WARNING, url=url)
    node = Node(
        instance_id(settings.name),
        url,
        settings.version,
        settings.weight,
        settings.zone,
        settings.tags,
        workers,
        # An address that was stated is the only one that others are told.
        announced_addresses(url, urls, is_elsewhere=section.is_elsewhere)
        if settings.advertise is None
        else (),
    )
    return Instance(settings.name, node)


def by_route(family: socket.AddressFamily) -> str | None:
    """This machine's address at the start of the way to other machines, or None without one."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ELSEWHERE[family], 9))  # UDP: only the route is looked up
            return _real(probe.getsockname()[0])
    except OSError:
        return None


def by_name(family: socket.AddressFamily) -> str | None:
    """What this host's name resolves to, or None when that is nothing that others can dial."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, family, socket.SOCK_STREAM)
    except OSError:
        return None
    return next((host for entry in found if (host := _real(str(entry[4][0]))) is not None), None)


def outward_host(wildcard: str, look_ups: Sequence[LookUp] = (by_route, by_name)) -> str:
    """An address of this machine that others can dial.

    Args:
        wildcard: ``0.0.0.0`` or ``::``, the address listened on. A socket on ``::`` takes IPv4 too.
        look_ups: Each gives an address of a family, or None; the first that gives one is taken.

    Returns:
        What was found. When nothing was, this machine's own loopback, with a warning.
    """
    families = (socket.AF_INET6, socket.AF_INET) if ":" in wildcard else (socket.AF_INET,)
    found = (look_up(family) for family in families for look_up in look_ups)
    host = next((host for host in found if host is not None), None)
    if host is not None:
        return host
    loopback = "::1" if ":" in wildcard else "127.0.0.1"
    log.warning(
        "no address of this machine was found that others could dial, so %s is announced; "
        "state bee.rpc.server.advertise",
        loopback,
    )
    return loopback


def _real(host: str) -> str | None:
    """The host, or None for one that cannot be dialled from elsewhere.

    That is a wildcard, a loopback, or a link-local address of IPv6, which needs a zone.
    """
    wildcard_or_own = {"0.0.0.0", "::", "::1"}  # noqa: S104  # compared, not bound
    return None if host in wildcard_or_own or host.startswith(("127.", "fe80:")) else host


# Keeping it announced.


class LoopTicks:
    """Shows from outside that an event loop runs: a number that it raises from time to time.

    Args:
        heartbeat_interval: Seconds between renewals in the registry.

    Attributes:
        count: The number.
        interval: Seconds between two ticks.
        told: Called on the loop for each tick, or None.
    """

    def __init__(self, heartbeat_interval: float) -> None:
        self.count = 0
        self.interval = heartbeat_interval / _TICKS_A_BEAT
        self.told: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tick now and then after each interval, on the running loop."""
        self.count += 1
        if self.told is not None:
            self.told()
        self._timer = asyncio.get_running_loop().call_later(self.interval, self.start)

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()


class Announcer:
    """Keeps a server in its registry from now on, on a control plane of its own.

    Making it does not wait: a server serves even while its registry is down.

    Args:
        registry: The plugin's object; closed when the server leaves.
        registry_name: For the log.
        instance: What is announced.
        heartbeat_interval: Seconds between renewals.
        ticks: A number that grows while the serving loop runs.
        run: Calls what writes to the log; it is itself called on the control plane's thread.
        observers: Are told of each change: the service, what has happened, and why; and of the
            state of the lease.
        heard: Is told what has happened, and why, where the log is written.
    """

    def __init__(
        self,
        registry: Registry,
        registry_name: str,
        instance: Instance,
        heartbeat_interval: float,
        ticks: Callable[[], int],
        run: Run,
        observers: Observation,
        heard: Callable[[str, str], object],
    ) -> None:
        self._heard = heard
        self._registry_name = registry_name
        self._instance = instance
        self._observers = observers
        self._plane = ControlPlane(f"server-{instance.service}")
        self._plane.at_stop(registry.close)
        self._registration = Registration(
            registry,
            instance,
            heartbeat_interval,
            ticks,
            lambda event: run(partial(self._say, event)),
        )
        self._tell_lease("registering")
        self._plane.spawn(self._registration.keep)

    @property
    def standing(self) -> str:
        """What the server has with its registry, for people: ``the lease is held``."""
        where, state = self._registry_name, self._registration.state
        return {
            "held": f"registered in {where}",
            "unsure": f"{where} is out of reach or refuses; the lease goes on",
            "lost": f"the lease in {where} is lost; registering again",
            "left": f"has left {where}",
        }.get(state, f"registering in {where}")

    async def leave(self) -> None:
        """Leave the registry within a bound, and end the control plane.

        Watchers get time to hear of it. For the serving loop, which goes on meanwhile.
        """
        registered = self._registration.registered
        left: Future[bool] = Future()

        async def leave() -> None:
            confirmed = False
            try:
                confirmed = await self._registration.leave(DEREGISTER_TIMEOUT)
            finally:
                left.set_result(confirmed)

        self._plane.spawn(leave)
        await asyncio.wait((asyncio.wrap_future(left),), timeout=2 * DEREGISTER_TIMEOUT)
        if registered and left.done() and left.result():
            await asyncio.sleep(WATCH_GRACE)
        await self._plane.stop_async(DEREGISTER_TIMEOUT)
        self._tell_lease("left")

    def _tell_lease(self, state: State) -> None:
        self._observers.event("lease", {"service": self._instance.service, "state": state})

    def _say(self, event: RegistrationEvent) -> None:
        node, where, reason = self._instance.node, self._registry_name, event.reason
        record = f"{node.url} in {where} as {node.id}; the lease lasts {event.ttl:g} s"
        text = {
            "registered": f"registered {record}",
            "registered_again": f"registered again {record}",
            "record_repaired": f"wrote the record of {node.id} in {where} again: {reason}",
            "registry_in_reach": f"registry in reach again ({where}); the lease was kept",
            "lease_lost": f"lease lost in {where}: {reason}; registering again",
            "registry_out_of_reach": (
                f"registry out of reach ({where}): {reason}; serving goes on, "
                "and so do the attempts to reach it"
            ),
            "registration_refused": (
                f"registration refused by {where}: {reason}; serving goes on, "
                "and so do the attempts to register"
            ),
            "id_taken": (
                f"id taken in {where}: {reason}; serving goes on, and this server registers "
                "as soon as the id is free"
            ),
            "not_deregistered": (
                f"not deregistered from {where}: {reason}; the entry runs out by itself"
            ),
        }[event.name]
        level = logging.WARNING if reason else logging.INFO
        fields: dict[str, Any] = {
            "registry": where,
            "service": self._instance.service,
            "id": node.id,
            "url": node.url,
        }
        if 0 < event.ttl < inf:
            fields["ttl"] = event.ttl
        if reason:
            fields["reason"] = reason
        say(event.name, text, level=level, **fields)
        self._heard(event.name, reason)
        self._observers.registry_changed(self._instance.service, event.name, reason)
        self._tell_lease(self._registration.state)
