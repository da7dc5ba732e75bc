"""Models and dataclasses of pydantic 2, as values and as hints.

They travel in pydantic's own JSON form, under the names of their aliases: what ``model_dump_json``
writes and ``model_validate_json`` reads. pydantic is not imported before a class of it is seen.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from .invalid_argument import Misfit, below

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_model(hint: Any) -> bool:
    """Whether a hint is a model or a dataclass of pydantic."""
    return isinstance(hint, type) and hasattr(hint, "__pydantic_validator__")


def is_root_model(cls: Any) -> bool:
    """Whether a model stands for one value, which need not be an object."""
    return "root" in model_fields(cls) and hasattr(cls, "model_construct")


def model_fields(cls: Any) -> dict[str, Any]:
    """The fields of a model, by name."""
    return dict(getattr(cls, "__pydantic_fields__", {}))


def wire_name(name: str, field: Any) -> str:
    """The name of a field in the JSON form."""
    return str(field.serialization_alias or field.alias or name)


class ModelType:
    """One model, compiled. Immutable; for any thread.

    Raises:
        TypeError: A field is written under a name under which it is not read, or a hint cannot be
            resolved.
    """

    __slots__ = ("_adapter", "_to_json", "cls")

    def __init__(self, cls: Any) -> None:
        import pydantic
        import pydantic_core

        self.cls = cls
        try:
            self._adapter = pydantic.TypeAdapter(cls)
            self._adapter.rebuild(raise_errors=True)
        except pydantic.PydanticUserError as error:
            raise TypeError(error.message) from error
        for part in _models_in(cls, set()):
            _check_names(part)
        self._to_json = pydantic_core.to_json

    def read(self, value: Any) -> Any:
        """The model of a decoded plain value.

        Raises:
            Misfit: It does not fit; ``path`` says where.
        """
        try:
            body = self._to_json(value, inf_nan_mode="constants")
        except ValueError as error:
            raise Misfit("", str(error)) from error
        try:
            return self._adapter.validate_json(body)
        except ValueError as error:
            raise Misfit(*_located(error, value)) from error

    def write(self, value: Any) -> Any:
        """A model as plain values. It returns other values as they are.

        Raises:
            ValueError: It holds what has no JSON form.
        """
        if not isinstance(value, self.cls):
            return value
        return self._adapter.dump_python(
            value, mode="json", by_alias=True, round_trip=True, warnings=False
        )


def dumped(value: Any) -> Any:
    """A model as plain values, where no type is known."""
    return value.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)


def _located(error: Any, value: Any) -> tuple[str, str]:
    """The path and the text of the first thing that pydantic says."""
    if not hasattr(error, "errors"):
        return "", str(error)
    first = error.errors(include_url=False, include_context=False)[0]
    path = ""
    for part in first["loc"]:  # also names members of unions and the like
        if isinstance(part, int) and isinstance(value, list) and part < len(value):
            path, value = f"{path}[{part}]", value[part]
        elif isinstance(value, dict) and part in value:
            path, value = path + below(part), value[part]
        elif first["type"] == "missing":
            path += below(part)
    message = first["msg"]
    return path, message[:1].lower() + message[1:]


def _check_names(cls: Any) -> None:
    config = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None) or {}
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    for name, field in model_fields(cls).items():
        read = {name} if by_name else set()
        alias = field.validation_alias or field.alias
        if alias is None:
            read.add(name)
        elif isinstance(alias, str):
            read.add(alias)
        else:
            read.update(
                choice for choice in getattr(alias, "choices", ()) if isinstance(choice, str)
            )
        written = wire_name(name, field)
        if written not in read and not field.exclude:
            raise TypeError(
                f"{cls.__name__}.{name} is written as {written!r} and not read under that name;"
                " give it one alias for both, or set validate_by_name"
            )


def _models_in(hint: Any, seen: set[Any]) -> Iterator[Any]:
    """The models in a hint, each once."""
    for part in typing.get_args(hint):
        yield from _models_in(part, seen)
    if is_model(hint) and hint not in seen:
        seen.add(hint)
        yield hint
        for field in model_fields(hint).values():
            yield from _models_in(field.annotation, seen)
