"""The nodes of a list that can be called, and what is said, once, of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terms.loggers import logger
from ..terms.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..terms.node import Node

log = logger("bee.client")


class SoundNodes:
    """Leaves out bad entries: one must not cost a service its good ones.

    Args:
        service: The service's name.
        objection: Why a node cannot be called at all; empty if it can.
    """

    def __init__(self, service: str, objection: Callable[[Node], str]) -> None:
        self._service = service
        self._objection = objection
        self._said_left_out = self._said_shared = False

    def those_of(self, nodes: Iterable[Node]) -> tuple[Node, ...]:
        """The nodes that can be called."""
        sound = []
        for node in nodes:
            reason = self._objection(node)
            if not reason:
                sound.append(node)
            elif not self._said_left_out:
                self._said_left_out = True
                log.warning(
                    "a node of %s is left out: %s (said once; bee nodes lists the others)",
                    self._service,
                    reason,
                )
        return tuple(sound)

    def say_shared(self, url: str) -> None:
        """Two servers that live announce a url; empty if none do."""
        if url and not self._said_shared:
            self._said_shared = True
            log.warning(
                "two servers of %s are registered with the url %s; calls go to the later one "
                "only: give each an advertise address that clients reach it by (said once)",
                self._service,
                printable(url),
            )
