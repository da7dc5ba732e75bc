"""One call, attempt by attempt, as ``bee explain --call`` and ``bee recent`` print it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..terms.printable import counted, name_of, text_of
from .output import echo, fields, print_table

if TYPE_CHECKING:
    from ..calls.trace import CallTrace


def trace_object(trace: CallTrace) -> dict[str, Any]:
    """A traced call for JSON, and for :func:`print_steps`."""
    error = trace.error
    return {
        "steps": [step.as_object() for step in trace.steps],
        "seconds": round(trace.seconds, 6),
        **fields(trace, "attempts", "degraded", "value"),
        "error": None
        if error is None
        else {
            "kind": getattr(error, "kind", name_of(error)),
            "message": getattr(error, "message", text_of(error)),
        },
    }


def print_steps(call: dict[str, Any], ending: str) -> None:
    """Print what a call waited for, and how it ended.

    Args:
        call: Has ``steps``, ``seconds`` and ``attempts``, as :func:`trace_object` makes them; and
            ``side`` and ``peer``, if it is a request at a server.
        ending: How it ended, for people.
    """
    if call["steps"]:
        rows = (
            (
                step["node"] or step["kind"],
                milliseconds(step["seconds"]),
                _outcome(step),
                step["decision"],
            )
            for step in call["steps"]
        )
        print_table(
            ("attempt", "time", "outcome", "decision"), rows, wrapped=("outcome", "decision")
        )
    took = f"the {call.get('side', 'call')} took {milliseconds(call['seconds'])}"
    if "peer" not in call:
        took += f" and {counted(call['attempts'], 'attempt')}"
    echo(f"{took}{ending}")


def milliseconds(seconds: float) -> str:
    """A short time for people."""
    return f"{seconds * 1000:.2f} ms"


def _outcome(step: dict[str, Any]) -> str:
    failure = step["failure"]
    if failure is None:
        return "ok" if step["kind"] == "attempt" else "-"
    said = ", ".join(f"{name}: {failure[name]}" for name in ("executed", "blame", "retry"))
    return f"{failure['kind']}: {failure['message']} ({said})"
