"""What an observer and an interceptor implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..terms.failures import Failure, Outcome
    from ..terms.node import Node, Snapshot
    from ..terms.request import Request
    from .endpoint import InboundCall
    from .policies import BreakerState


class CallRecord(msgspec.Struct, frozen=True):  # a struct is made in C
    """What an observer is told of a finished call of a client.

    Attributes:
        service: The service's name, as in the configuration.
        method: The method's name.
        node: The node of the last attempt, or None when there was none.
        attempts: How many attempts were made.
        seconds: From the call's start to its end.
        failure: Why there is no result; None for a result. A fallback may have answered.
        degraded: A fallback answered.
        metadata: What the server sent along with its answer.
    """

    service: str
    method: str
    node: Node | None
    attempts: int
    seconds: float
    failure: Failure | None
    degraded: bool
    metadata: Mapping[str, str | bytes] = msgspec.field(default_factory=dict)


class Observer(Protocol):
    """Is told what a client or a server does.

    Every method is optional. bee collects those that there are while it builds, so an event that
    nobody wants costs nothing. A class may derive from this one for its type checker; what it does
    not define itself counts as missing.

    One object a client or server, for all services that name it with the same options; the factory
    gets the options. Thread-safe. The methods of calls and requests run on the thread and in the
    context of the call: be quick, never block. What a method raises is said in the log, at most
    once a minute, and changes nothing.
    """

    def call_started(self, call: Request) -> Any:
        """A client begins a call.

        Args:
            call: The request that will be sent. ``call.add_metadata(name, value)`` and
                ``call.add_baggage(name, value)`` add to what the handler sees.

        Returns:
            A state of your own, handed to the later events of this call.
        """
        return None

    def attempt_ended(
        self, state: Any, call: Request, node: Node, outcome: Outcome | None, seconds: float
    ) -> None:
        """An attempt of a call has ended.

        Args:
            state: What :meth:`call_started` returned; None without that method.
            call: The request.
            node: Where it went.
            outcome: A ``Success`` or a ``Failure``; None when the caller gave up.
            seconds: How long it took.
        """
        return

    def call_ended(self, state: Any, record: CallRecord) -> None:
        """A call of a client has ended. Called exactly once for each that began."""
        return

    def request_refused(self, call: InboundCall, failure: Failure) -> None:
        """A server has refused a request before it accepted it; on its loop's thread.

        Too many are in flight, it was late, or there is no such method. None of the other events of
        requests follows. Nobody has looked at the method's name yet: it may be anything. Be very
        quick: under overload the server refuses most requests.

        Args:
            call: The request.
            failure: What was answered.
        """
        return

    def request_started(self, call: InboundCall) -> Any:
        """A server has accepted a request, and has not decoded it yet.

        ``call.repeated`` says that its caller had asked before, with the same key. A request that
        gets the answer of the earlier one has no handler; then ``call.deduplicated`` is true too.

        The handler runs in the same context or in a copy, whatever kind it is. So it sees the
        context variables that are set here, and so do the calls that it makes.

        Returns:
            A state of your own, handed to :meth:`request_ended`.
        """
        return None

    def request_ended(
        self, state: Any, call: InboundCall, outcome: Outcome | None, seconds: float
    ) -> None:
        """A request has its answer. Called exactly once for each that began.

        Args:
            state: What :meth:`request_started` returned; None without that method.
            call: The request.
            outcome: A ``Success``, or the ``Failure`` that was answered; None when the request was
                given up before its handler began.
            seconds: From acceptance to the answer.
        """
        return

    def breaker_changed(
        self, service: str, node: Node, before: BreakerState, after: BreakerState
    ) -> None:
        """The breaker of a node went from one state to another; on the thread that changed it."""
        return

    def nodes_changed(self, service: str, snapshot: Snapshot) -> None:
        """A client has taken a list of nodes; on the control plane's thread, or while it builds."""
        return

    def registry_changed(self, service: str, event: str, reason: str) -> None:
        """What a client or a server has with its registry; mostly on the control plane's thread.

        Args:
            service: The service that is looked for or announced.
            event: ``registry_out_of_reach`` and ``registry_in_reach``; at a client also
                ``nodes_doubted`` and ``doubt_ended``; at a server also ``registered``,
                ``registered_again``, ``record_repaired``, ``lease_lost``,
                ``registration_refused``, ``id_taken`` and ``not_deregistered``.
            reason: Why, for people; the empty string where nothing is wrong.
        """
        return

    def server_changed(self, event: str) -> None:
        """A server is ``serving``, ``draining`` or ``stopped``; on its loop's thread.

        An observer that a reload adds hears ``serving``.
        """
        return

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Something else has happened. Ignore names that you do not know: more may come.

        Args:
            name: ``limiter``, ``degradation``, ``nodes``, ``peer_refused``, ``drained``,
                ``nodes_in_doubt``, ``service_left`` or ``lease``.
            fields: Values for people and counters, ``service`` among them. ``docs/plugins.md``
                lists them.
        """
        return


class Exposing(Protocol):
    """What an observer may define whose numbers are read over HTTP, at ``metrics_address``.

    Every method is optional. The numbers are those of the whole process: of all observers of a
    process that expose something, one is asked.
    """

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """The numbers of now, as text or in another form. Thread-safe; may take milliseconds.

        Args:
            accept: The header ``Accept`` of whoever asks; empty without one.

        Returns:
            The media type, for the header ``Content-Type``, and the body.
        """
        return "text/plain; charset=utf-8", b""

    def workers_begin(self) -> None:
        """This process is about to fork workers, and its exposition stands for all of them.

        On the main thread, which forks afterwards.
        """
        return

    def worker_ended(self, pid: int) -> None:
        """A worker has ended. Told in the process that has forked it."""
        return

    def workers_ended(self) -> None:
        """All workers have ended, and the process that has forked them ends."""
        return


class Interceptor(Protocol):
    """Stands before and after each call of a service, or each request of a server.

    One object a service of a client, one a server; the factory gets the options. Thread-safe. The
    interceptors of a call are entered in the order of the configuration and left in reverse order.
    Both methods run in the context of the call, on the calling thread of a client and on the loop
    of a server: be quick, never block.
    """

    def enter(self, call: Any) -> None:
        """A call begins: it may add metadata, set context variables, or refuse the call.

        ``call.add_metadata(name, value)`` and ``call.add_baggage(name, value)`` add to what the
        handler sees. At a server ``call.peer_identity`` is whom the caller's token stands for, and
        ``call.reply_metadata`` goes back with the answer, a refusal too.

        Args:
            call: The ``Request`` at a client, the ``InboundCall`` at a server, where the request is
                accepted and not yet decoded.

        Raises:
            CallError: The call is refused with this error; no handler ran, and no later interceptor
                is entered. Anything else that is raised is a ``PluginFault``.
            ServiceError: Likewise. The caller gets a ``RemoteError`` with its code and details.
        """
        return

    def exit(self, call: Any, outcome: Outcome | None) -> None:
        """A call that was entered has ended; it has its outcome already.

        What it raises is said in the log, at most once a minute, and changes nothing.

        Args:
            call: As for :meth:`enter`.
            outcome: A ``Success`` or a ``Failure``; None when the call was given up.
        """
        return
