"""The command line, ``bee`` and ``python -m bee_core``. Each command is a module.

What belongs here: commands, their options and what they print. What a command reports on belongs
to the room that knows it. No other room imports this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: The words after ``bee``; those of this process by default.

    Returns:
        The exit code: 0, 1 for a failure, 2 for a command or a configuration that cannot be used,
        130 after Ctrl-C.
    """
    try:
        from .command_group import bee  # in here, because Ctrl-C may also come during the imports
    except KeyboardInterrupt:
        return 130
    return bee.run(args)
