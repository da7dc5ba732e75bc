"""Programs whose threads are not threads."""

from __future__ import annotations

import sys

from ..errors import BeeError

_MODULES = ("threading", "thread", "socket", "select")


def refuse_patched_threads() -> None:
    """Refuse a process in which gevent or eventlet has replaced Python's threads and sockets.

    bee's control plane is an event loop on a thread of its own. With green threads all loops share
    one thread, and asyncio allows one running loop a thread.

    Raises:
        BeeError: It says what to do.
    """
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    for name, patcher, asks in (
        ("gevent", gevent, "is_module_patched"),
        ("eventlet", eventlet, "is_monkey_patched"),
    ):
        is_patched = getattr(patcher, asks, None)
        if is_patched is not None and any(is_patched(module) for module in _MODULES):
            raise BeeError(
                f"bee does not work in a process that {name} has monkey-patched: run it with real"
                " threads (gunicorn: worker class gthread or uvicorn.workers.UvicornWorker)"
            )
