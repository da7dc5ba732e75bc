"""``bee recent``: the last calls of processes that run, and of one that has crashed."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from ..control.recent_folder import default_folder
from ..terms.printable import counted
from .call_steps import milliseconds, print_steps
from .command_group import FAILED
from .output import echo, print_json, print_table
from .recent_processes import ask_all, in_dumps, read_dump
from .shared_options import printing_options

_ID = re.compile(r"(\d+)-([0-9a-z]{1,12})")


@click.command()
@click.argument("what", metavar="[PID|SERVICE|ID|FILE]", required=False, default="")
@click.option("--slow", "want", flag_value="slow", help="The slowest calls, the slowest last.")
@click.option("--failed", "want", flag_value="failed", help="The calls that failed.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="How many are shown.",
)
@printing_options("Print an object.")
@click.pass_context
def recent(ctx: click.Context, what: str, want: str | None, limit: int, as_json: bool) -> None:
    """Show the last calls and requests of this user's clients and servers, the newest last.

    PID shows those of one process, SERVICE those of one service, ID (as the list shows it) one call
    attempt by attempt. FILE is what a process wrote when it crashed.

    The exit code is 1 when no process answers or the call of an ID is not known any more.

    \b
        bee recent --failed
        bee recent 4711-18
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    folder = default_folder()
    if what.endswith(".json") or "/" in what:
        answers = read_dump(Path(what), want or "last")
    elif named := _ID.fullmatch(what):
        answers = ask_all(folder, {"number": int(named[2], 36)}, int(named[1]))
        calls = [call for one in answers for call in one["calls"]] or in_dumps(folder, what)
        _show_one(ctx, what, calls, as_json)
        return
    else:
        pid = int(what) if what.isdecimal() else None
        service = "" if pid is not None else what
        question = {"want": want or "last", "service": service, "limit": limit}
        answers = ask_all(folder, question, pid)
    if not answers:
        whose = f"the process {what}" if what.isdecimal() else "no client or server of this user"
        verb = "does not answer" if what.isdecimal() else "answers"
        raise click.ClickException(
            f"{whose} {verb} in {folder}; a client answers after its first second, and none does"
            " with bee.application.recorder: false"
        )
    calls = _sorted([call for one in answers for call in one["calls"]], want)[-limit:]
    if as_json:
        about = [{name: one[name] for name in one if name != "calls"} for one in answers]
        print_json({"processes": about, "calls": calls})
        return
    _print(calls)
    who = ", ".join(f"{one['pid']} ({_name(one)})" for one in answers)
    echo(f"{counted(len(calls), 'call')} of {who}", err=True)


def _show_one(ctx: click.Context, what: str, calls: list[dict[str, Any]], as_json: bool) -> None:
    if not calls:
        echo(
            f"error: {what} is not known: its process has ended without a crash, or newer calls"
            " have taken its place",
            err=True,
        )
        ctx.exit(FAILED)
    (call,) = calls[:1]
    if as_json:
        print_json(call)
        return
    echo(
        f"{call['id']}: {call['side']} {call['service']}.{call['method']} at {_when(call)}"
        f" {_where(call)}".rstrip()
    )
    if call["trace"]:
        echo(f"trace: {call['trace']}")
    echo("")
    print_steps(call, _ending(call))


def _ending(call: dict[str, Any]) -> str:
    error = call["error"]
    answered = f"; {call['fallback']} answered instead" if call["degraded"] else ""
    if error is None:
        return f"; {call['state']}{_repeated(call)}"
    said = f"{error['kind']}: {_said(error)}" if error["message"] else error["kind"]
    told = f"{said} (executed: {error['executed'] or 'unknown'})"
    return f" and failed: {told}{answered}{_repeated(call)}"


def _said(error: dict[str, Any]) -> str:
    kind = f"{error['type']}: " if error["type"] else ""
    return f"{kind}{error['message']}"


def _sorted(calls: list[dict[str, Any]], want: str | None) -> list[dict[str, Any]]:
    if want == "slow":
        return sorted(calls, key=lambda call: call["seconds"])
    return sorted(calls, key=lambda call: call["began"] + call["seconds"])


def _print(calls: list[dict[str, Any]]) -> None:
    print_table(
        ("id", "began", "what", "method", "node or peer", "time", "outcome"),
        (
            (
                call["id"],
                _clock(call),
                call["side"],
                f"{call['service']}.{call['method']}",
                call.get("node") or call.get("peer") or "-",
                milliseconds(call["seconds"]),
                _outcome(call),
            )
            for call in calls
        ),
        wrapped=("method", "node or peer", "outcome"),
    )


def _outcome(call: dict[str, Any]) -> str:
    error = call["error"]
    if error is None:
        more = f", {call['attempts']} attempts" if call["attempts"] > 1 else ""
        return f"{call['state']}{more}{_repeated(call)}"
    answered = f"; {call['fallback']} answered" if call["degraded"] else ""
    said = f": {_said(error)}" if error["message"] else ""
    return f"{error['kind']}{said}{answered}{_repeated(call)}"


def _repeated(call: dict[str, Any]) -> str:
    """Files that crashed processes of earlier versions wrote do not have it."""
    return ", repeated: the answer of the first" if call.get("deduplicated") else ""


def _name(one: dict[str, Any]) -> str:
    return f"{one['side']} {one['name'] or one['program']}".rstrip()


def _where(call: dict[str, Any]) -> str:
    return f"from {call['peer']}" if call.get("peer") else ""


def _clock(call: dict[str, Any]) -> str:
    return _local(call).strftime("%H:%M:%S.%f")[:-3]


def _when(call: dict[str, Any]) -> str:
    return _local(call).isoformat(timespec="milliseconds")


def _local(call: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(call["began"], timezone.utc).astimezone()
