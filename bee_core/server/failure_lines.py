"""What a server says of failures in its handlers and its plugins: one line each, and not many.

A bug that every request meets must not fill a disk. So the first of many identical failures is
said whole, with its traceback. Those that follow within a minute are counted, and their number is
said.
"""

from __future__ import annotations

import contextlib
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..terms.printable import brief, name_of, printable
from ..terms.repeats import Repeats
from ..terms.tracebacks import raised_at
from .log_lines import log, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..contracts.endpoint import InboundCall
    from ..contracts.plugin_origin import PluginOrigin
    from ..errors import Executed
    from ..terms.repeats import Key

_LONGEST = 1024  # characters of a foreign text


class FailureLines:
    """Says failures and counts those that repeat. Thread-safe; never raises.

    Args:
        later: Calls back after so many seconds, in any thread; asked from any thread.
    """

    def __init__(self, later: Callable[[float, Callable[[], None]], None]) -> None:
        self._repeats = Repeats(later, self._tell)

    def handler_raised(self, call: InboundCall, error: BaseException) -> None:
        """An exception that nobody meant as an answer came out of a handler."""
        what = brief(error, _LONGEST)
        self._say("handler_failed", "raised", what, call, error, executed="yes")

    def nobody_hears(self, call: InboundCall, error: BaseException) -> None:
        """A handler raised an answer of a oneway call, which has none."""
        what = brief(error, _LONGEST)
        self._say(
            "oneway_failed", "raised", what, call, error, executed="yes", level=logging.WARNING
        )

    def plugin_raised(
        self,
        plugin: PluginOrigin | None,
        doing: str,
        call: InboundCall,
        error: BaseException,
        executed: Executed,
    ) -> None:
        """A plugin broke its contract, or (None) bee itself has a bug."""
        if plugin is None:
            what = brief(error, _LONGEST)
            self._say("server_failed", "failed in the server:", what, call, error, executed)
            return
        more = {
            "plugin": plugin.title,
            "distribution": plugin.distribution,
            "place": raised_at(error, plugin.file),
        }
        what = plugin.said(doing, error)
        self._say("plugin_failed", "failed:", what, call, error, executed, more=more)

    def _say(
        self,
        event: str,
        verb: str,
        what: str,
        call: InboundCall,
        error: BaseException,
        executed: Executed,
        level: int = logging.ERROR,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        # A log that raises costs a line, and not the call.
        with contextlib.suppress(Exception):
            method = printable(call.method, 128)
            head = f"{'oneway ' if call.oneway else ''}{call.service}.{method}"
            key = event, head, name_of(error), raised_at(error)
            if self._repeats.again(key):
                return
            fields = {
                "service": call.service,
                "method": method,
                "peer": printable(call.peer, 128),
                "request": call.id,
                "oneway": call.oneway,
                "type": name_of(error),
                "executed": executed,
                **more,
            }
            text = f"{head} from {fields['peer']} (request {call.id}) {verb} {what}"
            record = log.makeRecord(
                log.name, level, __file__, 0, "%s", (text,), None, "failure_lines"
            )
            record.bee_event, record.bee_fields = event, fields
            if level == logging.ERROR:
                record.exc_info = type(error), error, error.__traceback__
            if log.isEnabledFor(level):
                log.handle(record)

    def _tell(self, key: Key, count: int) -> None:
        """Say how often it happened since it was said."""
        event, head, kind, place = key
        say(
            f"{event}_again",
            f"{head}: {kind} at {place} happened {count} more times",
            level=logging.ERROR,
            count=count,
            type=kind,
            place=place,
        )

    def close(self) -> None:
        """Say what is counted and not said yet."""
        self._repeats.close()
