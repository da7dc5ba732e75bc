"""What the table of ``docs/registries.md`` promises, in seconds. H is the heartbeat.

``test_documented_bounds.py`` holds these to the page.
"""

from __future__ import annotations

PING_TIMEOUT = 1.0
"""How long a ping of a node in doubt may take."""
PINGS_PER_SECOND = 20
"""Of a client, for all its services."""
REQUESTS_PER_SECOND = 2
"""Of a server to the registry, above a renewal a heartbeat."""
ASKED = 1.0
"""A node that vanishes is asked after so long at most, where there are few."""


def lease(heartbeat: float) -> float:
    """How long a registration outlives its last renewal."""
    return 3 * heartbeat


def doubt(heartbeat: float) -> float:
    """How long a node stays that the registry does not list, while the registry answers."""
    return 3 * heartbeat


def not_serving(heartbeat: float) -> float:
    """How long a node in doubt stays that answers no ping, or says that it leaves.

    Three pings that fail, and the pauses of 0.5 and 1 s between them, after the first was due.
    """
    return ASKED + 3 * PING_TIMEOUT + 0.5 + 1.0


def retry(heartbeat: float) -> float:
    """Between two attempts to reach the registry, at most: the heartbeat, 0.2 s at least."""
    return max(0.2, heartbeat)


def right(heartbeat: float) -> float:
    """Until a server's record is right, once the registry answers it rightly.

    The request that is under way ends within a heartbeat. Then there is one pause, of a heartbeat.
    """
    return 2 * heartbeat


def heard(heartbeat: float) -> float:
    """Until a client has the registry's list, once the registry answers it."""
    return retry(heartbeat)
