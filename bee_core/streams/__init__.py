"""bee's protocol on byte streams. Published for authors of byte-stream transports.

What belongs here: connections, their channels and their listener. What does not: the bytes of the
protocol (``wire``), and any address family or encryption (the transports are plugins).

To write a byte-stream transport, derive from :class:`StreamTransport` and implement three methods:

- ``dial`` connects a blocking socket within a time;
- ``dial_async`` connects on the running event loop and hands the connection to a protocol object;
- ``accept`` listens on the running event loop and returns an :class:`Acceptor`. With a socket that
  several processes share, an :class:`AcceptLoop` is one.

The class then has all that :class:`bee_core.interfaces.Transport` asks for: framing, pools of
connections, time limits and drains. Optional methods, each with a default: ``bind`` and ``release``
let several worker processes share an address, ``check_listening`` checks the options of a server,
``explained`` and ``connection`` are for encryption. The class attribute or instance attribute
``busy_poll`` may be set to ``BUSY_POLL_WINDOW`` where replies can come within microseconds.

Register the class with a hook, as for every plugin; see :mod:`bee_core.hookspecs`. Its name is the
scheme of its urls. ``bee_plugins/transports/memory.py`` is a whole example in 100 lines.

A transport whose handshake can fail uses the rest: it derives its own connection from
:class:`BlockingConnection`, its own listener from :class:`StreamListener`, and tells a client of
another protocol why it is rejected with the bytes of :func:`refusal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .byte_streams import Accepting, Acceptor, Dialer
from .client.blocking_connection import BlockingConnection
from .client.busy_poll import BUSY_POLL_WINDOW
from .client.leaving import Owner
from .transport import StreamTransport

if TYPE_CHECKING:
    from .server.accept_loop import AcceptLoop
    from .server.listener import StreamListener, refusal

__all__ = [
    "BUSY_POLL_WINDOW",
    "AcceptLoop",
    "Accepting",
    "Acceptor",
    "BlockingConnection",
    "Dialer",
    "Owner",
    "StreamListener",
    "StreamTransport",
    "refusal",
]

_LATER = {"AcceptLoop": "accept_loop", "StreamListener": "listener", "refusal": "listener"}
"""What servers need, by the module that has it. It is imported with its first use: see
``transport``."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.server.{_LATER[name]}"), name)
    globals()[name] = found
    return found
