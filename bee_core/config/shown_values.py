"""Values of a configuration as texts, without secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from .retry_budget_model import RetryBudgetConfig
from .secret import Secret

if TYPE_CHECKING:
    from .model import Config

_HIDDEN = "…"
_USER = re.compile(r"//[^/@\s]*@")


def as_text(config: Config, path: str, value: Any, *, hidden: bool = False) -> str:
    """A value as a text: as it is written where something was replaced in it.

    Args:
        config: The configuration that has it.
        path: Its key.
        value: The value.
        hidden: Whether it must not be shown.
    """
    stated = config.written.get(path)
    if stated is not None:
        return stated
    inside = any(one.startswith((f"{path}.", f"{path}[")) for one in config.written)
    return _HIDDEN if hidden or inside else _USER.sub(f"//{_HIDDEN}@", _text(value))


def _text(value: Any) -> str:
    if isinstance(value, Secret):
        return _HIDDEN
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, RetryBudgetConfig):
        return str(value)
    if attrs.has(type(value)):
        fields = [field for field in attrs.fields(type(value)) if field.name != "url"]
        given = [
            f"{field.name}={_text(getattr(value, field.name))}"
            for field in fields
            if getattr(value, field.name) != field.default
        ]
        return " ".join([getattr(value, "url", ""), *given]).strip()
    return str(value)
