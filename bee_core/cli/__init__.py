"""The command line: ``bee`` and ``python -m bee_core``. One module a command, ``<name>_command.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: The words after ``bee``; those of this process by default.

    Returns:
        The exit code: 0, 1 for a failure, 2 for a command or a configuration that cannot be used, 130 after Ctrl-C.
    """
    try:
        from .commands import bee
    except KeyboardInterrupt:  # imports take a moment too
        return 130
    return bee.run(args)
