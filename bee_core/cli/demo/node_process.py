"""A server of the demo, in a process of its own: ``bee serve``, and the promise to end with the demo.

The demo holds the other end of this process's standard input. When that end closes, be it because the demo was killed, the process leaves.
"""

from __future__ import annotations

import os
import sys
import threading

from .. import main

_STDIN = 0


def leave_with_parent() -> None:
    """Leave the process once standard input is at its end. On a thread, since a server that hangs must leave as well."""

    def wait() -> None:
        # Not sys.stdin: a thread that holds its lock at exit is fatal to the interpreter.
        while os.read(_STDIN, 1024):
            pass
        os._exit(0)

    threading.Thread(target=wait, name="bee-demo-parent", daemon=True).start()


if __name__ == "__main__":
    leave_with_parent()
    sys.exit(main(["serve", "bee_core.cli.demo.calculator:Calculator", "--config", sys.argv[1]]))
