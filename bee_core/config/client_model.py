"""``bee.rpc.client.<service>`` as frozen classes: every key, its default, and the reason for it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  cattrs reads the annotations
from typing import Annotated

import attrs

from ..options import (
    COMMAS,
    DIAL,
    RANGE,
    SEVERAL,
    VERSION,
    Bytes,
    Seconds,
    at_least,
    positive,
    some_text,
)
from .fields import (
    MAX_INFLATED,
    MAX_SIZE,
    NOT_WRITTEN,
    PluginRef,
    about,
    canonical_url,
    dialled,
    names_not_empty,
    version,
    version_range,
)
from .secret import Secret  # noqa: TC001  cattrs reads the annotations


@attrs.frozen
class AddressConfig:
    """``bee.rpc.client.<service>.address``: a node that is known without a registry.

    A bare url stands for one with the rest at its defaults.
    """

    url: Annotated[str, DIAL] = attrs.field(
        converter=canonical_url,
        validator=dialled,
        metadata=about(
            "`host:port`, `tcp://host:port`, `tls://host:port`, `unix:///path`. Without a scheme "
            "it is tcp."
        ),
    )
    weight: float = attrs.field(
        default=1.0,
        validator=at_least(0),
        metadata=about(
            "Its share of the calls, relative to the other nodes; 0 gets none.",
            "All nodes the same.",
        ),
    )
    version: Annotated[str, VERSION] | None = attrs.field(
        default=None,
        validator=version,
        metadata=about("The version that serves there.", "Not stated: then no range filters it."),
    )
    tags: Annotated[frozenset[str], COMMAS] = attrs.field(
        default=frozenset(),
        validator=names_not_empty,
        metadata=about("Labels that a client can ask for.", "None."),
    )


@attrs.frozen(kw_only=True)
class CallConfig:
    """The settings of a call: the keys that a service has, and each of its methods again.

    This is the list of them; ``CALL_FIELDS``, the classes below, the reference page and ``bee
    explain`` take it from here.
    """

    timeout: Seconds = attrs.field(
        default=30.0,
        validator=positive,
        metadata=about(
            "Bounds the whole call: waiting, every attempt, every pause.",
            "Room for the default three attempts of 10 s each.",
            unit="seconds",
        ),
    )
    connect_timeout: Seconds = attrs.field(
        default=5.0,
        validator=positive,
        metadata=about(
            "Bounds connecting, in one attempt.",
            "Envoy's default.",
            unit="seconds",
        ),
    )
    read_timeout: Seconds = attrs.field(
        default=10.0,
        validator=positive,
        metadata=about(
            "Bounds one attempt from the request written to the reply complete.",
            "A third of `timeout`: a node that hangs leaves time for two others.",
            unit="seconds",
        ),
    )
    write_timeout: Seconds = attrs.field(
        default=10.0,
        validator=positive,
        metadata=about(
            "Bounds writing the request, in one attempt.",
            "The same as `read_timeout`: a node that takes nothing is as bad as a silent one.",
            unit="seconds",
        ),
    )
    fail: PluginRef = attrs.field(
        default=PluginRef("failover"),
        metadata=about(
            "What follows a failed attempt: `failfast`, `failtry`, `failover`.",
            "Dubbo's default. Safe for writes: a call that may have run is repeated only when it "
            "is idempotent.",
            plugin="fault_tolerance",
        ),
    )
    retries: int = attrs.field(
        default=2,
        validator=at_least(0),
        metadata=about(
            "Attempts after the first, at most. 0 means none.",
            "Dubbo's default: three nodes are asked.",
        ),
    )
    idempotent: bool | None = attrs.field(
        default=None,
        metadata=about(
            "Whether a call may run more than once, so that it is repeated when nobody knows "
            "whether it ran.",
            "The mark on the interface's method decides; without a mark, no.",
        ),
    )
    oneway: bool | None = attrs.field(
        default=None,
        metadata=about(
            "Whether a call is sent and not waited for: it returns None once it is on its way, and "
            "nobody hears what became of it.",
            "The mark on the interface's method decides; without a mark, no.",
        ),
    )
    fallback: PluginRef | None = attrs.field(
        default=None,
        metadata=about(
            "Answers when the call could not. `none` for none.",
            "An invented answer must be asked for.",
            plugin="fallback",
        ),
    )
    compress_above: Bytes | None = attrs.field(
        default=None,
        validator=at_least(0),
        metadata=about(
            "Compress bodies above this size already.",
            "Only above `max_size`: below it, compressing costs more time than it saves.",
            unit="bytes",
        ),
    )
    metadata: Mapping[str, str] = attrs.field(
        factory=dict,
        validator=names_not_empty,
        metadata=about(
            "Texts that the handler sees. Joined by key with those of the levels above.", "None."
        ),
    )
    baggage: Mapping[str, str] = attrs.field(
        factory=dict,
        validator=names_not_empty,
        metadata=about(
            "Metadata that also travels on with the calls that the handler makes.",
            "None: what travels on is chosen, never leaked.",
        ),
    )


CALL_FIELDS = tuple(attribute.name for attribute in attrs.fields(CallConfig))
"""The fields that a method can have."""


@attrs.frozen(kw_only=True)
class MethodConfig(CallConfig):
    """``bee.rpc.client.<service>.methods.<method>``; what it lacks it has from the service."""

    name: str = attrs.field(default="", metadata=about("The method.", key=NOT_WRITTEN))


@attrs.frozen(kw_only=True)
class ClientConfig(CallConfig):
    """``bee.rpc.client.<service>``: how a service is called.

    ``bee.rpc.client.default`` has the same keys and holds for all services.
    """

    name: str = attrs.field(default="", metadata=about("The service.", key=NOT_WRITTEN))
    version: Annotated[str, RANGE] | None = attrs.field(
        default=None,
        validator=version_range,
        metadata=about("Which versions will do: `>=1.0, <2`, `^1.2`, `~1.2.3`, `1.x`.", "Any."),
    )
    address: Annotated[tuple[AddressConfig, ...], SEVERAL] = attrs.field(
        default=(),
        metadata=about(
            "The nodes, where no registry knows better: a url, `{url, weight, version, tags}`, or "
            "a list of these.",
            "The registry knows them.",
        ),
    )
    transport: PluginRef = attrs.field(
        default=PluginRef("tcp"),
        metadata=about(
            "Options for a transport. Which one a node gets follows from the scheme of its url.",
            "tcp is what urls without a scheme mean.",
            plugin="transport",
        ),
    )
    codec: PluginRef = attrs.field(
        default=PluginRef("json"),
        metadata=about(
            "How arguments and results become bytes.",
            "Readable, known in every language, no schema needed.",
            plugin="codec",
        ),
    )
    max_size: Bytes = attrs.field(
        default=MAX_SIZE.default,
        validator=MAX_SIZE.validator,
        metadata=about(MAX_SIZE.doc, MAX_SIZE.why, unit="bytes", key="codec.options.max_size"),
    )
    max_inflated: Bytes = attrs.field(
        default=MAX_INFLATED.default,
        validator=MAX_INFLATED.validator,
        metadata=about(
            MAX_INFLATED.doc, MAX_INFLATED.why, unit="bytes", key="codec.options.max_inflated"
        ),
    )
    compress: PluginRef | None = attrs.field(
        default=PluginRef("gzip"),
        metadata=about(
            "The compressor for large bodies. `none` for none.",
            "Every language has gzip.",
            plugin="compressor",
        ),
    )
    balancer: PluginRef = attrs.field(
        default=PluginRef("random"),
        metadata=about(
            "Picks the node of an attempt.",
            "Dubbo's default: even in the long run, and clients cannot fall into step.",
            plugin="balancer",
        ),
    )
    breaker: PluginRef | None = attrs.field(
        default=None,
        metadata=about(
            "Cuts a bad node off. `none` for none.",
            "Cutting off needs a threshold, and that depends on the service.",
            plugin="breaker",
        ),
    )
    limiter: PluginRef | None = attrs.field(
        default=None,
        metadata=about(
            "Bounds the calls of this service that run at a time. `none` for none.",
            "The server has bounds of its own.",
            plugin="limiter",
        ),
    )
    tags: Annotated[frozenset[str], COMMAS] = attrs.field(
        default=frozenset(),
        validator=names_not_empty,
        metadata=about("Only nodes that have all of these labels.", "Any node."),
    )
    token: Secret | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            "A secret that the server knows as well: a text such as `${BEE_TOKEN}`, or `{file: "
            "/path}`, of which the first line counts and which is read again when it has changed.",
            "None: a server that states no `tokens` asks for none.",
        ),
    )
    zone: str | None = attrs.field(
        default=None,
        validator=some_text,
        metadata=about(
            "Only nodes of this zone. A configured address that states no zone is not filtered.",
            "Any: a service that runs in one zone would be lost.",
        ),
    )
    methods: Mapping[str, MethodConfig] = attrs.field(
        factory=dict,
        validator=names_not_empty,
        metadata=about(
            "Values for single methods, by name; `Stats.mean` is a name. Only the keys that "
            "concern a call.",
            "None.",
        ),
    )

    def method(self, name: str) -> MethodConfig:
        """The values for a method: its own where stated, the service's otherwise."""
        found = self.methods.get(name)
        return (
            found
            if found is not None
            else MethodConfig(name=name, **{field: getattr(self, field) for field in CALL_FIELDS})
        )
