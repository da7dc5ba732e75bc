"""The observer ``access-log``: one structured line a request, through ``logging``.

The lines go to the logger ``bee.access`` at INFO. Which calls have a line is decided once for each
by its status. Where the call belongs to a trace, the trace decides: all services that sample alike
have the lines of the same traces.

Nothing of a line comes from arguments, results or messages of errors. Of metadata it has the trace
id and the id of the request, nothing else.
"""

from __future__ import annotations

import json
import time
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import logger, printable
from bee_core.options import Seconds, between, positive

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import CallRecord, InboundCall, Metadata, Observer, Outcome, Request

log = logger("bee.access")

_share = between(0, 1, "a share from 0 to 1")
_TRACEPARENT = 55
_TRACE = slice(3, 35)
_LONGEST = 128
"""Characters of a text that another one made."""
_PLAIN = frozenset('"=\\')


@attrs.frozen
class Sample:
    """Which share of the calls has a line, by how they ended."""

    ok: float = attrs.field(default=1.0, validator=_share)
    error: float = attrs.field(default=1.0, validator=_share)
    slow: float = attrs.field(default=1.0, validator=_share)


@attrs.frozen
class AccessLogOptions:
    """Options of ``access-log``."""

    requests: bool = True
    """A line for each request of a server."""
    calls: bool = False
    """A line for each call of a client."""
    format: Literal["text", "json"] = "text"
    """``text``: ``key=value``. ``json``: one JSON object."""
    sample: Sample = Sample()
    slow_after: Seconds = attrs.field(default=1.0, validator=positive)
    """A result that took longer is slow."""
    max_per_second: int = attrs.field(default=1000, validator=positive)
    """Lines. Those above it are counted, and the next line says how many."""
    request_id: tuple[str, ...] = ("request-id", "x-request-id")
    """The metadata that has the request's id; the first that is there counts."""


class _Lines:
    """Decides which calls have a line, and writes it. Thread-safe."""

    def __init__(
        self,
        options: AccessLogOptions,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        self._options = options
        self._clock = clock
        self._now = now
        self._random = (rng or Random()).random  # noqa: S311  # which lines are written
        self._lock = Lock()
        self._second = 0
        self._written = 0
        self._left_out = 0

    def wanted(self, outcome_ok: bool, seconds: float, trace: str | None) -> bool:
        """Whether a call has a line, by how it ended."""
        sample = self._options.sample
        if not outcome_ok:
            share = sample.error
        elif seconds > self._options.slow_after:
            share = sample.slow
        else:
            share = sample.ok
        if share >= 1.0 or share <= 0.0:
            return share > 0.0
        # The last 14 digits of a trace id are random (W3C Trace Context), so they decide.
        drawn = self._random() if trace is None else int(trace[-14:], 16) / 16**14
        return drawn < share

    def write(self, event: str, fields: dict[str, Any]) -> None:
        """Write a line, unless this second has had its number of them."""
        second = int(self._clock())
        with self._lock:
            if second != self._second:
                self._second, self._written = second, 0
            if self._written >= self._options.max_per_second:
                self._left_out += 1
                return
            self._written += 1
            left_out, self._left_out = self._left_out, 0
        if left_out:
            fields["left_out"] = left_out
        fields = {"time": _time(self._now()), "event": event, **fields}
        text = json.dumps(fields) if self._options.format == "json" else _pairs(fields)
        log.info("%s", text, extra={"bee_event": event, "bee_fields": fields})

    def ids(self, metadata: Metadata) -> tuple[str | None, str | None]:
        """The trace id and the request id of a call's metadata."""
        if not metadata:
            return None, None
        names = self._options.request_id
        request = next((value for name in names if type(value := metadata.get(name)) is str), None)
        return _trace_of(metadata), None if request is None else printable(request, _LONGEST)


class _Base:
    def __init__(self, lines: _Lines) -> None:
        self._lines = lines


class _OfRequests(_Base):
    """Writes a line for each request of a server."""

    def request_ended(
        self, state: Any, call: InboundCall, outcome: Outcome | None, seconds: float
    ) -> None:
        """See :class:`bee_core.interfaces.Observer`."""
        lines = self._lines
        trace, request = lines.ids(call.metadata)
        ok = outcome is not None and outcome.ok
        if not lines.wanted(ok, seconds, trace):
            return
        fields = {
            "service": call.service,
            "method": printable(call.method, _LONGEST),
            "peer": printable(call.peer, _LONGEST),
            "request": call.id,
            **_ended(outcome),
            "seconds": round(seconds, 6),
            "bytes": len(call.body),
            **_known(oneway=call.oneway or None, trace=trace, request_id=request),
        }
        lines.write("request", fields)


class _OfCalls(_Base):
    """Writes a line for each call of a client."""

    def call_started(self, call: Request) -> Request:
        """See :class:`bee_core.interfaces.Observer`."""
        return call  # its metadata is read in the end: others may add to it

    def call_ended(self, state: Request, record: CallRecord) -> None:
        """See :class:`bee_core.interfaces.Observer`."""
        lines, failure = self._lines, record.failure
        trace, request = lines.ids({**state.metadata, **state.baggage})
        if not lines.wanted(failure is None, record.seconds, trace):
            return
        fields = {
            "service": record.service,
            "method": printable(record.method, _LONGEST),
            "node": None if record.node is None else printable(record.node.url, _LONGEST),
            **({"status": "ok"} if failure is None else _ended(failure)),
            "attempts": record.attempts,
            "seconds": round(record.seconds, 6),
            "bytes": len(state.body),
            **_known(degraded=record.degraded or None, trace=trace, request_id=request),
        }
        lines.write("call", fields)


class _OfBoth(_OfRequests, _OfCalls):
    """Writes both."""


def access_log(options: AccessLogOptions) -> Any:
    """The observer that the options ask for: it has only the methods that it needs."""
    kind = {(True, False): _OfRequests, (False, True): _OfCalls, (True, True): _OfBoth}.get(
        (options.requests, options.calls)
    )
    if kind is None:
        raise ValueError("access-log writes nothing with requests: false and calls: false")
    return kind(_Lines(options))


def _ended(outcome: Any) -> dict[str, Any]:
    """How a call ended: its status, and whether a handler ran that gave no result."""
    if outcome is None:
        return {"status": "cancelled", "executed": "no"}
    if outcome.ok:
        return {"status": "ok"}
    return {
        "status": outcome.kind,
        **_known(type=printable(outcome.error_type, _LONGEST) or None),
        "executed": outcome.executed,
    }


def _known(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def _trace_of(metadata: Metadata) -> str | None:
    """The trace id of ``traceparent``, if it is one."""
    parent = metadata.get("traceparent")
    if type(parent) is not str or len(parent) != _TRACEPARENT:
        return None
    trace = parent[_TRACE]
    return trace if all(one in "0123456789abcdef" for one in trace) else None


def _time(now: float) -> str:
    whole = int(now)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int(now * 1000) % 1000:03d}Z"


def _pairs(fields: dict[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    """A value as text; in quotes where it has blanks or signs that have a meaning."""
    if value is None:
        return "-"
    if value is True:
        return "yes"
    text = f"{value:.6f}" if isinstance(value, float) else str(value)
    if text and not _PLAIN.intersection(text) and not any(one.isspace() for one in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@hookimpl
def bee_register_observers(registry: Registrar[Observer]) -> None:
    """Offer ``access-log``."""
    registry.add("access-log", access_log, options=AccessLogOptions)
