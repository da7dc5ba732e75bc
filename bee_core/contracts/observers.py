"""What an observer implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from ..terms.failures import Failure
    from ..terms.node import Node


@attrs.frozen
class CallRecord:
    """What an observer is told of a finished call."""

    service: str
    method: str
    node: Node | None
    attempts: int
    seconds: float
    failure: Failure | None
    degraded: bool


class Observer(Protocol):
    """Is told of every call of a service when it ends.

    Called on the calling thread: be quick, never block. An observer may also define
    ``breaker_changed(service, node, before, after)``. It is then told of each change of a node's
    breaker: the service's name, the ``Node``, and two of ``closed``, ``open``, ``half-open``. This
    call comes from the thread that changed the breaker: a calling one or the control plane's.
    """

    def finished(self, record: CallRecord) -> None:
        """A call has ended.

        An exception is logged once and swallowed: observing must not break calls.
        """
