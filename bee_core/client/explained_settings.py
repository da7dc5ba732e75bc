"""The value of each setting that holds for a call, and the line that states it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ..calls.options import OPTION_NAMES
from ..calls.plan import make_plan
from ..config.client_model import CALL_FIELDS
from ..config.fault_model import FaultConfig
from ..config.fields import PluginRef, remarks
from ..config.retry_budget_model import RetryBudgetConfig
from ..methods.interface_methods import interface_methods

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..calls.service import Service
    from ..config.model import Config


@attrs.frozen
class Setting:
    """One value that holds for the call, and where it comes from.

    Attributes:
        name: The key.
        value: Text, number, bool, list of texts, or None. Of a plugin its name; the values of its
            options are not told, because they may be secrets.
        path: The dotted key that states it, or None for the built-in default.
        line: The line of the file, or None.
        file: The file, or None.
        why: The reason of the default; empty for what is stated.
        unit: ``seconds``, ``bytes`` or empty.
        options: Names of the plugin's options that are stated.
    """

    name: str
    value: Any
    path: str | None
    line: int | None
    why: str = ""
    unit: str = ""
    options: tuple[str, ...] = ()
    file: str | None = None


def registry_setting(config: Config) -> Setting:
    """Which registry is asked."""
    path = "bee.rpc.registry.protocol"
    section = config.registry
    if section is None or path not in config.lines:
        return Setting("registry", "direct" if section is None else section.protocol, None, None)
    return Setting(
        "registry",
        section.protocol,
        path,
        config.origin(path),
        options=tuple(section.options),
        file=config.file(path),
    )


_NOT_TOLD = frozenset(
    {"name", "metadata", "baggage", "address", "transport", "token", "methods"}
)  # what is no setting, may be secret, or follows from the node


def marks_of(interface: Any, method: str | None) -> dict[str, bool]:
    """What an interface marks a method with."""
    if interface is None or method is None:
        return {}
    declared = interface_methods(interface)
    if method not in declared:
        raise TypeError(
            f"the interface {interface.__qualname__} declares no {method}; it declares"
            f" {', '.join(declared)}"
        )
    found = declared[method]
    return {"idempotent": found.idempotent, "oneway": found.oneway}


def settings_of(
    service: Service[Any], config: Config, method: str | None, marks: Mapping[str, bool]
) -> Iterator[Setting]:
    """What holds for the calls of a service, or of one method.

    Args:
        service: The service.
        config: The whole configuration.
        method: The method's name, or None.
        marks: What its interface marks it with.
    """
    # The plan of a real call: the report cannot differ from what a call would use.
    plan = make_plan(
        service,
        method or "",
        marked_idempotent=marks.get("idempotent", False),
        marked_oneway=marks.get("oneway", False),
    )
    of_method = service.config.method(method or "")
    for attribute in attrs.fields(type(service.config)):
        name, about = attribute.name, remarks(attribute)
        if name in _NOT_TOLD:
            continue
        source = (
            plan if name in OPTION_NAMES else of_method if name in CALL_FIELDS else service.config
        )
        shown, options = _plain(getattr(source, name))
        path = config.stated(service.name, name, method)
        line = file = None
        if path is not None:
            line, file = config.origin(path), config.file(path)
        elif marks.get(name):
            path = "the interface's mark"
        why = about.why if path is None else ""
        yield Setting(name, shown, path, line, why, about.unit, options, file)


def _plain(value: Any) -> tuple[Any, tuple[str, ...]]:
    if isinstance(value, PluginRef):
        return value.name, tuple(value.options)
    if isinstance(value, RetryBudgetConfig):
        return str(value), ()
    if isinstance(value, tuple) and any(isinstance(one, FaultConfig) for one in value):
        return [str(one) for one in value], ()
    if value == () or (isinstance(value, tuple) and isinstance(value[0], PluginRef)):
        return ", ".join(one.name for one in value) or None, tuple(
            option for one in value for option in one.options
        )
    return (sorted(value) if isinstance(value, frozenset) else value), ()
