"""Which function reads which type: the table that the hooks look into, and the readers that need more than one scalar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..terms.addresses import parse
from . import scalars
from .problems import Gathering
from .scalars import (
    Kind,
    MisfitError,
    as_written,
    is_null,
    read_bool,
    read_bytes,
    read_float,
    read_int,
    read_seconds,
    read_text,
    read_version,
    show,
)


def section(value: Any) -> Mapping[str, Any]:
    """A mapping, where nothing at all is an empty one."""
    if is_null(value):
        return {}
    if not isinstance(value, Mapping):
        raise MisfitError(
            f"{show(value)} stands where a section with keys is wanted",
            value=as_written(value),
            expected="a mapping",
        )
    return value


def _read_url(value: Any) -> str:
    text = read_text(value)
    try:
        return parse(text).url
    except ValueError as error:
        raise MisfitError(
            str(error)
            if as_written(value) == text
            else f"what {show(value)} stands for is not an address",
            value=as_written(value),
            expected="a url, such as tcp://127.0.0.1:9000",
        ) from None


def _read_listen_url(value: Any) -> str:
    """A url, or a mapping whose only key is ``url``."""
    if not isinstance(value, Mapping):
        return _read_url(value)
    gathering = Gathering(dict)
    for key in value:
        if key != "url":
            gathering.part(
                key, _refuse, f"unknown key {key!r}; an address to listen on has only 'url'", key
            )
    url = gathering.part("url", _read_url, value.get("url"))
    gathering.finish()
    return str(url)


def _refuse(message: str, value: object) -> None:
    raise MisfitError(message, value=value, expected="only known keys")


def _read_binary(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    raise MisfitError(
        f"{show(value)} is not bytes; a file cannot write them",
        value=as_written(value),
        expected="bytes from Python",
    )


SCALARS: dict[type, Callable[[Any], Any]] = {
    str: read_text,
    bool: read_bool,
    int: read_int,
    float: read_float,
    Path: lambda value: value if isinstance(value, Path) else Path(read_text(value)),
    bytes: _read_binary,
}

KINDS: dict[Kind, Callable[[Any], Any]] = {
    scalars.SECONDS: read_seconds,
    scalars.BYTES: read_bytes,
    scalars.VERSION: read_version,
    scalars.RANGE: read_version,
    scalars.DIAL: _read_url,
    scalars.LISTEN: _read_listen_url,
    scalars.OPTIONS: section,
}
