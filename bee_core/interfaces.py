"""What each kind of plugin implements, and the values that it is handed.

The contracts are ``typing.Protocol`` classes: a plugin needs no base class, only the methods.
``bee_core.testing`` has a contract suite that a plugin's own tests can inherit.

Rules for all kinds:

- The factory that a hook registered makes a plugin object, while a client or server is built. See
  :mod:`bee_core.hookspecs`.
- Time is an argument (``now``, seconds of a monotonic clock) and so is randomness (``rng``). A
  policy never waits: it returns a decision, and a driver carries it out.
- All calls of a service share its objects, on many threads. Each docstring says what must be
  thread-safe.
- A balancer, breaker or limiter that holds a lock, or counts what is under way, may define
  ``after_fork()``. It is called in a forked child, which has one thread and none of the parent's
  calls.
"""

from __future__ import annotations

from .contracts.codec import Codec, Compressor, MethodCodec
from .contracts.observers import CallRecord, Observer
from .contracts.policies import (
    Again,
    Balancer,
    Breaker,
    BreakerState,
    Fallback,
    FaultTolerance,
    Limiter,
    Permit,
    Ticket,
    Tried,
)
from .contracts.registry import Instance, Lease, Registry, RegistrySettings
from .contracts.transport import (
    AsyncChannel,
    AsyncPending,
    Channel,
    ChannelSettings,
    Endpoint,
    InboundCall,
    Listener,
    ListenSettings,
    Peer,
    Pending,
    Running,
    Transport,
)
from .methods.signatures import Mismatch, Parameter, Signature
from .methods.type_hints import hint_text
from .terms.addresses import Address, parse
from .terms.backoff import BASE, CAP, Backoff
from .terms.causes import local
from .terms.failures import Failure, HandshakeError, Outcome, Success
from .terms.node import Changes, Node, Snapshot, Source
from .terms.request import MESSAGE, MIXED, NAMED, POSITIONAL, Form, Request
from .wire.messages import Hello, HelloAck

__all__ = [
    "BASE",
    "CAP",
    "MESSAGE",
    "MIXED",
    "NAMED",
    "POSITIONAL",
    "Address",
    "Again",
    "AsyncChannel",
    "AsyncPending",
    "Backoff",
    "Balancer",
    "Breaker",
    "BreakerState",
    "CallRecord",
    "Changes",
    "Channel",
    "ChannelSettings",
    "Codec",
    "Compressor",
    "Endpoint",
    "Failure",
    "Fallback",
    "FaultTolerance",
    "Form",
    "HandshakeError",
    "Hello",
    "HelloAck",
    "InboundCall",
    "Instance",
    "Lease",
    "Limiter",
    "ListenSettings",
    "Listener",
    "MethodCodec",
    "Mismatch",
    "Node",
    "Observer",
    "Outcome",
    "Parameter",
    "Peer",
    "Pending",
    "Permit",
    "Registry",
    "RegistrySettings",
    "Request",
    "Running",
    "Signature",
    "Snapshot",
    "Source",
    "Success",
    "Ticket",
    "Transport",
    "Tried",
    "hint_text",
    "local",
    "parse",
]
