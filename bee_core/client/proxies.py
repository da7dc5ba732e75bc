"""What applications call: objects whose methods are the service's methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast, overload

import attrs

from ..calls.options import CallOptions, CallOptionsDict
from ..methods.interface_methods import interface_methods
from ..methods.type_arguments import class_of
from ..methods.type_hints import hint_text
from ..terms.metadata import NOTHING
from .remote_methods import Binding, Caller, Method, no_attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from concurrent.futures import Future
    from typing import ParamSpec

    from typing_extensions import Unpack  # type checkers bring it; nothing imports it when bee runs

    from ..calls.plan import CallPlan
    from ..calls.service import Service
    from ..terms.metadata import Metadata
    from ..terms.node import Node

    P = ParamSpec("P")

T = TypeVar("T")


@attrs.frozen
class Reply(Generic[T]):
    """A result, and how the call went.

    Attributes:
        value: What the method returned, or a fallback's value.
        node: The node of the last attempt; None when there was none.
        attempts: How many attempts it took.
        degraded: Whether a fallback answered instead of a node.
        seconds: How long the call took.
        metadata: Texts and bytes that the handler sent along, by name.
        age: How old the value is, in seconds, where a fallback answered with an earlier result;
            None otherwise.
        answers: The values by node id, where the call went to several nodes (``fail: broadcast``);
            ``value`` is the first of them. Empty otherwise.
    """

    value: T
    node: Node | None
    attempts: int
    degraded: bool
    seconds: float
    metadata: Metadata = NOTHING
    age: float | None = None
    answers: Mapping[str, T] = attrs.field(factory=dict)


class ServiceProxy:
    """A service without an interface: each public attribute is a method. Thread-safe.

    Two names are taken: ``call``, which reaches every method by string, and ``with_options``.
    """

    def __init__(self, binding: Binding) -> None:
        self._binding = binding

    def __getattr__(self, name: str) -> Method:
        """A method of the service."""
        if name.startswith("_"):
            no_attribute(self, name)
        method = self._binding.method(name)
        self.__dict__[name] = method  # found without __getattr__ from now on
        return method

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method by its full name, ``Stats.mean``."""
        return self._binding.method(method)(*args, **kwargs)

    def with_options(self, **options: Unpack[CallOptionsDict]) -> ServiceProxy:
        """The same service with other options; see :class:`.calls.options.CallOptionsDict`."""
        return ServiceProxy(self._binding.with_options(CallOptions(**options)))

    def __repr__(self) -> str:
        """The service."""
        return f"<service {self._binding.name}>"


class AsyncServiceProxy(ServiceProxy):
    """The same of an asyncio client."""

    async def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method by its full name, ``Stats.mean``."""
        return await self._binding.method(method)(*args, **kwargs)


class _Namespace:
    """The methods of a named object, of a typed proxy."""


class TypedProxy:
    """A service with an interface: it has the methods that the interface declares, and no more.

    It is an instance of the interface for ``isinstance``. It does not derive from it, so nothing of
    the class runs here: no special method, no property, no ``__init_subclass__``, no metaclass.
    """

    def __init__(self, binding: Binding) -> None:
        attributes: dict[str, Any] = self.__dict__
        attributes["_binding"] = binding
        for name in binding.methods:
            holder, _, last = name.rpartition(".")
            target = attributes.setdefault(holder, _Namespace()).__dict__ if holder else attributes
            target[last] = binding.method(name)

    @property
    def __class__(self) -> type:
        """The interface."""
        interface = self.__dict__["_binding"].interface
        return cast("type", class_of(interface))

    @__class__.setter
    def __class__(self, cls: type) -> None:
        raise TypeError(f"{self!r} stays what it is")

    def __getattr__(self, name: str) -> NoReturn:
        """Say that the interface declares no such method."""
        if "_binding" not in self.__dict__ or name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"{hint_text(self._binding.interface)} declares no public method {name!r}; a typed"
            " service has methods only, no properties and attributes"
        )

    def __repr__(self) -> str:
        """The service and the interface."""
        return f"<service {self._binding.name} as {hint_text(self._binding.interface)}>"


def _proxy(binding: Binding) -> Any:
    """A proxy."""
    if binding.interface is not None:
        return TypedProxy(binding)
    return (AsyncServiceProxy if binding.is_async else ServiceProxy)(binding)


def make_proxy(caller: Caller, service: Service[Any], interface: Any) -> Any:
    """The proxy of a service.

    Raises:
        TypeError: The interface is not a class, has hints that cannot be resolved, or types that
            the codec cannot carry.
    """
    methods = {} if interface is None else interface_methods(interface)
    binding = Binding(caller, service.name, interface, methods)
    for method, declared in methods.items():
        if not declared.streams:
            binding.plan(
                method
            )  # a type that cannot be carried is reported now, not at the first call
    return _proxy(binding)


def with_options(proxy: T, /, **options: Unpack[CallOptionsDict]) -> T:
    """A service, or a method of one, with other options for its calls.

    The given proxy does not change.

    Args:
        proxy: What ``client.service(...)`` returned, or a method of it such as ``calc.add``; the
            result has its type.
        **options: See :class:`bee_core.calls.options.CallOptionsDict`.

    Raises:
        TypeError: It is neither, or there is no such option.
        InvalidArgument: An option has an impossible value.
    """
    changed = _changed(proxy, CallOptions(**options))
    return cast("T", changed)


def _changed(proxy: Any, options: CallOptions) -> Any:
    binding = getattr(proxy, "_binding", None)
    if not isinstance(binding, Binding):
        raise TypeError(f"with_options() wants a service or a method of one, got {proxy!r}")
    changed = binding.with_options(options)
    if isinstance(proxy, Method):
        return changed.method(proxy._name)  # noqa: SLF001  # the same module
    return _proxy(changed)


@overload
def detailed(method: Method, /, *args: Any, **kwargs: Any) -> Any: ...
@overload
def detailed(  # type: ignore[overload-overlap]  # the first overload that fits is meant
    method: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[Any, Any, Reply[T]]: ...
@overload
def detailed(method: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Reply[T]: ...
def detailed(method: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Make a call and tell how it went.

    Args:
        method: A method of a service, ``calc.add``; or ``calc.call``, and then its name.
        *args: Its arguments.
        **kwargs: Its arguments by name.

    Returns:
        A :class:`Reply`; with an asyncio client a coroutine of one.

    Raises:
        TypeError: It is no method of a service.
        CallError: As the call itself would.
    """
    caller, plan, args = _meant("detailed", method, args)
    return caller.invoke_detailed(plan, args, kwargs)


@overload
def future(method: Method, /, *args: Any, **kwargs: Any) -> Future[Any]: ...
@overload
def future(method: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
def future(method: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Begin a call of a blocking client and go on; the future brings its result.

    Any number may be in flight. The deadline counts from here. A call inside a handler inherits
    the handler's deadline and baggage here too. ``concurrent.futures.wait`` and ``as_completed``
    work with it. ``cancel()`` gives the call up at any time before its end, see
    :class:`bee_core.client.futures.CallFuture`.

    Args:
        method: A method of a service, ``calc.add``; or ``calc.call``, and then its name.
        *args: Its arguments.
        **kwargs: Its arguments by name.

    Returns:
        The future. Every error of the call, bad arguments too, is its exception.

    Raises:
        TypeError: It is no method of a service, or that of an asyncio client.
    """
    caller, plan, args = _meant("future", method, args)
    return caller.invoke_future(plan, args, kwargs)


def _meant(
    what: str, method: Any, args: tuple[Any, ...]
) -> tuple[Caller, CallPlan, tuple[Any, ...]]:
    """The client, the plan and the arguments; for ``calc.call`` the first one names the method."""
    if getattr(method, "__func__", None) in _BY_STRING and args:
        method, args = method.__self__._binding.method(args[0]), args[1:]  # noqa: SLF001  # own
    if not isinstance(method, Method):
        raise TypeError(f"{what}() wants a method of a service, such as calc.add, got {method!r}")
    plan = method._plan or method._prepare()  # noqa: SLF001  # the same module
    return method._binding.caller, plan, args  # noqa: SLF001  # the same module


_BY_STRING = (ServiceProxy.call, AsyncServiceProxy.call)
