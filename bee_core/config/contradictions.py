"""Values that are possible one by one and do not go together.

``bee check`` prints them; nothing refuses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..errors import ConfigError
from ..terms.addresses import parse
from .client_model import CallConfig, ClientConfig
from .fields import written_at
from .model import CLIENT, SERVER, Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server_model import ServerConfig

_REPEATING = frozenset({"failover", "failtry", "failbackup"})


@attrs.frozen
class Contradiction:
    """A warning.

    Attributes:
        path: The key that would have to change.
        message: What does not go together, and what to do.
        line: Where one of the values is stated, or None.
        source: The file, or None.
    """

    path: str
    message: str
    line: int | None = None
    source: str | None = None

    def __str__(self) -> str:
        """One line, in the form of a ``ConfigError``."""
        return str(ConfigError(self.message, path=self.path, line=self.line, source=self.source))


def warnings(config: Config) -> list[Contradiction]:
    """What in a configuration does not go together, services first, in the order of the file."""
    found = [one for client in config.clients.values() for one in _of_client(config, client)]
    if config.server is not None:
        found += [
            (f"{SERVER}.{field}", message, None)
            for field, message in _of_server(config, config.server)
        ]
    return [
        Contradiction(path, message, config.origin(stated or path), config.file(stated or path))
        for path, message, stated in found
    ]


def _of_client(config: Config, client: ClientConfig) -> Iterator[tuple[str, str, str | None]]:
    """The key that would have to change, the message, and the key that states the value."""
    base, fields = f"{CLIENT}.{client.name}", attrs.fields_dict(ClientConfig)
    of_all_calls = list(_of_call(config, client, client, None))
    for field, message in (*_of_service(config, client), *of_all_calls):
        key = written_at(fields[field])
        yield f"{base}.{key}", message, _written(config, client.name, field)
    for method, call in client.methods.items():
        for field, message in _of_call(config, client, call, method):
            if (field, message) not in of_all_calls:
                stated = _written(config, client.name, field, method)
                yield f"{base}.methods.{method}.{field}", message, stated


def _written(config: Config, service: str, field: str, method: str | None = None) -> str | None:
    """The key that states a field; for a ``read_timeout`` that nobody states, the timeout's."""
    stated = config.stated(service, field, method)
    if stated is None and field == "read_timeout":
        return config.stated(service, "timeout", method)
    return stated


def _in_clear(url: str) -> bool:
    address = parse(url)
    return address.scheme == "tcp" and not address.is_loopback


def _of_call(
    config: Config, client: ClientConfig, call: CallConfig, method: str | None
) -> Iterator[tuple[str, str]]:
    def stated(field: str) -> str | None:
        return config.stated(client.name, field, method)

    retries = call.retries if call.fail.name in _REPEATING else 0
    # Methods that keep the service's times are named there, all of them at once.
    alike = client.methods.values() if method is None else ()
    if _hangs_for_good(call) or any(
        _hangs_for_good(own) and _times(own) == _times(call) for own in alike
    ):
        yield "read_timeout", _no_time_left(call)
    if (
        retries
        and not call.idempotent
        and not call.oneway
        and not (method is None and any(own.idempotent for own in client.methods.values()))
        and (stated("retries") or stated("fail"))
    ):
        which = "is marked false" if call.idempotent is False else "is not stated"
        yield (
            "idempotent",
            (
                f"{call.fail.name}, and idempotent {which}: "
                "only calls that provably did not run are retried; "
                "state idempotent: true where a method may run twice"
            ),
        )
    if call.oneway and call.idempotent and stated("idempotent"):
        yield (
            "idempotent",
            (
                "a oneway call is sent once and never again, so idempotent: true has no effect; "
                "remove it, or oneway"
            ),
        )
    if call.connect_timeout > call.timeout and stated("connect_timeout"):
        yield (
            "connect_timeout",
            (
                f"connecting may take {call.connect_timeout:g} s, and the whole call ends after "
                f"{call.timeout:g} s; lower connect_timeout"
            ),
        )
    if (
        call.fail.name == "failfast"
        and call.retries
        and _retries_of_failfast(config, client, method)
    ):
        yield (
            "retries",
            (
                f"failfast tries once, so retries: {call.retries} has no effect; "
                "remove it, or choose failover or failtry"
            ),
        )


def _retries_of_failfast(config: Config, client: ClientConfig, method: str | None) -> bool:
    """Whether retries are stated beside failfast or below it, and not above it for other calls."""
    sections = [f"{CLIENT}.default", f"{CLIENT}.{client.name}"]
    if method is not None:
        sections.append(f"{sections[1]}.methods.{method}")
    fail, retries = (
        max(
            (depth for depth, one in enumerate(sections) if f"{one}.{key}" in config.lines),
            default=-1,
        )
        for key in ("fail", "retries")
    )
    return retries >= max(fail, 0)


def _times(call: CallConfig) -> tuple[float, float]:
    return call.timeout, call.read_timeout


def _hangs_for_good(call: CallConfig) -> bool:
    """Whether a call may be repeated, and one node that hangs takes all of its time."""
    return bool(
        call.fail.name in _REPEATING
        and call.retries
        and call.idempotent
        and not call.oneway
        and call.timeout <= call.read_timeout
    )


def _no_time_left(call: CallConfig) -> str:
    third = call.timeout / 3
    shown = f"{third:.0f}" if third >= 10 else f"{third:.2g}"
    return (
        f"one attempt may take {call.read_timeout:g} s, and the whole call {call.timeout:g} s: a "
        "node that hangs leaves no time for a retry, and no breaker counts it; write "
        f"read_timeout: {shown}, a third of timeout"
    )


def _injected(faults: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    if faults:
        told = "; ".join(map(str, faults))
        yield "faults", f"FAULTS ARE INJECTED: {told}; remove them where this is no trial"


def _of_service(config: Config, client: ClientConfig) -> Iterator[tuple[str, str]]:
    yield from _injected(client.faults)
    yield from _of_sizes(client.max_size, client.max_inflated, client.compress_above)
    without_registry = config.registry is None or config.registry.protocol == "direct"
    if not client.address and without_registry:
        yield (
            "address",
            (
                "no registry is configured and no address is stated, so this service has no node; "
                "state one of them"
            ),
        )
    if client.address and all(address.weight == 0 for address in client.address):
        yield "address", "every address has weight 0, so none gets calls"
    in_clear = next(filter(_in_clear, (address.url for address in client.address)), None)
    if client.token is not None and in_clear is not None:
        yield (
            "token",
            (
                f"the token goes to {in_clear} in clear, where others on the network can read it; "
                "use tls:// there"
            ),
        )
    if (
        client.token is not None
        and not without_registry
        and "tls" not in (client.schemes or (client.transport.name,))
    ):
        yield (
            "token",
            (
                f"nodes of the registry that are reached over {client.transport.name}:// are "
                "passed over, since the token would go to them in clear; use transport: tls"
            ),
        )
    if without_registry and client.transport.path and client.address:
        schemes = {parse(address.url).scheme for address in client.address}
        # What a service takes over from default is meant for others too. Then only tcp looks like
        # a scheme that was forgotten.
        here = client.transport.path.startswith(f"{CLIENT}.{client.name}.")
        if client.transport.name not in schemes and (here or "tcp" in schemes):
            yield "transport", _unused_transport(client.transport.name, client.address[0].url)
    if client.compress is None and client.compress_above is not None:
        yield (
            "compress_above",
            "no compressor is configured, so compress_above has no effect; name one under compress",
        )


def _of_sizes(
    max_size: int, max_inflated: int, compress_above: int | None
) -> Iterator[tuple[str, str]]:
    if max_inflated < max_size:
        yield (
            "max_inflated",
            (
                f"max_inflated ({max_inflated} bytes) is below max_size ({max_size} bytes): bodies "
                "that may be sent as they are would be refused compressed"
            ),
        )
    if compress_above is not None and compress_above > max_size:
        yield (
            "compress_above",
            (
                f"bodies above max_size ({max_size} bytes) are compressed anyway, so "
                f"compress_above ({compress_above} bytes) has no effect; lower it"
            ),
        )


def _unused_transport(name: str, url: str) -> str:
    return (
        f"the scheme of an address decides its transport, and {url} has {parse(url).scheme}://, "
        f"so {name} is not used; write {name}:// in the address, or remove it here"
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


def _of_server(config: Config, server: ServerConfig) -> Iterator[tuple[str, str]]:
    yield from _injected(server.faults)
    addresses = [parse(url) for url in server.address]
    for ref in server.transports:
        if all(address.scheme != ref.name for address in addresses):
            yield (
                ref.path.removeprefix(f"{SERVER}.") or "transports",
                _unused_transport(ref.name, server.address[0]),
            )
    codec = server.codecs[0].path.removeprefix(f"{SERVER}.").partition("[")[0] or "codecs"
    for field, message in _of_sizes(server.max_size, server.max_inflated, None):
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
    in_clear = next(filter(_in_clear, server.address), None)
    if server.tokens and in_clear is not None:
        yield (
            "tokens",
            (
                f"clients send their tokens to {in_clear} in clear, where others on the network "
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
