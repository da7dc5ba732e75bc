"""Why a call of a future ends without an answer: the client was closed, or there is no thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CallCancelled, Unavailable

if TYPE_CHECKING:
    from ..calls.call import Call
    from ..errors import CallError


def closed(call: Call) -> CallCancelled:
    """The client was closed while the call was under way, or before."""
    return CallCancelled(
        "the client was closed",
        service=call.plan.service.name,
        method=call.method,
        node=call.node,
        attempts=call.attempts,
        executed="maybe" if call.attempts else "no",
    )


def no_thread(error: RuntimeError, call: Call) -> CallError:
    """The system gives no thread for the futures of the client."""
    return Unavailable(
        f"the thread for futures cannot be started: {error}",
        service=call.plan.service.name,
        method=call.method,
        executed="no",
    )
