"""What stays the same for all calls of one method with one set of options. Made once, read by every call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import attrs

from ..errors import InvalidArgument
from ..wire.messages import request_fields

if TYPE_CHECKING:
    from ..config.model import MethodConfig
    from ..contracts.codec import MethodCodec
    from ..contracts.policies import Fallback, FaultTolerance
    from .service import Service


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


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


class _SendOnly:
    """The codec of a oneway method: arguments as ever, and no result."""

    __slots__ = ("decode_args", "encode_args", "encode_result")

    def __init__(self, codec: MethodCodec) -> None:
        self.encode_args = codec.encode_args
        self.decode_args = codec.decode_args
        self.encode_result = codec.encode_result

    def decode_result(self, body: bytes) -> None:
        """None, whatever the method is declared to return."""


class CallPlan:
    """Everything about the calls of one method that can be known before. Immutable; shared by all threads.

    Attributes:
        service: The state that calls share.
        method: The method's name on the wire.
        codec: The codec, bound to the method's signature.
        fields: The header fields of a request, encoded.
        key: The routing key, or None.
        timeout, connect_timeout, write_timeout, read_timeout: Seconds.
        retries: Attempts after the first.
        idempotent: Whether an attempt of unknown end may be repeated. Never for a oneway call: nobody knows how any of them ends, and none is sent a second time.
        oneway: Whether the call ends as soon as it is sent.
        fault_tolerance, fallback: The policies.
        rule: The size rule.
    """

    __slots__ = (
        "baggage",
        "codec",
        "connect_timeout",
        "fallback",
        "fault_tolerance",
        "fields",
        "idempotent",
        "key",
        "metadata",
        "method",
        "oneway",
        "read_timeout",
        "retries",
        "rule",
        "service",
        "timeout",
        "write_timeout",
    )

    def __init__(
        self,
        service: Service[Any],
        method: str,
        codec: MethodCodec,
        config: MethodConfig,
        fault_tolerance: FaultTolerance,
        fallback: Fallback | None,
        *,
        marked_idempotent: bool,
        marked_oneway: bool = False,
        options: CallOptions,
    ) -> None:
        self.service = service
        self.method = method
        self.oneway: bool = _or(options.oneway, _or(config.oneway, marked_oneway))
        self.codec: MethodCodec = _SendOnly(codec) if self.oneway else codec
        self.key = options.key
        self.timeout = float(_or(options.timeout, config.timeout))
        self.connect_timeout = float(_or(options.connect_timeout, config.connect_timeout))
        self.write_timeout = float(_or(options.write_timeout, config.write_timeout))
        self.read_timeout = float(_or(options.read_timeout, config.read_timeout))
        self.retries: int = _or(options.retries, config.retries)
        self.idempotent: bool = not self.oneway and _or(
            options.idempotent, _or(config.idempotent, marked_idempotent)
        )
        self.fault_tolerance = fault_tolerance
        self.fallback = fallback
        self.rule = service.rule.with_threshold(config.compress_above)
        self.metadata = {**config.metadata, **(options.metadata or {})}
        self.baggage = {**config.baggage, **(options.baggage or {})}
        self.fields = self._encode_fields(self.baggage)

    def inheriting(self, baggage: Mapping[str, str]) -> bytes:
        """The fields with the baggage of the call being handled under this plan's own."""
        return self._encode_fields({**baggage, **self.baggage})

    def _encode_fields(self, baggage: Mapping[str, str]) -> bytes:
        try:
            return request_fields(self.method, self.metadata, baggage, oneway=self.oneway)
        except ValueError as error:
            raise InvalidArgument(
                str(error), service=self.service.name, method=self.method
            ) from None
