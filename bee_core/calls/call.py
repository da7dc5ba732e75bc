"""One call: its arguments encoded, its body made to fit, its clock started.

:func:`make` does it all. The asyncio client takes the steps apart, because it compresses a large
body off its loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..contracts.plugin_faults import kind_of
from ..errors import CallError, Executed, InvalidArgument, MessageTooLarge, PluginFault
from ..terms.call_context import get_current
from ..terms.metadata import NOTHING
from ..terms.request import FORMS, Form, Request
from .connecting import bounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..contracts.policies import Permit
    from ..nodes.node_state import NodeState
    from ..terms.failures import Success
    from ..terms.metadata import Metadata
    from ..terms.node import Node
    from ..terms.request import RequestHead
    from .plan import CallPlan

    E = TypeVar("E", bound=CallError)


class Call(Request):
    """The request that goes to every attempt, and the state of the call on this side.

    Owned by the thread or task that makes the call.

    Attributes:
        plan: What does not change between calls of the method.
        args, kwargs: As the caller gave them; only a fallback needs them.
        started: When the call began.
        states: What the observers keep of it; not there where nobody observes it.
        steps: What the flight recorder was told before the end; None for an ordinary call.
        node: The node of the last attempt.
        attempts: Attempts made so far.
        executed: The most that any attempt may have done.
        degraded: Whether the value is a fallback's.
        age: Seconds since that value was a node's answer; set only where a fallback knows it.
        value: The result, once there is one.
        reply: What the server answered, once there is a result of its.
        answers: The values of a call that went to several nodes, by node id; not there otherwise.
        picked: The balancer's pick that it was not told the end of yet, or None.
        permit: The breaker's permit that was not settled yet, or None; ``asked`` is whose it is.
    """

    __slots__ = (
        "age",
        "answers",
        "args",
        "asked",
        "attempts",
        "degraded",
        "executed",
        "kwargs",
        "node",
        "permit",
        "picked",
        "plan",
        "reply",
        "started",
        "states",
        "steps",
        "value",
    )

    def __init__(
        self,
        plan: CallPlan,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        form: Form,
        body: bytes,
        compressed: bool,
        head: RequestHead,
        started: float,
        deadline: float,
        dedupe_key: bytes | None,
    ) -> None:
        # Sets the attributes of Request too: saves one constructor on the hot path.
        self.head = head
        self.form = form
        self.body = body
        self.compressed = compressed
        self.deadline = deadline
        self.connect_timeout = plan.connect_timeout
        self.write_timeout = plan.write_timeout
        self.read_timeout = plan.read_timeout
        self.dedupe_key = dedupe_key
        self.oneway = plan.oneway
        self.pending = None
        self.plan = plan
        self.args = args
        self.kwargs = kwargs
        self.started = started
        self.node: Node | None = None
        self.attempts = 0
        self.executed: Executed = "no"
        self.degraded = False
        self.age: float
        self.value: Any = None
        self.reply: Success | None = None
        self.states: Sequence[Any]
        self.answers: Mapping[str, Any]
        self.steps: list[Any] | None = None
        self.asked: NodeState[Any]
        self.permit: Permit | None = None
        self.picked: Node | None = None

    def new_key(self) -> bytes:
        """A deduplication key of the operating system's randomness; no other process has it."""
        return self.plan.service.new_key()

    def may_connect(self, now: float) -> float:
        """See :meth:`.Request.may_connect`."""
        node = self.node
        if node is None:
            return self.connect_timeout
        return bounded(self.plan, node, self.attempts, self.deadline - now)

    @property
    def reply_metadata(self) -> Metadata:
        """What the handler sent along with the result."""
        return NOTHING if self.reply is None else self.reply.metadata


def make(plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """A new call, ready for the flow.

    Raises:
        InvalidArgument: The arguments do not fit.
        MessageTooLarge: The body cannot be made to fit.
        PluginFault: The codec or the compressor broke its contract.
    """
    try:  # encode() in place: saves one function call
        form, body = plan.codec.encode_args(args, kwargs)
        if type(body) is not bytes or form not in FORMS:
            raise _WrongValue
    except InvalidArgument as error:
        plan.service.faults.let_pass(error)
        raise _named(error, plan) from error.__cause__
    except Exception as error:
        raise _not_encoded(error, plan) from error
    compressed = False
    if len(body) > plan.rule.threshold:
        body, compressed = pack(plan, body)
    return begin(plan, args, kwargs, form, body, compressed)


def encode(plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
    """The arguments as a form and a body, before the size rule.

    Raises:
        InvalidArgument: They do not fit.
        PluginFault: The codec broke its contract.
    """
    try:
        form, body = plan.codec.encode_args(args, kwargs)
        if type(body) is not bytes or form not in FORMS:
            raise _WrongValue
    except InvalidArgument as error:
        plan.service.faults.let_pass(error)
        raise _named(error, plan) from error.__cause__
    except Exception as error:
        raise _not_encoded(error, plan) from error
    return form, body


def pack(plan: CallPlan, body: bytes) -> tuple[bytes, bool]:
    """Apply the size rule to a body over its threshold.

    Raises:
        MessageTooLarge: It cannot be made to fit.
        PluginFault: The compressor broke its contract.
    """
    faults, compressor = plan.service.faults, plan.rule.compressor
    try:
        packed, compressed = plan.rule.pack(body)
    except MessageTooLarge as error:
        raise _named(error, plan) from None
    except Exception as error:
        raise _named(faults.fault(compressor, "compress", error), plan) from error
    if type(packed) is not bytes:
        problem = f"returned {kind_of(packed)} where bytes were due"
        raise _named(faults.wrong(compressor, "compress", problem), plan)
    return packed, compressed


def begin(
    plan: CallPlan,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    form: Form,
    body: bytes,
    compressed: bool,
) -> Call:
    """The state of a new call; its clock starts here.

    A call made inside a handler gets no more time than the handler has, and passes its baggage on.
    """
    service = plan.service
    now = service.clock()
    deadline = now + plan.timeout
    head = plan.head
    current = get_current()
    if current is not None:
        if current.deadline is not None and current.deadline < deadline:
            deadline = current.deadline
        if current.baggage:
            head = plan.inheriting(current.baggage)
    key = None
    if plan.idempotent:
        key = service.key_prefix + next(service.key_numbers).to_bytes(8, "big")
    return Call(plan, args, kwargs, form, body, compressed, head, now, deadline, key)


class _WrongValue(Exception):
    """The codec returned something else than a form and bytes."""


def _not_encoded(error: Exception, plan: CallPlan) -> PluginFault:
    service = plan.service
    if isinstance(error, _WrongValue):
        problem = "returned something else than a form and bytes"
        return _named(service.faults.wrong(service.codec, "encode_args", problem), plan)
    return _named(service.faults.fault(service.codec, "encode_args", error), plan)


def _named(error: E, plan: CallPlan) -> E:
    error.service, error.method = plan.service.name, plan.method
    return error
