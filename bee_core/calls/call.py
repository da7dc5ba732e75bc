"""One call: its arguments encoded, its body made to fit, its clock started.

:func:`make` does it all. The asyncio client takes the steps apart, because it compresses a large
body off its loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import CallError, Executed, InvalidArgument, MessageTooLarge
from ..terms.call_context import get_current
from ..terms.request import Form, Request

if TYPE_CHECKING:
    from ..terms.node import Node
    from .plan import CallPlan

    E = TypeVar("E", bound=CallError)


class Call(Request):
    """The request that goes to every attempt, and the state of the call on this side.

    Owned by the thread or task that makes the call.

    Attributes:
        plan: What does not change between calls of the method.
        args, kwargs: As the caller gave them; only a fallback needs them.
        started: When the call began.
        node: The node of the last attempt.
        attempts: Attempts made so far.
        executed: The most that any attempt may have done.
        degraded: Whether the value is a fallback's.
        value: The result, once there is one.
    """

    __slots__ = (
        "args",
        "attempts",
        "degraded",
        "executed",
        "kwargs",
        "node",
        "plan",
        "started",
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
        fields: bytes,
        started: float,
        deadline: float,
        dedupe_key: bytes | None,
    ) -> None:
        # Sets the attributes of Request too: saves one constructor on the hot path.
        self.method = plan.method
        self.form = form
        self.body = body
        self.compressed = compressed
        self.fields = fields
        self.deadline = deadline
        self.connect_timeout = plan.connect_timeout
        self.write_timeout = plan.write_timeout
        self.read_timeout = plan.read_timeout
        self.dedupe_key = dedupe_key
        self.oneway = plan.oneway
        self.plan = plan
        self.args = args
        self.kwargs = kwargs
        self.started = started
        self.node: Node | None = None
        self.attempts = 0
        self.executed: Executed = "no"
        self.degraded = False
        self.value: Any = None


def make(plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """A new call, ready for the flow.

    Raises:
        InvalidArgument: The arguments do not fit.
        MessageTooLarge: The body cannot be made to fit.
    """
    try:  # encode() in place: saves one function call
        form, body = plan.codec.encode_args(args, kwargs)
    except InvalidArgument as error:
        raise _named(error, plan) from error.__cause__
    compressed = False
    if len(body) > plan.rule.threshold:
        body, compressed = pack(plan, body)
    return begin(plan, args, kwargs, form, body, compressed)


def encode(plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
    """The arguments as a form and a body, before the size rule.

    Raises:
        InvalidArgument: They do not fit.
    """
    try:
        return plan.codec.encode_args(args, kwargs)
    except InvalidArgument as error:
        raise _named(error, plan) from error.__cause__


def pack(plan: CallPlan, body: bytes) -> tuple[bytes, bool]:
    """Apply the size rule to a body over its threshold.

    Raises:
        MessageTooLarge: It cannot be made to fit.
    """
    try:
        return plan.rule.pack(body)
    except MessageTooLarge as error:
        raise _named(error, plan) from None


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
    fields = plan.fields
    current = get_current()
    if current is not None:
        if current.deadline is not None and current.deadline < deadline:
            deadline = current.deadline
        if current.baggage:
            fields = plan.inheriting(current.baggage)
    key = None
    if plan.idempotent:
        key = service.key_prefix + next(service.key_numbers).to_bytes(8, "big")
    return Call(plan, args, kwargs, form, body, compressed, fields, now, deadline, key)


def _named(error: E, plan: CallPlan) -> E:
    error.service, error.method = plan.service.name, plan.method
    return error
