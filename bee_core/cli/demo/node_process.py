"""A server of the demo, in a process of its own: ``bee serve`` that ends with the demo.

The demo holds the other end of this process's standard input. When that end closes, for example
because the demo was killed, the process leaves.
"""

from __future__ import annotations

import os
import sys
import threading

from ...methods.decorators import nonblocking
from .. import main

_STDIN = 0


class Calculator:
    """What the servers serve."""

    @nonblocking
    def add(self, a: int, b: int) -> int:
        """The sum."""
        return a + b


def _leave_with_parent() -> None:
    # Not sys.stdin: a thread that holds its lock at exit is fatal to the interpreter.
    while os.read(_STDIN, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    # On a thread, because a server that hangs must leave as well.
    threading.Thread(target=_leave_with_parent, name="bee-demo-parent", daemon=True).start()
    sys.exit(main(["serve", "bee_core.cli.demo.node_process:Calculator", "--config", sys.argv[1]]))
