"""``bee.rpc.client.<service>`` as frozen classes: every key, its default, and the reason for it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  cattrs reads the annotations
from typing import Annotated

import attrs
from attrs.validators import optional

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
from ..terms.criticality import Criticality  # noqa: TC001  cattrs reads the annotations
from ..terms.metadata import Metadata  # noqa: TC001  cattrs reads the annotations
from .fault_model import FaultConfig  # noqa: TC001  cattrs reads the annotations
from .fields import (
    NOT_WRITTEN,
    PluginRef,
    about,
    canonical_url,
    dialled,
    interceptors,
    limiters,
    max_inflated,
    max_size,
    names_not_empty,
    observers,
    setting,
    version,
    version_range,
)
from .retry_budget_model import RetryBudgetConfig
from .secret import Secret, shown_token


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
    weight: float = setting(
        1.0,
        "Its share of the calls, relative to the other nodes; 0 gets none.",
        "All nodes the same.",
        check=at_least(0),
    )
    version: Annotated[str, VERSION] | None = setting(
        None,
        "The version that serves there.",
        "Not stated: then no range filters it.",
        check=version,
    )
    tags: Annotated[frozenset[str], COMMAS] = setting(
        frozenset(), "Labels that a client can ask for.", "None.", check=names_not_empty
    )


@attrs.frozen(kw_only=True)
class CallConfig:
    """The settings of a call: the keys that a service has, and each of its methods again.

    This is the list of them; ``CALL_FIELDS``, the classes below, the reference page and ``bee
    explain`` take it from here.
    """

    timeout: Seconds = setting(
        30.0,
        "Bounds the whole call: waiting, every attempt, every pause.",
        "Room for the default three attempts of 10 s each.",
        check=positive,
        unit="seconds",
    )
    connect_timeout: Seconds = setting(
        5.0,
        "Bounds connecting, in one attempt. So does half of the time that is left, where another "
        "node could be tried.",
        "Envoy's default.",
        check=positive,
        unit="seconds",
    )
    read_timeout: Seconds = setting(
        10.0,
        "Bounds one attempt from the request written to the reply complete.",
        "A third of the default `timeout`: a node that hangs leaves time for two others. State it "
        "with a shorter `timeout`.",
        check=positive,
        unit="seconds",
    )
    write_timeout: Seconds = setting(
        10.0,
        "Bounds writing the request, in one attempt.",
        "The same as `read_timeout`: a node that takes nothing is as bad as a silent one.",
        check=positive,
        unit="seconds",
    )
    fail: PluginRef = setting(
        PluginRef("failover"),
        "What follows a failed or a slow attempt: `failfast`, `failtry`, `failover`, "
        "`failbackup`; or `broadcast`, which calls every node.",
        "Dubbo's default. Safe for writes: a call that may have run is repeated only when it "
        "is idempotent.",
        plugin="fault_tolerance",
    )
    retries: int = setting(
        2,
        "Attempts after the first, at most. 0 means none.",
        "Dubbo's default: three nodes are asked.",
        check=at_least(0),
    )
    idempotent: bool | None = setting(
        None,
        "Whether a call may run more than once, so that it is repeated when nobody knows "
        "whether it ran.",
        "The mark on the interface's method decides; without a mark, no.",
    )
    oneway: bool | None = setting(
        None,
        "Whether a call is sent and not waited for: it returns None once it is on its way, and "
        "nobody hears what became of it.",
        "The mark on the interface's method decides; without a mark, no.",
    )
    fallback: PluginRef | None = setting(
        None,
        "Answers when the call could not. `none` for none.",
        "An invented answer must be asked for.",
        plugin="fallback",
    )
    limiter: Annotated[tuple[PluginRef, ...], SEVERAL] = limiters(
        "Bounds the calls of this service that run at a time; one of a method is for the calls of "
        "that method, which then do not count at the service's",
        "The server has bounds of its own.",
    )
    criticality: Criticality | None = setting(
        None,
        "How important the calls are: `critical_plus`, `critical`, `sheddable_plus`, `sheddable`. "
        "Under overload the last ones are turned away first. A call of a handler is at most as "
        "important as the call that it handles.",
        "That of the call that a handler works on; `critical` outside of a handler. Nobody has "
        "said that the call may be lost.",
    )
    compress_above: Bytes | None = setting(
        None,
        "Compress bodies above this size already.",
        "Only above `max_size`: below it, compressing costs more time than it saves.",
        check=at_least(0),
        unit="bytes",
    )
    metadata: Metadata = attrs.field(
        factory=dict,
        validator=names_not_empty,
        metadata=about(
            "Texts that the handler sees, or bytes as `!!binary`. Joined by key with those of the"
            " levels above.",
            "None.",
        ),
    )
    baggage: Metadata = attrs.field(
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

    name: str = setting("", "The method.", key=NOT_WRITTEN)


@attrs.frozen(kw_only=True)
class ClientConfig(CallConfig):
    """``bee.rpc.client.<service>``: how a service is called.

    ``bee.rpc.client.default`` has the same keys and holds for all services.
    """

    name: str = setting("", "The service.", key=NOT_WRITTEN)
    version: Annotated[str, RANGE] | None = setting(
        None,
        "Which versions will do: `>=1.0, <2`, `^1.2`, `~1.2.3`, `1.x`.",
        "Any.",
        check=version_range,
    )
    address: Annotated[tuple[AddressConfig, ...], SEVERAL] = setting(
        (),
        "The nodes, where no registry knows better: a url, `{url, weight, version, tags}`, or "
        "a list of these.",
        "The registry knows them.",
    )
    transport: PluginRef = setting(
        PluginRef("tcp"),
        "Options for a transport. Which one a node gets follows from the scheme of its url.",
        "tcp is what urls without a scheme mean.",
        plugin="transport",
    )
    schemes: Annotated[tuple[str, ...], COMMAS] | None = setting(
        None,
        "The schemes that nodes of a registry may have: `tls`, or `tls, tcp`. Addresses of this "
        "file may have any.",
        "That of `transport` where it encrypts, so that no record can switch TLS off; any "
        "otherwise. A token never goes out in clear to a node that only the registry names.",
        check=optional(names_not_empty),
    )
    codec: PluginRef = setting(
        PluginRef("json"),
        "How arguments and results become bytes.",
        "Readable, known in every language, no schema needed.",
        plugin="codec",
    )
    max_size: Bytes = max_size("codec")
    max_inflated: Bytes = max_inflated("codec")
    compress: PluginRef | None = setting(
        PluginRef("gzip"),
        "The compressor for large bodies. `none` for none.",
        "Every language has gzip.",
        plugin="compressor",
    )
    balancer: PluginRef = setting(
        PluginRef("random"),
        "Picks the node of an attempt.",
        "Dubbo's default: even in the long run, and clients cannot fall into step.",
        plugin="balancer",
    )
    slow_start: Seconds = setting(
        0.0,
        "How long a node that has just come gets fewer calls: a tenth of its share at first, and "
        "more each second, until this time has passed. 0: its whole share at once.",
        "Envoy's default. Only services that warm up need it: caches, compiled code, pools.",
        check=at_least(0),
        unit="seconds",
    )
    breaker: PluginRef | None = setting(
        None,
        "Cuts a bad node off. `none` for none.",
        "Cutting off needs a threshold, and that depends on the service.",
        plugin="breaker",
    )
    retry_budget: RetryBudgetConfig = setting(
        RetryBudgetConfig(),
        "How many retries the calls of this service may have together: `{ratio, floor}`, or "
        "`{tokens, ratio}`.",
        "A fifth of the calls and ten a second, as in Finagle and Linkerd.",
    )
    observers: Annotated[tuple[PluginRef, ...], SEVERAL] = observers(
        "Who is told of the calls of this service besides those under `bee.application`"
    )
    interceptors: Annotated[tuple[PluginRef, ...], SEVERAL] = interceptors("each call")
    tags: Annotated[frozenset[str], COMMAS] = setting(
        frozenset(), "Only nodes that have all of these labels.", "Any node.", check=names_not_empty
    )
    token: Secret | None = setting(
        None,
        "A secret that the server knows as well: a text such as `${BEE_TOKEN}`; `{file: /path}`, "
        "of which the first line counts and which is read again when it has changed; or "
        "`{function: module:callable}`, a function that gives the token of each new connection.",
        "None: a server that states no `tokens` asks for none.",
        check=optional(shown_token),
        repr=False,
    )
    zone: str | None = setting(
        None,
        "Only nodes of this zone. A configured address that states no zone is not filtered.",
        "Any: a service that runs in one zone would be lost.",
        check=some_text,
    )
    max_idle: Seconds = setting(
        180.0,
        "A connection that was idle for longer is closed and not used again: the next call opens a "
        "new one.",
        "Load balancers and NATs forget an idle connection without a word, Azure's after 240 s and "
        "AWS's after 350 s. A request on it would be lost, and nobody could know whether it ran.",
        check=positive,
        unit="seconds",
    )
    faults: Annotated[tuple[FaultConfig, ...], SEVERAL] = setting(
        (),
        "What is to go wrong with calls of this service, to try its settings: one fault or a list. "
        "Said in the log and by `bee explain`.",
        "Nothing: this is for trials.",
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
