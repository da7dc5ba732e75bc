"""What in ``bee.rpc.server`` is possible key by key and does not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terms.addresses import parse
from .model import SERVER, Config
from .shared_contradictions import in_clear, of_faults, of_sizes, unused_transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server_model import ServerConfig


_THROTTLE = (
    "throttle is for clients: it refuses what servers refuse, and behind it nothing refuses here; "
    "use codel, gradient or fixed, and throttle at the clients"
)


def announces_loopback(url: str) -> str:
    """The warning of a server that is announced where nobody else can dial it."""
    return (
        f"{url} is announced to a registry on another machine, and only this machine can dial it;"
        " listen on 0.0.0.0 or on an address of the network, or state advertise"
    )


def announces_nothing(registry: str) -> str:
    """The warning of a server whose registry keeps no registrations."""
    return (
        f"the registry {registry!r} announces nothing; choose another one, or set register: false"
    )


def of_server(config: Config, server: ServerConfig) -> Iterator[tuple[str, str]]:
    """The key that would have to change, below the section, and the message."""
    yield from of_faults(server.faults)
    yield from _of_limiters(server)
    addresses = [parse(url) for url in server.address]
    for ref in server.transports:
        if all(address.scheme != ref.name for address in addresses):
            yield (
                ref.path.removeprefix(f"{SERVER}.") or "transports",
                unused_transport(ref.name, server.address[0]),
            )
    codec = server.codecs[0].path.removeprefix(f"{SERVER}.").partition("[")[0] or "codecs"
    for field, message in of_sizes(server.max_size, server.max_inflated, None):
        yield f"{codec}.options.{field}", message
    largest = max(server.max_size, server.max_inflated)
    if server.max_buffered < largest:
        yield (
            "max_buffered",
            (
                f"max_buffered ({server.max_buffered} bytes) is below the largest request "
                f"({largest} bytes, by max_inflated or max_size): such requests run one at a time, "
                "beyond the bound; raise it, or lower max_inflated"
            ),
        )
    elif server.max_buffered < 2 * largest:
        yield (
            "max_buffered",
            (
                f"half of max_buffered ({server.max_buffered} bytes) is for requests, and the "
                f"largest may have {largest} bytes: those run one at a time; raise max_buffered, "
                "or lower max_inflated"
            ),
        )
    open_one = next(filter(in_clear, server.address), None)
    if server.tokens and open_one is not None:
        yield (
            "tokens",
            (
                f"clients send their tokens to {open_one} in clear, where others on the network "
                "can read them; use tls:// there"
            ),
        )
    if (
        server.register
        and server.advertise is None
        and any(address.is_wildcard for address in addresses)
    ):
        yield (
            "advertise",
            (
                "the server listens on every interface and is announced under an address that is "
                "guessed; state the one that clients reach"
            ),
        )
    announced = [parse(server.advertise)] if server.advertise is not None else addresses
    if (
        server.register
        and config.registry is not None
        and config.registry.is_elsewhere
        and announced[0].is_loopback
    ):
        yield "advertise", announces_loopback(announced[0].url)
    if server.register and config.registry is None:
        yield (
            "register",
            "the server is to be announced, and no registry is configured; add bee.rpc.registry",
        )
    elif server.register and config.registry is not None and config.registry.protocol == "direct":
        yield "register", announces_nothing("direct")
    if server.on_breaking is not None and not server.register:
        yield (
            "on_breaking",
            (
                "nothing is compared: a server is compared with others before it registers; add "
                "register: true, or leave on_breaking out"
            ),
        )
    if server.workers > 1 and any(address.scheme == "memory" for address in addresses):
        yield (
            "workers",
            "an address of memory:// serves one process, so it cannot have several workers",
        )


def _of_limiters(server: ServerConfig) -> Iterator[tuple[str, str]]:
    limiters = {"limiter": server.limiter} | {
        f"methods.{name}.limiter": own.limiter for name, own in server.methods.items()
    }
    for field, refs in limiters.items():
        if any(ref.name == "throttle" for ref in refs):
            yield field, _THROTTLE
