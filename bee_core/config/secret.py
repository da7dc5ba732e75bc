"""Secrets of a configuration: a text, or a file that is read again when it changes.

Nothing here shows a secret, whatever is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..options import MisfitError
from ..terms.loggers import logger
from .values import is_null

log = logger("bee.config")

MAX_LENGTH = 4096
"""Bytes of a token. The hello that carries it may have 64 KiB."""
_MAX_FILE = 64 * 1024
_EXPECTED = "a token: a text such as ${BEE_TOKEN}, or {file: /path}"


class Secret:
    """One entry under ``token`` or ``tokens``. Thread-safe.

    A file has one token a line; empty lines do not count. A client shows the first one, a server
    accepts all of them. Whoever asks gets what the file says at that moment. When a file becomes
    unusable, the log warns of it once, and what the file said before stays in use.

    Args:
        text: The secret itself, or None.
        file: Where it stands, or None.

    Raises:
        ValueError: The text or the file cannot be used.
    """

    __slots__ = ("_file", "_stamp", "_values")

    def __init__(self, text: str | None = None, file: Path | None = None) -> None:
        self._file = file
        self._stamp = None if file is None else _stamp(file)
        self._values = (_checked(text or ""),) if file is None else _read(file)

    def values(self) -> tuple[str, ...]:
        """All that it stands for now; at least one."""
        if self._file is not None:
            stamp = _stamp(self._file)
            if stamp != self._stamp:
                try:
                    self._values = _read(self._file)
                except ValueError as error:
                    log.warning("%s; what it said before stays in use", error)
                self._stamp = stamp
        return self._values

    def first(self) -> str:
        """The one that a client shows."""
        return self.values()[0]

    def __eq__(self, other: object) -> bool:
        """Equal when they come from the same place."""
        return (
            isinstance(other, Secret)
            and self._file == other._file
            and (self._file is not None or self._values == other._values)
        )

    def __hash__(self) -> int:
        return hash((self._file, None if self._file is not None else self._values))

    def __repr__(self) -> str:
        """Where it comes from, never what it is."""
        return "Secret(…)" if self._file is None else f"Secret(file={str(self._file)!r})"


def read_secret(value: Any) -> Secret:
    """Read an entry of the configuration.

    Raises:
        MisfitError: It is none; the message does not show it.
    """
    if isinstance(value, Secret):
        return value
    try:
        if isinstance(value, Mapping):
            return Secret(file=_path_in(value))
        if isinstance(value, str) and not is_null(value):
            return Secret(str(value))
    except ValueError as error:
        raise MisfitError(str(error), value=None, expected=_EXPECTED) from None
    raise MisfitError(f"this is not {_EXPECTED}", value=None, expected=_EXPECTED)


def _path_in(value: Mapping[Any, Any]) -> Path:
    file = value.get("file")
    if set(value) != {"file"} or not isinstance(file, (str, Path)) or not str(file).strip():
        raise ValueError(
            "a token that stands in a file is written {file: /path}, with no other key"
        )
    return Path(file)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: Path) -> tuple[str, ...]:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_FILE + 1)
    except OSError as error:
        raise ValueError(
            f"the file of tokens {file} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None
    if len(data) > _MAX_FILE:
        raise ValueError(
            f"the file of tokens {file} is larger than {_MAX_FILE >> 10} KiB; "
            "it has one token a line"
        )
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"the file of tokens {file} is not text in UTF-8") from None
    values = tuple(_checked(line) for line in lines if line.strip())
    if not values:
        raise ValueError(f"the file of tokens {file} is empty; it has one token a line")
    return values


def _checked(text: str) -> str:
    token = text.strip()
    if not token:
        raise ValueError(
            "the token is empty; set the variable that it comes from, or remove the key"
        )
    try:
        size = len(token.encode())
    except UnicodeEncodeError:
        raise ValueError("the token is not text that can be sent") from None
    if size > MAX_LENGTH:
        raise ValueError(f"the token has {size} bytes, more than {MAX_LENGTH}")
    return token
