"""What in ``bee.rpc.client`` is possible key by key and does not go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ..options import MisfitError
from ..terms.addresses import parse
from .client_model import CallConfig, ClientConfig
from .fields import PluginRef, written_at
from .model import CLIENT, Config
from .shared_contradictions import in_clear, of_faults, of_sizes, unused_transport
from .values import read_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPEATING = frozenset({"failover", "failtry", "failbackup"})
_PROVEN = "only calls that provably did not run are retried"
_RETRIED = {
    "failbackup": f"{_PROVEN}, and no second attempt begins beside a slow one",
    "failtry": f"{_PROVEN}, and others are repeated only where the server has deduplicate",
}
"""What a fault tolerance does with calls that must not run twice."""


def of_client(config: Config, client: ClientConfig) -> Iterator[tuple[str, str, str | None]]:
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
                f"{call.fail.name}, and idempotent {which}: {_RETRIED.get(call.fail.name, _PROVEN)}"
                "; state idempotent: true where a method may run twice"
            ),
        )
    if (
        call.fallback is not None
        and call.fallback.name == "last-good"
        and not call.idempotent
        and not (method is None and any(own.idempotent for own in client.methods.values()))
        and stated("fallback")
    ):
        yield (
            "fallback",
            (
                "last-good answers a call that may have run only if the call is idempotent; state "
                "idempotent: true for methods that read"
            ),
        )
    if call.fail.name == "failbackup" and (stated("fail") or stated("retries")):
        yield from _of_hedging(call)
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


def _of_hedging(call: CallConfig) -> Iterator[tuple[str, str]]:
    if not call.retries:
        yield (
            "retries",
            (
                "failbackup, and retries: 0: a second attempt is one of the retries, so none is "
                "made; state retries: 1 or more, or choose failfast"
            ),
        )
    try:
        delay = read_seconds(call.fail.options.get("delay"))
    except MisfitError:
        return  # none, or the plugin complains of it
    field, most = min((("timeout", call.timeout), ("read_timeout", call.read_timeout)), key=_value)
    if delay >= most:
        yield (
            "fail",
            (
                f"a second attempt would begin after {delay:g} s, and {field} ends the first one "
                f"after {most:g} s, so none is made; lower delay"
            ),
        )


def _value(item: tuple[str, float]) -> float:
    return item[1]


def _uses(balancer: Any, name: str) -> bool:
    """Whether a balancer or one within it has this name."""
    options: Any
    if isinstance(balancer, PluginRef):
        found, options = balancer.name, balancer.options
    elif isinstance(balancer, Mapping):
        found, options = balancer.get("name", ""), balancer.get("options")
    else:
        return bool(balancer == name)
    inner = options.get("within") if isinstance(options, Mapping) else None
    return found == name or (inner is not None and _uses(inner, name))


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


def _of_service(config: Config, client: ClientConfig) -> Iterator[tuple[str, str]]:
    yield from of_faults(client.faults)
    yield from of_sizes(client.max_size, client.max_inflated, client.compress_above)
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
    open_one = next(filter(in_clear, (address.url for address in client.address)), None)
    if client.token is not None and open_one is not None:
        yield (
            "token",
            (
                f"the token goes to {open_one} in clear, where others on the network can read it; "
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
            yield "transport", unused_transport(client.transport.name, client.address[0].url)
    if client.breaker is None and _uses(client.balancer, "zone"):
        yield (
            "breaker",
            (
                "the balancer zone sends calls to other zones only while a breaker cuts nodes of "
                "the own zone off, and no breaker is configured; name one"
            ),
        )
    if client.compress is None and client.compress_above is not None:
        yield (
            "compress_above",
            "no compressor is configured, so compress_above has no effect; name one under compress",
        )
