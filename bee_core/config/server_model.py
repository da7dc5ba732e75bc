"""``bee.rpc.server`` as frozen classes: keys, defaults and reasons."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  cattrs reads the annotations
from typing import Annotated, Literal

import attrs

from ..options import (
    COMMAS,
    LISTEN,
    SEVERAL,
    VERSION,
    Bytes,
    Seconds,
    at_least,
    between,
    positive,
    some,
    some_text,
)
from .deduplication_model import Deduplicate  # noqa: TC001  cattrs reads the annotations
from .fault_model import ServerFaultConfig  # noqa: TC001  cattrs reads the annotations
from .fields import (
    PluginRef,
    about,
    canonical_url,
    canonical_urls,
    interceptors,
    limiters,
    max_inflated,
    max_size,
    names_not_empty,
    not_wildcard,
    observers,
    setting,
    version,
)
from .secret import Secret, accepted_tokens


@attrs.frozen(kw_only=True)
class ServerMethodConfig:
    """``bee.rpc.server.methods.<method>``: what holds for the requests for one method."""

    limiter: Annotated[tuple[PluginRef, ...], SEVERAL] = limiters(
        "Bounds the requests for this method that run at a time", "None but `max_in_flight`."
    )


@attrs.frozen(kw_only=True)
class ServerConfig:
    """``bee.rpc.server``: what this program serves, where, and within which bounds."""

    name: str = attrs.field(
        validator=some_text, metadata=about("The service's name, which clients ask for.")
    )
    desc: str = setting("", "What it is, for people.", "Nothing to say.")
    version: Annotated[str, VERSION] = setting(
        "0.0.0",
        "The version served. `2.0` is 2.0.0, and `1.10` stays 1.10.",
        "The lowest: a range such as `>=1` does not find a server that states none.",
        check=version,
    )
    register: bool = setting(
        False,
        "Announce this server in the registry, and take that back when it leaves. A registry "
        "that is down is tried again; serving does not wait for it.",
        "A program that is tried out must not get calls of others.",
    )
    codecs: Annotated[tuple[PluginRef, ...], SEVERAL] = setting(
        (PluginRef("json"),),
        "The codecs that clients may use: one, or a list.",
        "The client's default.",
        check=some,
        aliases=("macher", "codec"),
        plugin="codec",
    )
    max_size: Bytes = max_size("codecs")
    max_inflated: Bytes = max_inflated("codecs")
    compressors: Annotated[tuple[PluginRef, ...], SEVERAL] = setting(
        (PluginRef("gzip"),),
        "The compressors that clients may use: one, or a list; `none` for none.",
        "The client's default.",
        aliases=("compress",),
        plugin="compressor",
    )
    transports: Annotated[tuple[PluginRef, ...], SEVERAL] = setting(
        (),
        "Options for transports. Which one is used follows from the scheme of each address.",
        "A transport's own defaults.",
        aliases=("transport",),
        plugin="transport",
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
    max_conn_size: int = setting(
        1000,
        "Connections open at a time; one more is refused.",
        "Below 1,024, the number of descriptors that a process usually may have.",
        check=at_least(1),
        live=True,
    )
    max_idle: Seconds | None = setting(
        None,
        "A connection without a request for so long gets a goaway and is closed. A call that comes "
        "at that moment did not run, and its client sends it again on a new connection.",
        "Connections stay: an idle one costs a few kB, and TCP keepalive closes those whose client "
        "has vanished within 90 s.",
        check=attrs.validators.optional(positive),
        unit="seconds",
        live=True,
    )
    max_connections_per_peer: int | None = setting(
        None,
        "Connections open at a time from one peer address; one more is refused. Unix sockets have "
        "no address.",
        "Behind a balancer or a NAT all clients have one address.",
        check=attrs.validators.optional(at_least(1)),
        live=True,
    )
    max_pool_size: int = setting(
        64,
        "Threads for handlers that are plain `def`.",
        "Enough for handlers that wait; more of them only contend for the interpreter.",
        check=at_least(1),
        live=True,
    )
    max_in_flight: int = setting(
        1024,
        "Requests that run or wait for a thread; one more is rejected before any work, and the "
        "least important ones a little earlier.",
        "About one a connection, so one client cannot fill it.",
        check=at_least(1),
        live=True,
    )
    max_buffered: Bytes = setting(
        512 << 20,
        "What a process may hold for its clients: half of it for requests, inflated, and half for "
        "replies that clients leave unread. One connection holds at most the larger of "
        "`max_inflated` and an eighth of it.",
        "A fit for a container of 1 GiB, and eight connections may hold a request of "
        "`max_inflated` each, of which half are inflated at a time.",
        check=between(1 << 20, 1 << 40, "a size from 1m to 1024g"),
        unit="bytes",
        live=True,
    )
    limiter: Annotated[tuple[PluginRef, ...], SEVERAL] = limiters(
        "Bounds the requests that run at a time, in each process of `workers`",
        "`max_in_flight` bounds already. `codel` needs no number ([how](how-to/limit-load.md)).",
    )
    methods: Mapping[str, ServerMethodConfig] = attrs.field(
        factory=dict,
        validator=names_not_empty,
        metadata=about(
            "Limits for single methods, by name: `methods: {report: {limiter: …}}`. Requests for "
            "such a method do not count at the server's `limiter`.",
            "None.",
            live=True,
        ),
    )
    max_lag: Seconds | None = setting(
        None,
        "How late the event loop may be. While it is later, requests are refused as overloaded; "
        "the least important ones a little earlier.",
        "None: how late a loop may be depends on what runs on it. A second is a good start.",
        check=attrs.validators.optional(positive),
        unit="seconds",
        live=True,
    )
    max_pool_queue: int | None = setting(
        None,
        "Requests that may wait for a thread of the pool; one more is refused as overloaded.",
        "What cannot make its deadline is refused anyway, and `max_in_flight` bounds the number.",
        check=attrs.validators.optional(at_least(0)),
        live=True,
    )
    observers: Annotated[tuple[PluginRef, ...], SEVERAL] = observers(
        "Who is told of the requests of this server besides those under `bee.application`"
    )
    interceptors: Annotated[tuple[PluginRef, ...], SEVERAL] = interceptors("each request")
    backlog: int = setting(
        1024,
        "Connections that wait to be accepted.",
        "A burst of `max_conn_size` has room; the system lowers it to its own bound.",
        check=at_least(1),
    )
    read_timeout: Seconds = setting(
        10.0,
        "What a peer may take from the first to the last byte of a frame. Idle connections stay.",
        "The same as the client's.",
        check=positive,
        unit="seconds",
        live=True,
    )
    write_timeout: Seconds = setting(
        10.0,
        "How long a peer may leave replies unread before it is cut off.",
        "The same as the client's.",
        check=positive,
        unit="seconds",
        live=True,
    )
    start_timeout: Seconds = setting(
        60.0,
        "How long objects that are context managers and start hooks may take to begin, together.",
        "A model loads within it, and systemd waits 90 s for a service.",
        check=positive,
        unit="seconds",
    )
    stop_timeout: Seconds = setting(
        5.0,
        "How long stop hooks and objects may take to end after the drain, together.",
        "With `drain_timeout` and what a hung registry takes, within the 30 s of Kubernetes.",
        check=at_least(0),
        unit="seconds",
    )
    drain_timeout: Seconds = setting(
        10.0,
        "How long calls in flight may take to end after SIGTERM.",
        "Well within the 30 s that Kubernetes grants a pod.",
        check=at_least(0),
        unit="seconds",
        live=True,
    )
    workers: int = setting(
        1,
        "Processes that `bee serve` and `Server.run()` fork to serve behind one socket. Every "
        "bound of this section holds for each of them.",
        "State in the program's memory stays whole.",
        check=at_least(1),
    )
    weight: float = setting(
        1.0,
        "Its share of the calls, relative to the other servers; 0 gets none.",
        "All servers the same.",
        check=at_least(0),
    )
    zone: str | None = setting(
        None,
        "The place it runs in, for balancers that prefer near nodes.",
        "Unknown.",
        check=some_text,
    )
    tags: Annotated[frozenset[str], COMMAS] = setting(
        frozenset(), "Labels that a client can ask for.", "None.", check=names_not_empty
    )
    tokens: Annotated[tuple[Secret, ...], SEVERAL] = setting(
        (),
        "Who shows one of these secrets may call: a text such as `${BEE_TOKEN}`, `{file: "
        "/path}`, or a list. A file has one a line, and is read again when it has changed. "
        "`{token: …, identity: billing}` and `{file: …, identity: …}` also say whom it stands for.",
        "Anybody who can connect may call.",
        check=accepted_tokens,
        aliases=("token",),
        repr=False,
        live=True,
    )
    deduplicate: Deduplicate = setting(
        False,
        "Remember the answers of calls that must not run twice, so that `fail: failtry` may repeat "
        "one whose answer was lost: `false`, or `{window: …, count: …, bytes: …}`. `{}` takes the "
        "defaults.",
        "It takes memory, and a call that lost its client runs on to its deadline.",
    )
    faults: Annotated[tuple[ServerFaultConfig, ...], SEVERAL] = setting(
        (),
        "What is to go wrong with requests, to try the settings of clients: one fault or a list. "
        "Said in the log and by `bee check`.",
        "Nothing: this is for trials.",
        live=True,
    )
    describe: bool = setting(
        True,
        "Tell who may call which methods there are, with their docs and types: `bee methods`, `bee "
        "describe`, named arguments of `bee call`, completion.",
        "Who may call may know what can be called.",
    )
    on_breaking: Literal["refuse", "warn"] | None = setting(
        None,
        "What a server does before it registers if it would break the callers of another one: the "
        "registry's nodes of the same major version and of no newer version are asked what they "
        "are. `refuse` does not start, `warn` says it in the log.",
        "Nobody is asked: a start needs no other node.",
    )
    send_tracebacks: bool = setting(
        False,
        "Send the traceback of a handler's exception to the client.",
        "Tracebacks tell outsiders about the inside.",
        live=True,
    )

    def transport(self, scheme: str) -> PluginRef:
        """The transport for a scheme, with the options that are stated for it."""
        return next((ref for ref in self.transports if ref.name == scheme), PluginRef(scheme))
