"""The call flow of a future: its attempts go to channels of the futures' loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..calls.broken_effects import broken
from ..calls.flow import flow
from ..contracts.effects import Attempt, Race
from ..terms.causes import local

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..calls.call import Call
    from ..contracts.channels import Channel
    from ..contracts.effects import Effect, Entrant
    from ..terms.failures import Failure
    from ..terms.node import Node

    Find = Callable[[Call, Node, Channel], Attempt]
    """An attempt on a channel of the loop, to the node of a blocking channel."""

_LATE = "the deadline came before the call could be sent"


def flow_on(
    call: Call, find: Find, clock: Callable[[], float]
) -> Generator[Effect, Any, Failure | None]:
    """The call flow, with attempts on the loop's channels and not on the blocking ones.

    Args:
        call: The call.
        find: Finds, or makes, the attempt on the loop's channel.
        clock: Seconds, monotonic.
    """
    steps = flow(call)
    answer: Any = None
    try:
        while True:
            effect = steps.send(answer)
            if type(effect) is Race:
                for entrant in effect.entrants:
                    if not entrant.begun:
                        _map(call, effect, entrant, find, clock)
                answer = yield effect
            elif type(effect) is not Attempt:
                answer = yield effect
            elif call.deadline <= clock():
                # It came while the call waited for its turn on this thread.
                answer = local("deadline_exceeded", _LATE)
            else:
                node: Any = call.node  # the flow has picked it
                try:
                    attempt = find(call, node, effect.channel)
                except Exception as error:  # from a transport
                    answer = broken(call, effect, None, error, sent=False)
                else:
                    answer = yield attempt
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        steps.close()


def _map(call: Call, race: Race, entrant: Entrant, find: Find, clock: Callable[[], float]) -> None:
    """Have a request that is to begin now begin on the loop's channel."""
    if call.deadline <= clock():
        entrant.begun, entrant.outcome = True, local("deadline_exceeded", _LATE)
        return
    try:
        entrant.channel = find(call, entrant.node, entrant.channel).channel
    except Exception as error:  # from a transport
        entrant.begun = True
        entrant.outcome = broken(call, race, None, error, sent=False, node=entrant.node)
