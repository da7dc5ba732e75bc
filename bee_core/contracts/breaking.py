"""Which changes of a service break its callers, from two descriptions of it.

The rules are those that `buf breaking <https://buf.build/docs/breaking/rules/>`_ has for JSON and
for binary forms, adapted to methods of Python. Callers are those of the old description, the server
is that of the new one: what they send must still be taken, and what it answers must still be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from .lost_fields import lost_fields
from .schema_changes import Misfit, misfits
from .schema_references import Effort

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .description import (
        ErrorDescription,
        MethodDescription,
        ParameterDescription,
        ServiceDescription,
    )

    Schemas = Mapping[str, Mapping[str, Any]]

_POSITIONAL = ("positional_or_keyword", "positional_only")
_BY_NAME = ("positional_or_keyword", "keyword_only")


@attrs.frozen
class BreakingChange:
    """One change that breaks callers.

    Attributes:
        rule: Which rule it breaks: ``METHOD_REMOVED``; the reference of the command line lists
            them.
        method: The method, or empty for the whole service.
        path: Where in the method: ``order.lines[].qty``, ``result.total``; empty for the method.
        message: What changed, and for whom.
        breaks: ``all``, or the only form that is broken: ``json`` or ``binary``.
    """

    rule: str
    method: str
    path: str
    message: str
    breaks: str = "all"

    def __str__(self) -> str:
        """One line."""
        where = f" ({self.path})" if self.path else ""
        only = "" if self.breaks == "all" else f" [{self.breaks} only]"
        return f"{self.method or 'service'}{where}: {self.message}{only}"


def breaking_changes(
    old: ServiceDescription, new: ServiceDescription, effort: Effort | None = None
) -> list[BreakingChange]:
    """The changes that break callers of the old description, in the order of the old methods.

    Args:
        old: What callers know.
        new: What the server is.
        effort: What the comparison may cost, where several share it.

    Raises:
        ValueError: One of the descriptions is too large or too tangled to be compared.
    """
    effort = Effort() if effort is None else effort
    known, later_ones = ({one.name: one for one in side.methods} for side in (old, new))
    renamed: dict[str, str] = {}  # methods that are new, by what they take and give
    for one in new.methods:
        if one.name not in known:
            renamed.setdefault(_form(one), one.name)
    found = [
        BreakingChange("CODEC_REMOVED", "", "", f"the codec {codec} is not offered any more")
        for codec in old.codecs
        if new.codecs and codec not in new.codecs
    ]
    for method in old.methods:
        effort.spend()
        later = later_ones.get(method.name)
        if later is None:
            near = renamed.get(_form(method), "")
            hint = f"; is it {near} now?" if near else ""
            found.append(
                BreakingChange("METHOD_REMOVED", method.name, "", f"the method is gone{hint}")
            )
        else:
            found += _of_method(method, later, old.types, new.types, effort)
    return found


def _form(method: MethodDescription) -> str:
    """What a method takes and gives, without its name."""
    return method.signature.partition("(")[2]


def _of_method(
    old: MethodDescription,
    new: MethodDescription,
    old_types: Schemas,
    new_types: Schemas,
    effort: Effort,
) -> Iterator[BreakingChange]:
    name = old.name
    if old.idempotent and not new.idempotent:
        message = "it is not idempotent any more, and callers may run it twice"
        yield BreakingChange("IDEMPOTENT_LOST", name, "", message)
    if old.oneway != new.oneway:
        message = (
            "it is oneway now: callers get no result and hear of no error"
            if new.oneway
            else "it is not oneway any more: callers do not read its answer"
        )
        yield BreakingChange("ONEWAY_CHANGED", name, "", message)
    if old.params is not None and new.params is not None:
        yield from _of_parameters(name, old.params, new.params, old_types, new_types, effort)
    found = misfits(new.result, new_types, old.result, old_types, effort)
    found += _more(found, lost_fields(old.result, old_types, new.result, new_types, effort))
    for misfit in found:
        yield _change(name, "RESULT", "result", misfit, f"{old.type} is {new.type} now")
    yield from _of_errors(name, old.errors, new.errors, old_types, new_types, effort)


def _more(known: list[Misfit], lost: list[Misfit]) -> list[Misfit]:
    """Fields that are gone, without those of which something is said already."""
    paths = {misfit.path for misfit in known}
    return [misfit for misfit in lost if misfit.path not in paths]


def _change(method: str, prefix: str, root: str, misfit: Misfit, whole: str) -> BreakingChange:
    """A misfit of schemas as a change; one of the whole value is said in the types of Python."""
    message = misfit.message if misfit.path or misfit.is_particular else whole
    rule = f"{prefix}_{misfit.rule}"
    return BreakingChange(rule, method, root + misfit.path, message, misfit.breaks)


# ── parameters ──


def _of_parameters(
    method: str,
    old: tuple[ParameterDescription, ...],
    new: tuple[ParameterDescription, ...],
    old_types: Schemas,
    new_types: Schemas,
    effort: Effort,
) -> Iterator[BreakingChange]:
    found = {param.name: param for param in new}
    renamed = _renamed(old, new)
    for param in old:
        effort.spend(1 + (len(old) + len(new)) // 10)
        later = found.get(param.name)
        if later is None and param.name in renamed:
            later = renamed[param.name]
            yield from _renaming(method, param, later)
        elif later is None:
            yield from _removal(method, param, new)
            continue
        yield from _of_kind(method, param, later, old, new)
        if not param.required and later.required and not param.kind.startswith("var_"):
            message = "it has no default any more, and callers may leave it out"
            yield BreakingChange("PARAMETER_REQUIRED", method, param.name, message)
        # What old callers send, the new server must take.
        misfit_parts = misfits(param.schema, old_types, later.schema, new_types, effort)
        lost = lost_fields(param.schema, old_types, later.schema, new_types, effort)
        for misfit in misfit_parts + _more(misfit_parts, lost):
            whole = f"{param.type} is {later.type} now"
            yield _change(method, "PARAMETER", param.name, misfit, whole)
    known = {param.name for param in old} | {param.name for param in renamed.values()}
    for param in new:
        if param.name not in known and param.required:
            message = "it is new and has no default, so callers do not give it"
            yield BreakingChange("PARAMETER_ADDED", method, param.name, message)


def _renamed(
    old: tuple[ParameterDescription, ...], new: tuple[ParameterDescription, ...]
) -> dict[str, ParameterDescription]:
    """Parameters that have another name at the same place, with the same type."""
    before, after = {param.name for param in old}, {param.name for param in new}
    return {
        one.name: other
        for one, other in zip(old, new, strict=False)
        if one.name not in after
        and other.name not in before
        and (one.kind, one.type) == (other.kind, other.type)
    }


def _renaming(
    method: str, param: ParameterDescription, later: ParameterDescription
) -> Iterator[BreakingChange]:
    if param.kind in _BY_NAME:
        message = f"it is called {later.name} now, and callers may name it"
        yield BreakingChange("PARAMETER_RENAMED", method, param.name, message)


def _removal(
    method: str, param: ParameterDescription, new: tuple[ParameterDescription, ...]
) -> Iterator[BreakingChange]:
    kinds = {one.kind for one in new}
    taken = (param.kind in _BY_NAME and "var_keyword" in kinds) and (
        param.kind == "keyword_only" or "var_positional" in kinds
    )
    if not taken:
        message = "it is gone, and callers may give it"
        yield BreakingChange("PARAMETER_REMOVED", method, param.name, message)


def _of_kind(
    method: str,
    param: ParameterDescription,
    later: ParameterDescription,
    old: tuple[ParameterDescription, ...],
    new: tuple[ParameterDescription, ...],
) -> Iterator[BreakingChange]:
    name = param.name
    if param.kind in _POSITIONAL and later.kind in _POSITIONAL:
        before = [one.name for one in old if one.kind in _POSITIONAL].index(name)
        after = [one.name for one in new if one.kind in _POSITIONAL].index(later.name)
        if before != after:
            message = f"it stands at place {after + 1}, not {before + 1}: callers give it there"
            yield BreakingChange("PARAMETER_MOVED", method, name, message)
    elif param.kind in _POSITIONAL:
        message = "it cannot be given by position any more"
        yield BreakingChange("PARAMETER_KIND", method, name, message)
    elif param.kind.startswith("var_") and later.kind != param.kind:
        yield BreakingChange("PARAMETER_KIND", method, name, "it takes one value now, not many")
    if param.kind in _BY_NAME and later.kind not in _BY_NAME:
        message = "it cannot be given by name any more"
        yield BreakingChange("PARAMETER_KIND", method, name, message)


# ── errors ──


def _of_errors(
    method: str,
    old: tuple[ErrorDescription, ...],
    new: tuple[ErrorDescription, ...],
    old_types: Schemas,
    new_types: Schemas,
    effort: Effort,
) -> Iterator[BreakingChange]:
    found = {error.type: error for error in new}
    for error in old:
        later = found.get(error.type)
        if later is None:
            message = "it is not declared any more, and callers may expect it"
            yield BreakingChange("ERROR_REMOVED", method, error.type, message)
            continue
        for misfit in misfits(later.schema, new_types, error.schema, old_types, effort):
            yield _change(method, "ERROR", error.type, misfit, "its fields changed")
