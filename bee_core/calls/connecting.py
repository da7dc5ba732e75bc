"""How long an attempt may take to connect, while the call could still go to another node.

``connect_timeout`` bounds it. Where that leaves no time for another node, half of the time that is
left bounds it as well. Else a call whose ``timeout`` is the shorter one would spend all of it at a
node behind a cut network, beside nodes that are well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.policies import Tried
from ..terms.causes import CONNECT_EVIDENCE, connect_timed_out

if TYPE_CHECKING:
    from ..terms.node import Node
    from .plan import CallPlan


def bounded(plan: CallPlan, node: Node, attempts: int, left: float) -> float:
    """Seconds that an attempt may take to connect; asked only where a connection must be made.

    It is half of what is left, or ``CONNECT_EVIDENCE`` if that is more, where another attempt at
    another node would follow: retries are left, such a node is ready, and the fault tolerance wants
    it. Elsewhere it is the ``connect_timeout``.

    Args:
        plan: The call's plan.
        node: The node of the attempt.
        attempts: How many attempts the call has made, this one included.
        left: Seconds until the call's deadline.
    """
    configured = plan.connect_timeout
    half = max(left / 2, CONNECT_EVIDENCE)
    service = plan.service
    if configured <= half or attempts > plan.retries or len(service.nodes.ready()) <= attempts:
        return configured
    tried = (Tried(node, connect_timed_out(half, full=True)),) * attempts
    try:
        again: Any = plan.fault_tolerance.next(tried, service.rng)
        elsewhere = again is not None and again.where == "other"
    except Exception as error:  # it is asked again after the failure, and is said to be broken then
        service.faults.let_pass(error)
        return configured
    return half if elsewhere else configured
