"""``bee.rpc.server`` and ``bee.rpc.registry`` as frozen classes: keys, defaults and reasons."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  cattrs reads the annotations
from typing import Annotated, Any

import attrs

from ..options import (
    COMMAS,
    LISTEN,
    OPTIONS,
    SEVERAL,
    VERSION,
    Bytes,
    Seconds,
    at_least,
    positive,
    some,
    some_text,
)
from .fields import (
    MAX_INFLATED,
    MAX_SIZE,
    PluginRef,
    about,
    canonical_url,
    canonical_urls,
    names_not_empty,
    not_wildcard,
    version,
)
from .secret import Secret  # noqa: TC001  cattrs reads the annotations


@attrs.frozen(kw_only=True)
class RegistryConfig:
    """``bee.rpc.registry``: who knows which nodes a service has."""

    protocol: str = attrs.field(
        default="direct",
        validator=some_text,
        metadata=about(
            "The registry plugin.",
            "`direct` needs nothing else running: the addresses in this file are the nodes.",
            plugin="registry",
        ),
    )
    address: Annotated[tuple[str, ...], COMMAS] = attrs.field(
        default=(),
        metadata=about(
            "The registry's own addresses: one, a list, or several separated by commas.",
            "The plugin knows its usual port.",
        ),
    )
    heartbeat_interval: Seconds = attrs.field(
        default=10.0,
        validator=positive,
        metadata=about(
            "How often a server renews its registration. A lease lasts three of these.",
            "A dead server leaves after 30 s, where Eureka takes 90 s, and a beat is cheap.",
            unit="seconds",
        ),
    )
    options: Annotated[Mapping[str, Any], OPTIONS] = attrs.field(
        factory=dict,
        repr=False,
        metadata=about(
            "Options of the plugin, which checks them itself.", "A plugin has defaults of its own."
        ),
    )

    @property
    def plugin(self) -> PluginRef:
        """The registry as a reference to a plugin.

        Its path is that of the section, so that its options are found under it.
        """
        return PluginRef(self.protocol, self.options, "bee.rpc.registry")


@attrs.frozen(kw_only=True)
class ServerConfig:
    """``bee.rpc.server``: what this program serves, where, and within which bounds."""

    name: str = attrs.field(
        validator=some_text, metadata=about("The service's name, which clients ask for.")
    )
    desc: str = attrs.field(
        default="", metadata=about("What it is, for people.", "Nothing to say.")
    )
    version: Annotated[str, VERSION] = attrs.field(
        default="0.0.0",
        validator=version,
        metadata=about(
            "The version served. `2.0` is 2.0.0, and `1.10` stays 1.10.",
            "The lowest: a range such as `>=1` does not find a server that states none.",
        ),
    )
    register: bool = attrs.field(
        default=False,
        metadata=about(
            "Announce this server in the registry, and take that back when it leaves. A registry "
            "that is down is tried again; serving does not wait for it.",
            "A program that is tried out must not get calls of others.",
        ),
    )
    codecs: Annotated[tuple[PluginRef, ...], SEVERAL] = attrs.field(
        default=(PluginRef("json"),),
        validator=some,
        metadata=about(
            "The codecs that clients may use: one, or a list.",
            "The client's default.",
            aliases=("macher", "codec"),
            plugin="codec",
        ),
    )
    max_size: Bytes = attrs.field(
        default=MAX_SIZE.default,
        validator=MAX_SIZE.validator,
        metadata=about(MAX_SIZE.doc, MAX_SIZE.why, unit="bytes", key="codecs.options.max_size"),
    )
    max_inflated: Bytes = attrs.field(
        default=MAX_INFLATED.default,
        validator=MAX_INFLATED.validator,
        metadata=about(
            MAX_INFLATED.doc, MAX_INFLATED.why, unit="bytes", key="codecs.options.max_inflated"
        ),
    )
    compressors: Annotated[tuple[PluginRef, ...], SEVERAL] = attrs.field(
        default=(PluginRef("gzip"),),
        metadata=about(
            "The compressors that clients may use: one, or a list; `none` for none.",
            "The client's default.",
            aliases=("compress",),
            plugin="compressor",
        ),
    )
    transports: Annotated[tuple[PluginRef, ...], SEVERAL] = attrs.field(
        default=(),
        metadata=about(
            "Options for transports. Which one is used follows from the scheme of each address.",
            "A transport's own defaults.",
            aliases=("transport",),
            plugin="transport",
        ),
    )
    address: Annotated[tuple[Annotated[str, LISTEN], ...], SEVERAL] = attrs.field(
        default=("tcp://127.0.0.1:0",),
        converter=canonical_urls,
        validator=some,
        metadata=about(
            "Where to listen: a url, `{url: …}`, or a list. Port 0 takes any free port.",
            "This machine only: a door to the network is opened on purpose. Any free port: two "
            "servers never collide.",
        ),
    )
    advertise: Annotated[str, LISTEN] | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(canonical_url),
        validator=not_wildcard,
        metadata=about(
            "The address that is announced, where clients reach it under another one. Port 0 "
            "stands for the real port.",
            "The address listened on.",
        ),
    )
    max_conn_size: int = attrs.field(
        default=1000,
        validator=at_least(1),
        metadata=about(
            "Connections open at a time; one more is refused.",
            "Below 1,024, the number of descriptors that a process usually may have.",
        ),
    )
    max_pool_size: int = attrs.field(
        default=64,
        validator=at_least(1),
        metadata=about(
            "Threads for handlers that are plain `def`.",
            "Enough for handlers that wait; more of them only contend for the interpreter.",
        ),
    )
    max_in_flight: int = attrs.field(
        default=1024,
        validator=at_least(1),
        metadata=about(
            "Requests that run or wait for a thread; one more is rejected before any work.",
            "About one a connection, so one client cannot fill it.",
        ),
    )
    limiter: PluginRef | None = attrs.field(
        default=None,
        metadata=about(
            "Bounds the calls that run at a time, with a queue for those that wait for their turn; "
            "in each process of `workers`. `none` for none.",
            "`max_in_flight` bounds already; a queue needs numbers that depend on the service.",
            plugin="limiter",
        ),
    )
    backlog: int = attrs.field(
        default=1024,
        validator=at_least(1),
        metadata=about(
            "Connections that wait to be accepted.",
            "A burst of `max_conn_size` has room; the system lowers it to its own bound.",
        ),
    )
    read_timeout: Seconds = attrs.field(
        default=10.0,
        validator=positive,
        metadata=about(
            "What a peer may take from the first to the last byte of a frame. Idle connections "
            "stay.",
            "The same as the client's.",
            unit="seconds",
        ),
    )
    write_timeout: Seconds = attrs.field(
        default=10.0,
        validator=positive,
        metadata=about(
            "How long a peer may leave replies unread before it is cut off.",
            "The same as the client's.",
            unit="seconds",
        ),
    )
    drain_timeout: Seconds = attrs.field(
        default=10.0,
        validator=at_least(0),
        metadata=about(
            "How long calls in flight may take to end after SIGTERM.",
            "Well within the 30 s that Kubernetes grants a pod.",
            unit="seconds",
        ),
    )
    workers: int = attrs.field(
        default=1,
        validator=at_least(1),
        metadata=about(
            "Processes that `bee serve` and `Server.run()` fork to serve behind one socket. Every "
            "bound of this section holds for each of them.",
            "State in the program's memory stays whole.",
        ),
    )
    weight: float = attrs.field(
        default=1.0,
        validator=at_least(0),
        metadata=about(
            "Its share of the calls, relative to the other servers; 0 gets none.",
            "All servers the same.",
        ),
    )
    zone: str | None = attrs.field(
        default=None,
        validator=some_text,
        metadata=about("The place it runs in, for balancers that prefer near nodes.", "Unknown."),
    )
    tags: Annotated[frozenset[str], COMMAS] = attrs.field(
        default=frozenset(),
        validator=names_not_empty,
        metadata=about("Labels that a client can ask for.", "None."),
    )
    tokens: Annotated[tuple[Secret, ...], SEVERAL] = attrs.field(
        default=(),
        repr=False,
        metadata=about(
            "Who shows one of these secrets may call: a text such as `${BEE_TOKEN}`, `{file: "
            "/path}`, or a list. A file has one a line, and is read again when it has changed.",
            "Anybody who can connect may call.",
            aliases=("token",),
        ),
    )
    send_tracebacks: bool = attrs.field(
        default=False,
        metadata=about(
            "Send the traceback of a handler's exception to the client.",
            "Tracebacks tell outsiders about the inside.",
        ),
    )

    def transport(self, scheme: str) -> PluginRef:
        """The transport for a scheme, with the options that are stated for it."""
        return next((ref for ref in self.transports if ref.name == scheme), PluginRef(scheme))
