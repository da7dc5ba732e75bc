"""What a listener says of connections that it ends: once a minute for each host."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...terms.loggers import logger
from ...terms.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...terms.repeats import Key

log = logger("bee.server")

_REFUSED, _CUT_OFF = "refused", "cut off"


class ConnectionLines:
    """Says whose connections are ended, and counts those that follow. On the loop.

    A client with a wrong token comes back at once, again and again: that must not fill a disk.

    Args:
        later: Calls back after so many seconds.
    """

    def __init__(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        self._repeats = Repeats(later, self._tell)

    def refused(self, address: str, host: str | None, why: str) -> None:
        """A client was told why it is not served."""
        if not self._repeats.again((_REFUSED, host or address)):
            log.info("%s %s: %s", _REFUSED, address, why)

    def cut_off(self, address: str, host: str | None, why: str) -> None:
        """A client leaves its replies unread, so its connection was ended."""
        if not self._repeats.again((_CUT_OFF, host or address)):
            log.warning("%s leaves its replies unread and is %s: %s", address, _CUT_OFF, why)

    @staticmethod
    def _tell(key: Key, count: int) -> None:
        what, host = key
        level = logging.INFO if what == _REFUSED else logging.WARNING
        log.log(level, "%s %d more connections of %s", what, count, host)

    def close(self) -> None:
        """Say what is counted and not said yet."""
        self._repeats.close()
