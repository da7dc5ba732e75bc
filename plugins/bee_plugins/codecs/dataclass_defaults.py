"""Gives decoded dataclasses the defaults that msgspec leaves out of them.

A default of a dataclass is an attribute of its class too, so msgspec finds it there and does not
set it in the instance. When such an instance is encoded again, by msgspec or by ``vars()``, the
field is missing.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from .msgspec_hints import UNIONS, bare
from .parameters import PerParameter
from .pydantic_models import is_model
from .record_classes import is_record, record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bee_core.interfaces import Form, MethodCodec, Signature

    Complete = Callable[[Any], None]
    """Puts what is missing into the instances that a value holds at any depth."""


class Completing:
    """A method of a codec whose decoded values are completed. Immutable; for any thread."""

    __slots__ = (
        "_args",
        "_decode_args",
        "_decode_result",
        "_result",
        "encode_args",
        "encode_result",
    )

    def __init__(
        self, method: MethodCodec, signature: Signature, completions: Mapping[str, Complete]
    ) -> None:
        self.encode_args = method.encode_args
        self.encode_result = method.encode_result
        self._decode_args = method.decode_args
        self._decode_result = method.decode_result
        self._args = PerParameter(signature.params or (), completions)
        self._result = completion(signature.result)

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_args`."""
        positional, named = self._decode_args(form, body)
        for index, value in enumerate(positional):
            complete = self._args.at(index)[1]
            if complete is not None:
                complete(value)
        for name, value in named.items():
            complete = self._args.called(name)
            if complete is not None:
                complete(value)
        return positional, named

    def decode_result(self, body: bytes) -> Any:
        """See :meth:`bee_core.interfaces.MethodCodec.decode_result`."""
        value = self._decode_result(body)
        if self._result is not None:
            self._result(value)
        return value


def completing(method: MethodCodec, signature: Signature) -> MethodCodec:
    """The method, completed if its values may lack something."""
    found = {part.name: completion(part.hint) for part in signature.params or ()}
    completions = {name: complete for name, complete in found.items() if complete is not None}
    if not completions and completion(signature.result) is None:
        return method
    return Completing(method, signature, completions)


def completion(hint: Any) -> Complete | None:
    """What completes the values of a hint; None if nothing in them can be missing.

    Args:
        hint: A resolved type hint that msgspec can carry.
    """
    return _of(hint, {}) if _is_concerned(hint, set()) else None


def _of(hint: Any, records: dict[Any, Complete]) -> Complete:
    hint = bare(hint)
    if is_record(hint):
        if hint not in records:
            # A class may contain itself, so it is known before it is looked into.
            fields: list[tuple[str, Complete]] = []
            defaults = _class_defaults(hint)
            records[hint] = _in_record(typing.get_origin(hint) or hint, defaults, fields)
            fields += [
                (field.attribute, _of(field.hint, records))
                for field in record_of(hint).fields
                if _is_concerned(field.hint, set())
            ]
        return records[hint]
    parts = [
        _of(part, records) if _is_concerned(part, set()) else None for part in typing.get_args(hint)
    ]
    if typing.get_origin(hint) in UNIONS:
        return _in_each([part for part in parts if part is not None])
    if _is_fixed_tuple(hint):
        return _in_tuple(parts)
    *_, inside = (part for part in parts if part is not None)
    return _in_values(inside)


def _is_concerned(hint: Any, seen: set[Any]) -> bool:
    """Whether an instance inside a value may lack something."""
    hint = bare(hint)
    if typing.get_origin(hint) is typing.Literal or is_model(hint):
        return False
    if not is_record(hint):
        return any(_is_concerned(part, seen) for part in typing.get_args(hint))
    if hint in seen:
        return False
    seen.add(hint)
    return bool(_class_defaults(hint)) or any(
        _is_concerned(field.hint, seen) for field in record_of(hint).fields
    )


def _class_defaults(hint: Any) -> dict[str, Any]:
    """The defaults of a dataclass that are attributes of the class, by name."""
    cls = typing.get_origin(hint) or hint
    if not dataclasses.is_dataclass(cls):
        return {}
    return {
        field.name: field.default
        for field in dataclasses.fields(cls)
        if field.default is not dataclasses.MISSING
    }


def _is_fixed_tuple(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple and Ellipsis not in typing.get_args(hint)


# Each takes what it does not know as it is: a union asks all of its parts.


def _in_record(
    cls: type, defaults: Mapping[str, Any], fields: Sequence[tuple[str, Complete]]
) -> Complete:
    is_dict = issubclass(cls, dict)

    def complete(value: Any) -> None:
        if is_dict:
            if isinstance(value, dict):
                for name, inside in fields:
                    inside(value.get(name))
            return
        if not isinstance(value, cls):
            return
        own = getattr(value, "__dict__", None)  # with slots, msgspec sets all fields
        if own is not None:
            for name, default in defaults.items():
                if name not in own:
                    own[name] = default
        for name, inside in fields:
            inside(getattr(value, name, None))

    return complete


def _in_values(inside: Complete) -> Complete:
    def complete(value: Any) -> None:
        if isinstance(value, collections.abc.Mapping):
            value = value.values()
        elif not isinstance(value, collections.abc.Collection) or isinstance(value, (str, bytes)):
            return
        for one in value:
            inside(one)

    return complete


def _in_tuple(parts: Sequence[Complete | None]) -> Complete:
    def complete(value: Any) -> None:
        if isinstance(value, tuple):
            for part, one in zip(parts, value, strict=False):
                if part is not None:
                    part(one)

    return complete


def _in_each(parts: Sequence[Complete]) -> Complete:
    def complete(value: Any) -> None:
        for part in parts:
            part(value)

    return complete
