"""Holds the conversations of ``tests/vectors/server_conversations.json`` with a server.

The server is at the other end of a socket, of whatever language.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from bee_core.terms.addresses import parse
from bee_core.wire.frames import FrameDecoder
from support.patience import PATIENCE
from support.wire_vectors import assert_said, unhex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_BODY = 1024
"""Bytes that a body may have in the conversations, on both sides."""
MAX_INFLATED = 4096
"""Bytes that it may have once it is inflated."""


class Conversation:
    """One conversation on a connection of its own."""

    def __init__(self, url: str, talk: dict[str, Any]) -> None:
        self.name = talk["name"]
        self._steps = list(talk["steps"])
        address = parse(url)
        self._sock = socket.create_connection((address.host, address.port), PATIENCE)
        self._decoder = FrameDecoder(1 << 20)

    def go_on(self) -> bool:
        """Hold it up to where the server is to be drained; whether there is such a place."""
        while self._steps:
            if "drain" in self._steps[0]:
                return True
            step = self._steps.pop(0)
            self._sock.sendall(unhex(step["receive"]))
            self._expect(step)
        self._sock.close()
        return False

    def hear_drain(self) -> None:
        """The server has been told to leave."""
        self._expect(self._steps.pop(0))

    def _expect(self, step: dict[str, Any]) -> None:
        found: list[Any] = []
        while len(found) < len(step["send"]):
            data = self._sock.recv(1 << 16)
            assert data, f"the stream ended, and {step['send']} was expected after {found}"
            found += self._decoder.feed(data)
        assert_said(step["send"], found)
        if step.get("end"):
            assert self._sock.recv(1 << 16) == b"", "more came where the stream was to end"

    def close(self) -> None:
        self._sock.close()


def hold_all(url: str, talks: Iterable[dict[str, Any]], drain: Callable[[], object]) -> None:
    """Hold all conversations.

    Those that tell of a drain are taken up to that place, the server is told to leave once, and
    they go on.

    A failure names its conversation.
    """
    made: list[Conversation] = []
    waiting = []
    try:
        for talk in talks:
            made.append(Conversation(url, talk))
            if _named(made[-1].name, made[-1].go_on):
                waiting.append(made[-1])
        drain()
        for talk in waiting:
            _named(talk.name, talk.hear_drain)
        for talk in waiting:
            _named(talk.name, talk.go_on)
    finally:
        for talk in made:
            talk.close()


def _named(name: str, act: Callable[[], Any]) -> Any:
    try:
        return act()
    except (AssertionError, OSError) as error:
        raise AssertionError(f"{name}: {error}") from error
