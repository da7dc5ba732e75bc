"""What ``${file:/run/secrets/name}`` stands for: the text of a file that holds a secret.

Docker and Kubernetes put secrets into such files. Nothing here shows what a file holds.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_SECRET = 64 * 1024
"""Bytes of such a file. A certificate with its chain has a tenth of it."""


class SecretFiles:
    """Reads the files that one configuration refers to, each of them once.

    Attributes:
        contents: What each of them holds, those that are missing included; empty for one that
            cannot be read.
    """

    def __init__(self) -> None:
        self._read: dict[str, tuple[str | None, str]] = {}
        self.contents: dict[str, bytes] = {}

    def look_up(self, path: str, source: str | None, *, needed: bool) -> tuple[str | None, str]:
        """The text of a file, without the line ends at its end.

        Args:
            path: As it is written. It is relative to the folder of the file that it stands in, or
                to the current folder for a configuration from Python.
            source: The name of that file, or None.
            needed: Whether it is wrong that there is no such file.

        Returns:
            The text, or None; and why it cannot be used, or the empty text.
        """
        name = os.path.normpath(Path(source or "").parent / path)
        if name not in self._read:
            data, problem = _read(name)
            self.contents[name] = data
            self._read[name] = (None, problem) if problem else _text(data)
        text, problem = self._read[name]
        if problem == _MISSING and not needed:
            return None, ""
        return text, f"the file {name} {problem}" if problem else ""


_MISSING = "is not there; write it, or state a default: ${file:/path:-default}"


def _read(name: str) -> tuple[bytes, str]:
    """What a file holds, and why that cannot be used."""
    try:
        # A pipe that nobody writes to must not hold the program up.
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123  # it is open already
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return b"", "is no ordinary file"
            data = file.read(MAX_SECRET + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b"", _MISSING
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return b"", f"cannot be read: {reason.lower()}"
    if len(data) > MAX_SECRET:
        return data, f"is larger than {MAX_SECRET >> 10} KiB; this is no secret"
    return data, ""


def _text(data: bytes) -> tuple[str | None, str]:
    try:
        return data.decode("utf-8-sig").rstrip("\r\n"), ""
    except UnicodeDecodeError:
        return None, "is not text in UTF-8"
