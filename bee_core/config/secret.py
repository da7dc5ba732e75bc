"""Secrets of a configuration: a text, a file that is read again, or the name of a function.

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
_EXPECTED = "a token: a text such as ${BEE_TOKEN}, {file: /path} or {function: module:callable}"
_SOURCES = ("token", "file", "function")


class Secret:
    """One entry under ``token`` or ``tokens``. Thread-safe.

    A file has one token a line; empty lines do not count. A client shows the first one, a server
    accepts all of them. Whoever asks gets what the file says at that moment. When a file becomes
    unusable, the log warns of it once, and what the file said before stays in use.

    Args:
        text: The secret itself, or None.
        file: Where it stands, or None.
        function: What gives it, ``package.module:callable``, or None. The client calls it; here is
            only its name.
        identity: Whom it stands for at a server, or None.

    Attributes:
        function: See above.
        identity: See above. It is not shown.

    Raises:
        ValueError: The text or the file cannot be used, or the function's name is none.
    """

    __slots__ = ("_file", "_stamp", "_values", "function", "identity")

    def __init__(
        self,
        text: str | None = None,
        file: Path | None = None,
        function: str | None = None,
        identity: str | None = None,
    ) -> None:
        self._file = file
        self._stamp = None if file is None else _stamp(file)
        self.function = function
        self.identity = identity
        self._values: tuple[str, ...] = ()
        if function is not None:
            _check_name(function)
        else:
            self._values = (checked_token(text or ""),) if file is None else _read(file)

    def values(self) -> tuple[str, ...]:
        """All that it stands for now; at least one, and none of a function."""
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
            and (self._file, self.function, self.identity)
            == (other._file, other.function, other.identity)
            and (self._file is not None or self._values == other._values)
        )

    def __hash__(self) -> int:
        values = None if self._file is not None else self._values
        return hash((self._file, self.function, self.identity, values))

    def __repr__(self) -> str:
        """Where it comes from, never what it is or whom it stands for."""
        if self.function is not None:
            return f"Secret(function={self.function!r})"
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
            return _stated(value)
        if isinstance(value, str) and not is_null(value):
            return Secret(str(value))
    except ValueError as error:
        raise MisfitError(str(error), value=None, expected=_EXPECTED) from None
    raise MisfitError(f"this is not {_EXPECTED}", value=None, expected=_EXPECTED)


def _stated(value: Mapping[Any, Any]) -> Secret:
    """A secret of a mapping: one source, and perhaps an identity."""
    identity = value.get("identity")
    sources = set(value) - {"identity"}
    if len(sources) != 1 or not sources <= set(_SOURCES):
        raise ValueError(
            "a token is written as a text, or with one of the keys token, file ({file: /path}) and "
            "function ({function: module:callable}), and no other key; at a server identity may "
            "stand beside them"
        )
    (source,) = sources
    stated = value[source]
    if not isinstance(stated, (str, Path)) or is_null(stated) or not str(stated).strip():
        raise ValueError(f"the key {source} of a token has no text")
    if "identity" in value and not (isinstance(identity, str) and identity.strip()):
        raise ValueError("the identity of a token is a text that is not empty")
    name = None if identity is None else str(identity)
    if source == "file":
        return Secret(file=Path(stated), identity=name)
    if source == "function":
        return Secret(function=str(stated), identity=name)
    return Secret(str(stated), identity=name)


def _check_name(function: str) -> None:
    module, colon, name = function.partition(":")
    if not (module.strip() and colon and name.strip()):
        raise ValueError(
            "the function of a token is written package.module:function, and this is not of that "
            "form"
        )


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
    values = tuple(checked_token(line) for line in lines if line.strip())
    if not values:
        raise ValueError(f"the file of tokens {file} is empty; it has one token a line")
    return values


def checked_token(text: str) -> str:
    """A token without the blanks around it.

    Raises:
        ValueError: It is empty, too long, or cannot be sent; the message does not show it.
    """
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


def shown_token(_: Any, __: Any, value: Secret) -> None:
    """A token that a client shows: it stands for nobody there."""
    if value.identity is not None:
        raise MisfitError(
            "whom a token stands for is said by the server, under tokens; remove identity",
            value=None,
            expected=_EXPECTED,
        )


def accepted_tokens(_: Any, __: Any, value: tuple[Secret, ...]) -> None:
    """Tokens that a server accepts: it must know them all."""
    if any(token.function is not None for token in value):
        raise MisfitError(
            "a function gives the token that a client shows; a server has tokens as text or in a "
            "file, which is read again when it has changed",
            value=None,
            expected="a token: a text such as ${BEE_TOKEN}, or {file: /path}",
        )
