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
- A policy that holds a lock, or counts what is under way, may define
  ``after_fork()``. It is called in a forked child, which has one thread and none of the parent's
  calls.
"""

from __future__ import annotations

from .contracts.channels import AsyncChannel, AsyncPending, Channel, Pending
from .contracts.codec import Codec, Compressor, MethodCodec
from .contracts.endpoint import Endpoint, InboundCall, Peer, Running, ServedMethod
from .contracts.observers import CallRecord, Exposing, Interceptor, Observer
from .contracts.plugin_origin import PluginOrigin
from .contracts.policies import (
    Again,
    AnyRequest,
    Balancer,
    Breaker,
    Breakers,
    BreakerState,
    Change,
    Fallback,
    FaultTolerance,
    Limiter,
    PastResult,
    Permit,
    Ticket,
    Tried,
)
from .contracts.registry import Instance, Lease, Registry, RegistrySettings
from .contracts.transport import (
    AcceptTurns,
    ChannelSettings,
    Listener,
    ListenSettings,
    Reach,
    Transport,
)
from .methods.declared_errors import DeclaredError
from .methods.signatures import Mismatch, Parameter, Signature
from .methods.type_arguments import attribute_hints, stands_for, substituted
from .methods.type_hints import hint_text
from .terms.addresses import Address, parse
from .terms.backoff import BASE, CAP, Backoff
from .terms.causes import local
from .terms.codes import Status, status_of
from .terms.criticality import CRITICALITIES, Criticality, criticality_of, part_of
from .terms.failures import Failure, HandshakeError, Load, Outcome, Success
from .terms.loggers import logger
from .terms.metadata import Metadata
from .terms.node import Changes, Node, Snapshot, Source
from .terms.printable import printable, text_of
from .terms.request import MESSAGE, MIXED, NAMED, POSITIONAL, Form, Request, RequestHead
from .wire.messages import Hello, HelloAck

__all__ = [
    "BASE",
    "CAP",
    "CRITICALITIES",
    "MESSAGE",
    "MIXED",
    "NAMED",
    "POSITIONAL",
    "AcceptTurns",
    "Address",
    "Again",
    "AnyRequest",
    "AsyncChannel",
    "AsyncPending",
    "Backoff",
    "Balancer",
    "Breaker",
    "BreakerState",
    "Breakers",
    "CallRecord",
    "Change",
    "Changes",
    "Channel",
    "ChannelSettings",
    "Codec",
    "Compressor",
    "Criticality",
    "DeclaredError",
    "Endpoint",
    "Exposing",
    "Failure",
    "Fallback",
    "FaultTolerance",
    "Form",
    "HandshakeError",
    "Hello",
    "HelloAck",
    "InboundCall",
    "Instance",
    "Interceptor",
    "Lease",
    "Limiter",
    "ListenSettings",
    "Listener",
    "Load",
    "Metadata",
    "MethodCodec",
    "Mismatch",
    "Node",
    "Observer",
    "Outcome",
    "Parameter",
    "PastResult",
    "Peer",
    "Pending",
    "Permit",
    "PluginOrigin",
    "Reach",
    "Registry",
    "RegistrySettings",
    "Request",
    "RequestHead",
    "Running",
    "ServedMethod",
    "Signature",
    "Snapshot",
    "Source",
    "Status",
    "Success",
    "Ticket",
    "Transport",
    "Tried",
    "attribute_hints",
    "criticality_of",
    "hint_text",
    "local",
    "logger",
    "parse",
    "part_of",
    "printable",
    "stands_for",
    "status_of",
    "substituted",
    "text_of",
]
