"""The options of one call: what ``with_options`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import attrs

from ..errors import InvalidArgument


def _positive(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value < float("inf")
    ):
        raise InvalidArgument(
            f"with_options({attribute.name}={value!r}): expected a number of seconds above 0"
        )


def _retries(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise InvalidArgument(
            f"with_options({attribute.name}={value!r}): expected a whole number, 0 or more"
        )


def _flag(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, bool):
        raise InvalidArgument(f"with_options({attribute.name}={value!r}): expected True or False")


def _texts(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not (
        isinstance(value, Mapping)
        and all(isinstance(key, str) and isinstance(item, str) for key, item in value.items())
    ):
        raise InvalidArgument(
            f"with_options({attribute.name}=…): expected texts by name, got {value!r}"
        )


def _text(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise InvalidArgument(f"with_options({attribute.name}={value!r}): expected a text")


class CallOptionsDict(TypedDict, total=False):
    """The keywords of ``with_options``, for type checkers. A test holds it to :class:`CallOptions`."""

    timeout: float | None
    connect_timeout: float | None
    write_timeout: float | None
    read_timeout: float | None
    retries: int | None
    idempotent: bool | None
    key: str | None
    metadata: Mapping[str, str] | None
    baggage: Mapping[str, str] | None
    oneway: bool | None


@attrs.frozen(kw_only=True)
class CallOptions:
    """What ``with_options`` takes. None leaves the configuration's value.

    Attributes:
        timeout: Seconds for the whole call.
        connect_timeout: Seconds for one attempt's connection.
        write_timeout: Seconds for writing one attempt's request.
        read_timeout: Seconds from the request written to the reply complete.
        retries: Attempts after the first.
        idempotent: Whether the method may run more than once for one call.
        key: Routing key: balancers that look at it send equal keys to the same node.
        metadata: Texts that the handler sees; added to the configuration's.
        baggage: Metadata that also travels on with the calls that the handler makes.
        oneway: Send the call and do not wait: it returns None once the request has been handed to the system, and nobody hears what became of it.
    """

    timeout: float | None = attrs.field(default=None, validator=_positive)
    connect_timeout: float | None = attrs.field(default=None, validator=_positive)
    write_timeout: float | None = attrs.field(default=None, validator=_positive)
    read_timeout: float | None = attrs.field(default=None, validator=_positive)
    retries: int | None = attrs.field(default=None, validator=_retries)
    idempotent: bool | None = attrs.field(default=None, validator=_flag)
    key: str | None = attrs.field(default=None, validator=_text)
    metadata: Mapping[str, str] | None = attrs.field(default=None, validator=_texts)
    baggage: Mapping[str, str] | None = attrs.field(default=None, validator=_texts)
    oneway: bool | None = attrs.field(default=None, validator=_flag)

    def merged(self, newer: CallOptions) -> CallOptions:
        """These options with the newer ones over them; texts are joined by key."""
        changes = {
            name: value for name in _OPTION_NAMES if (value := getattr(newer, name)) is not None
        }
        for name in ("metadata", "baggage"):
            if name in changes and getattr(self, name):
                changes[name] = {**getattr(self, name), **changes[name]}
        return attrs.evolve(self, **changes)


_OPTION_NAMES = tuple(attribute.name for attribute in attrs.fields(CallOptions))
NO_OPTIONS = CallOptions()
