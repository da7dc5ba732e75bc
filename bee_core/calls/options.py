"""The options of one call: what ``with_options`` takes."""

from __future__ import annotations

from sys import float_info
from typing import TYPE_CHECKING, Any, TypedDict, get_args, get_type_hints

from ..errors import InvalidArgument
from ..terms.criticality import CRITICALITIES, Criticality
from ..terms.metadata import Metadata, is_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Unpack  # type checkers bring it


class CallOptionsDict(TypedDict, total=False):
    """The keywords of ``with_options``. None, like a missing one, leaves the configuration's value.

    This is the list of options; :class:`CallOptions` and the plan of a call derive from it. Those
    that the configuration has too have the types of ``CallConfig`` there; a test compares them.

    Attributes:
        timeout: Seconds for the whole call.
        connect_timeout: Seconds for one attempt's connection.
        write_timeout: Seconds for writing one attempt's request.
        read_timeout: Seconds from the request written to the reply complete.
        retries: Attempts after the first.
        idempotent: Whether the method may run more than once for one call.
        key: Routing key: balancers that look at it send equal keys to the same node.
        metadata: Texts and bytes that the handler sees, by name; added to the configuration's.
        baggage: Metadata that also travels on with the calls that the handler makes.
        oneway: Send the call and do not wait. It returns None once the request has been handed to
            the system, and nobody hears what became of it.
        criticality: How important the call is: under overload the least important calls are turned
            away first. It travels with the call, and the calls of its handler inherit it.
    """

    timeout: float | None
    connect_timeout: float | None
    write_timeout: float | None
    read_timeout: float | None
    retries: int | None
    idempotent: bool | None
    key: str | None
    metadata: Metadata | None
    baggage: Metadata | None
    oneway: bool | None
    criticality: Criticality | None


_LONGEST = float_info.max  # seconds; a whole number above it has no float


def _is_number(value: Any, *types: type) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


_CHECKS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    float: (
        "a number of seconds above 0",
        lambda value: _is_number(value, int, float) and 0 < value <= _LONGEST,
    ),
    int: ("a whole number, 0 or more", lambda value: _is_number(value, int) and value >= 0),
    bool: ("True or False", lambda value: isinstance(value, bool)),
    str: ("a text", lambda value: isinstance(value, str)),
    Metadata: ("texts or bytes by name", is_metadata),
    Criticality: (f"one of {', '.join(CRITICALITIES)}", lambda value: value in CRITICALITIES),
}
"""What an option of each type must be, in words and as a check."""

_TYPES = {name: get_args(hint)[0] for name, hint in get_type_hints(CallOptionsDict).items()}
OPTION_NAMES = tuple(_TYPES)
"""All options."""
TIMES = tuple(name for name, type_ in _TYPES.items() if type_ is float)
"""The options that are seconds."""
JOINED = tuple(name for name, type_ in _TYPES.items() if type_ == Metadata)
"""The options whose values are joined by key with what holds already."""


class CallOptions:
    """Options as :class:`CallOptionsDict` has them, checked. Immutable.

    Attributes:
        given: Those that are not None, by name.

    Raises:
        TypeError: There is no such option.
        InvalidArgument: An option has an impossible value.
    """

    __slots__ = ("given",)

    def __init__(self, **options: Unpack[CallOptionsDict]) -> None:
        self.given: Mapping[str, Any] = {
            name: value for name, value in options.items() if value is not None
        }
        unknown = ", ".join(name for name in options if name not in _TYPES)
        if unknown:
            raise TypeError(
                f"with_options() has no option {unknown}; it takes: {', '.join(OPTION_NAMES)}"
            )
        for name, value in self.given.items():
            expected, fits = _CHECKS[_TYPES[name]]
            if not fits(value):
                raise InvalidArgument(f"with_options({name}={value!r}): expected {expected}")

    def merged(self, newer: CallOptions) -> CallOptions:
        """These options with the newer ones over them; metadata is joined by key."""
        joined = {
            name: {**self.given.get(name, {}), **newer.given[name]}
            for name in JOINED
            if name in newer.given
        }
        options: Any = {**self.given, **newer.given, **joined}
        return CallOptions(**options)


NO_OPTIONS = CallOptions()
