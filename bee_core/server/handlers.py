"""Which methods there are: what of an object or a function is exposed, and how each is run."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ..contracts.endpoint import ServedMethod
from ..methods.declared_errors import DeclaredError, declared_errors, definitions, merged_errors
from ..methods.decorators import IDEMPOTENT, NONBLOCKING, ONEWAY
from ..methods.interface_methods import (
    InterfaceMethod,
    interface_methods,
    method_arguments,
    public_methods,
)
from ..methods.signatures import NOTHING, Signature
from ..methods.type_hints import NO_STREAMS, hint_text
from .meant_errors import NO_DETAILS, MeantErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..contracts.codec import MethodCodec

_LIFE = frozenset({"close", "aclose"})
"""Methods that end an object. They are for the server that owns it, and not for its callers."""

HandlerKind = Literal["async", "nonblocking", "threaded"]
"""How a handler is run: as a task on the loop, by a plain call on the loop, or on a thread."""


@attrs.frozen(eq=False)
class Handler:
    """One method of a service.

    Attributes:
        function: What is called, bound to its object.
        kind: ``async`` for ``async def``, ``nonblocking`` for a ``def`` with that mark,
            ``threaded`` for any other ``def``.
        signature: What arguments are decoded to and the result is checked against.
        doc: Its docstring, or its interface's; empty without one.
        proto: Its full name in a ``.proto``, or None.
        errors: The exceptions that it declares, or its interface does.
        idempotent: Whether it, or its interface, is marked ``@bee_core.idempotent``.
        oneway: Whether it, or its interface, is marked ``@bee_core.oneway``.
    """

    function: Callable[..., Any]
    kind: HandlerKind
    signature: Signature
    doc: str = ""
    proto: str | None = None
    errors: tuple[DeclaredError, ...] = ()
    idempotent: bool = False
    oneway: bool = False

    def served(self, name: str) -> ServedMethod:
        """What it is to people and tools."""
        return ServedMethod(
            name,
            self.signature,
            self.doc,
            self.proto,
            self.errors,
            self.kind,
            self.idempotent,
            self.oneway,
        )


@attrs.frozen(eq=False)
class BoundHandler:
    """What a handler is to a peer: ``function`` and ``kind``, and the ``codec`` of its bodies.

    ``errors`` encodes the errors that it means; it is read when one is raised.
    """

    function: Callable[..., Any]
    kind: HandlerKind
    codec: MethodCodec
    errors: MeantErrors = NO_DETAILS


def collect(target: Any, name: str | None = None, interface: Any = None) -> dict[str, Handler]:
    """The handlers that an object or a function makes, by method name.

    An object gives the public methods that its class and its bases define. Names with an
    underscore, properties (they are not evaluated), attributes and nested classes are left out, and
    so are ``close`` and ``aclose``: a client must not end the object. A function or another
    callable gives itself.

    Args:
        target: An instance, or a callable.
        name: An object's methods become ``<name>.<method>`` instead of bare ones. A function is
            exposed under it instead of its own name.
        interface: Expose only what this class declares, with its hints instead of the target's.
            A method that it declares to stream is left out. What the interface nests under a name
            is looked up in the target's attribute of that name. It is left out when there is none:
            it may be added as an object of its own.

    Raises:
        TypeError: There is nothing to expose, a method streams, a hint cannot be resolved, or the
            target does not do what the interface declares.
        ValueError: ``name`` is not a public name.
    """
    if name is not None and not all(
        part.isidentifier() and not part.startswith("_") for part in name.split(".")
    ):
        raise ValueError(
            f"{name!r} cannot be called by a client: a name is an identifier without a leading "
            "underscore, such as 'Stats'"
        )
    if isinstance(target, type):
        raise TypeError(
            f"{target.__qualname__} is a class: add an instance of it, {target.__qualname__}()"
        )
    methods = _exposed(target)
    prefix = f"{name}." if name else ""
    if interface is not None:
        return _collect_interface(target, prefix, interface)
    if _is_function(target) or (callable(target) and not methods):
        public = name or _own_name(target)
        return {public: _handler(public, target)}
    if not methods:
        raise TypeError(
            f"nothing to expose: {type(target).__qualname__} defines no public method (names with "
            "a leading underscore, properties and attributes are not exposed)"
        )
    # `Repo[User]()` leaves the types that it was given in __orig_class__.
    given_types = getattr(target, "__orig_class__", type(target))
    return {
        prefix + method: _handler(
            prefix + method,
            raw.__get__(target, type(target)),
            method_arguments(given_types, method),
        )
        for method, raw in methods.items()
    }


def _exposed(target: Any) -> dict[str, Any]:
    """The public methods of an object, without those that end it."""
    methods = public_methods(type(target))
    return {name: raw for name, raw in methods.items() if name not in _LIFE}


def streaming_methods(interface: Any, name: str | None = None) -> dict[str, str]:
    """The methods of an interface that cannot be called, each with the reason: it would stream.

    Args:
        interface: What the handlers were collected by, or None.
        name: Their methods are ``<name>.<method>``.
    """
    prefix = f"{name}." if name else ""
    declared = {} if interface is None else interface_methods(interface)
    return {prefix + key: method.streams for key, method in declared.items() if method.streams}


def _collect_interface(target: Any, prefix: str, interface: Any) -> dict[str, Handler]:
    found = {}
    missing = []
    for declared in interface_methods(interface).values():
        if declared.streams:
            continue
        owner, method = target, declared.name
        if "." in method:
            attribute, method = method.split(".")
            owner = getattr(target, attribute, None)
            if owner is None:
                continue
        if method in _LIFE:
            continue
        raw = _exposed(owner).get(method)
        if raw is None:
            missing.append(declared.name)
        else:
            found[prefix + declared.name] = _declared_handler(
                prefix + declared.name, raw.__get__(owner, type(owner)), declared
            )
    if missing:
        raise TypeError(
            f"{type(target).__qualname__} does not implement {hint_text(interface)}: "
            f"it has no public method {', '.join(missing)}"
        )
    return found


def _declared_handler(
    name: str, function: Callable[..., Any], declared: InterfaceMethod
) -> Handler:
    signature = Signature(name, declared.signature.params, declared.signature.result)
    own = Signature.of(function, name)
    # Whoever implements an interface must take every call that fits it: by position as far as that
    # goes, and by name.
    only_by_position = _names_of(signature, inspect.Parameter.POSITIONAL_ONLY)
    either = _names_of(signature, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    only_by_name = _names_of(signature, inspect.Parameter.KEYWORD_ONLY)
    mismatch = own.mismatch(len(only_by_position) + len(either), only_by_name) or own.mismatch(
        len(only_by_position), either + only_by_name
    )
    if mismatch:
        raise TypeError(
            f"{name} does not take what its interface declares, {signature}: {mismatch.message}"
        )
    doc = inspect.getdoc(function) or declared.doc or ""
    return Handler(
        function,
        _kind(name, function),
        signature,
        doc,
        declared.proto,
        merged_errors(name, declared.errors, _own_errors(name, function)),
        declared.idempotent or bool(_mark(function, IDEMPOTENT)),
        declared.oneway,
    )


def _names_of(signature: Signature, kind: object) -> list[str]:
    """The names of the parameters of a kind."""
    return [parameter.name for parameter in signature.params or () if parameter.kind == kind]


def _handler(
    name: str, function: Callable[..., Any], given: Mapping[Any, Any] = NOTHING
) -> Handler:
    return Handler(
        function,
        _kind(name, function),
        Signature.of(function, name, given),
        inspect.getdoc(function) or "",
        None,
        _own_errors(name, function),
        bool(_mark(function, IDEMPOTENT)),
        bool(_mark(function, ONEWAY)),
    )


def _mark(function: Any, name: str) -> Any:
    """What a decorator has noted on a handler; None without it."""
    target = _without_partial(function)
    inner = target if inspect.isroutine(target) else type(target).__call__
    return getattr(target, name, None) or getattr(inner, name, None)


def _own_errors(name: str, function: Callable[..., Any]) -> tuple[DeclaredError, ...]:
    """The exceptions that a handler declares, or a method of a base class that it overrides."""
    target = _without_partial(function)
    owner = getattr(target, "__self__", None)
    cls = owner if isinstance(owner, type) else type(owner)
    return declared_errors(name, target, *definitions(cls, getattr(target, "__name__", "")))


def _kind(name: str, function: Callable[..., Any]) -> HandlerKind:
    target = _without_partial(function)
    inner = target if inspect.isroutine(target) else type(target).__call__
    if inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner):
        raise TypeError(f"{name} is a generator, and {NO_STREAMS}")
    if inspect.iscoroutinefunction(inner):
        return "async"
    return "nonblocking" if _mark(function, NONBLOCKING) else "threaded"


def _without_partial(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _is_function(target: Any) -> bool:
    # functools.cache and its like make callables with methods of their own (cache_clear), which are
    # not the service's.
    return (
        inspect.isroutine(target)
        or isinstance(target, functools.partial)
        or (callable(target) and hasattr(target, "__wrapped__"))
    )


def _own_name(target: Any) -> str:
    name = getattr(_without_partial(target), "__name__", "")
    if not name.isidentifier() or name.startswith("_"):
        raise TypeError(
            f"{target!r} has no public name of its own: give it one, add(..., name='convert')"
        )
    return str(name)
