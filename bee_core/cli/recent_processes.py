"""Asks running processes for their last calls, and reads what crashed ones have written."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from ..control.recent_folder import dumps, remove_if_deaf, short_path, sockets
from ..terms.printable import brief
from .command_group import UnusableCommandError
from .output import echo

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 2.0
"""Seconds for one process: one whose loop hangs does not answer."""
_AT_A_TIME = 16
_LARGEST = 32 << 20
"""Bytes of an answer or a file: far above what bee writes."""


def ask_all(folder: Path, question: dict[str, Any], pid: int | None = None) -> list[dict[str, Any]]:
    """Ask every client and server of this user.

    Args:
        folder: Where their sockets are.
        question: See :mod:`bee_core.control.recent_calls`.
        pid: Only this process.

    Returns:
        The answers, by process. One that does not answer is said on stderr.

    Raises:
        ClickException: Other users may have put something there.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise click.ClickException("this system has no Unix sockets, which bee recent asks through")
    try:
        found = sockets(folder)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    paths = [path for path in found if pid is None or path.name.startswith(f"{pid}-")]
    if not paths:
        return []
    asked = json.dumps(question).encode() + b"\n"
    with ThreadPoolExecutor(min(_AT_A_TIME, len(paths))) as threads:
        answers = list(threads.map(lambda path: _ask(path, asked), paths))
    return [answer for answer in answers if answer is not None]


def _ask(path: Path, question: bytes) -> dict[str, Any] | None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_PATIENCE)
            try:
                with short_path(path) as short:
                    sock.connect(short)
            except (ConnectionRefusedError, FileNotFoundError):
                remove_if_deaf(path)  # its process is gone
                return None
            sock.sendall(question)
            return _object(_line(sock, time.monotonic() + _PATIENCE))
    except (OSError, ValueError) as error:
        pid = path.name.partition("-")[0]
        echo(f"the process {pid} does not answer: {brief(error)}", err=True)
        return None


def _line(sock: socket.socket, until: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while not (parts and parts[-1].endswith(b"\n")):
        sock.settimeout(max(0.01, until - time.monotonic()))
        part = sock.recv(1 << 16)
        size += len(part)
        if not part or size > _LARGEST:
            raise ValueError("it gave no whole answer")
        parts.append(part)
    return b"".join(parts)


def _object(text: bytes) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict) or not isinstance(found.get("calls"), list):
        raise ValueError("its answer is of another version of bee")  # noqa: TRY004  no type of ours
    return found


def in_dumps(folder: Path, id_: str) -> list[dict[str, Any]]:
    """The call of an id in what its process wrote when it crashed; empty where there is none."""
    pid = id_.partition("-")[0]
    for path in reversed([path for path in dumps(folder) if path.name.startswith(f"{pid}-")]):
        for want in ("failed", "last", "slow"):
            for one in read_dump(path, want, quiet=True):
                for call in one["calls"]:
                    if call["id"] == id_:
                        return [call]
    return []


def read_dump(path: Path, want: str, *, quiet: bool = False) -> list[dict[str, Any]]:
    """What a process wrote when it crashed, as answers.

    Raises:
        UnusableCommandError: It is no such file.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        content = json.loads(path.read_bytes())
        if not quiet:
            echo(f"process {content['pid']}: {content['reason']}", err=True)
        return [
            {"pid": content["pid"], **{name: one[name] for name in ("side", "name", "program")}}
            | {"calls": one[want]}
            for one in content["processes"]
        ]
    except OSError as error:
        raise UnusableCommandError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableCommandError(
            f"{path} is no file that a process of bee wrote when it crashed ({brief(error)})"
        ) from error
