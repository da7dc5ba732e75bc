"""What applications call: objects whose methods are the service's methods."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar, cast, overload

import attrs

from ..calls.options import NO_OPTIONS, CallOptions, CallOptionsDict
from ..calls.plan import CallPlan, make_plan
from ..methods.signatures import InterfaceMethod, interface_methods

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from concurrent.futures import Future
    from typing import ParamSpec

    from typing_extensions import Unpack  # type checkers bring it; nothing imports it when bee runs

    from ..calls.service import Service
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
    """

    value: T
    node: Node | None
    attempts: int
    degraded: bool
    seconds: float


class Caller(Protocol):
    """Makes calls: the blocking client returns values, the asyncio client awaitables of them."""

    def invoke(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The value, or an awaitable of it."""

    def invoke_detailed(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The :class:`Reply`, or an awaitable of it."""

    def invoke_future(self, plan: CallPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A future of the value.

        Raises:
            TypeError: The client has awaitables instead.
        """


@attrs.frozen(eq=False)
class Binding:
    """What all methods of a proxy share. Immutable.

    Attributes:
        caller: The client.
        service: The service.
        interface: Its interface, or None.
        methods: The methods that the interface declares, by name.
        options: For each call.
    """

    caller: Caller
    service: Service[Any]
    interface: type | None
    methods: Mapping[str, InterfaceMethod]
    options: CallOptions = NO_OPTIONS

    def with_options(self, options: CallOptions) -> Binding:
        """The same with more options."""
        return attrs.evolve(self, options=self.options.merged(options))

    def plan(self, method: str) -> CallPlan:
        """Prepare a method."""
        declared = self.methods.get(method)
        if declared is None:
            return make_plan(self.service, method, options=self.options)
        return make_plan(
            self.service,
            method,
            declared.signature,
            marked_idempotent=declared.idempotent,
            marked_oneway=declared.oneway,
            options=self.options,
        )


class Method:
    """A method of a service; call it.

    An attribute of it is a method of the object of that name: ``calc.Stats.mean``.
    """

    __slots__ = ("_binding", "_invoke", "_name", "_plan")

    def __init__(self, binding: Binding, name: str) -> None:
        self._binding = binding
        self._name = name
        self._invoke = binding.caller.invoke
        self._plan: CallPlan | None = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method: the value, or with an asyncio client an awaitable of it."""
        return self._invoke(self._plan or self._prepare(), args, kwargs)

    def _prepare(self) -> CallPlan:
        self._plan = plan = self._binding.plan(self._name)
        return plan

    def __getattr__(self, name: str) -> Method:
        """A method of the object of this name."""
        if name.startswith("_"):
            _no_attribute(self, name)
        return Method(self._binding, f"{self._name}.{name}")

    def __repr__(self) -> str:
        """The service and the method."""
        return f"<method {self._name} of {self._binding.service.name}>"


class ServiceProxy:
    """A service without an interface: each public attribute is a method. Thread-safe.

    Two names are taken: ``call``, which reaches every method by string, and ``with_options``.
    """

    def __init__(self, binding: Binding) -> None:
        self._binding = binding

    def __getattr__(self, name: str) -> Method:
        """A method of the service."""
        if name.startswith("_"):
            _no_attribute(self, name)
        method = Method(self._binding, name)
        self.__dict__[name] = method  # found without __getattr__ from now on
        return method

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method by its full name, ``Stats.mean``."""
        return Method(self._binding, method)(*args, **kwargs)

    def with_options(self, **options: Unpack[CallOptionsDict]) -> ServiceProxy:
        """The same service with other options; see :class:`.calls.options.CallOptionsDict`."""
        return ServiceProxy(self._binding.with_options(CallOptions(**options)))

    def __repr__(self) -> str:
        """The service."""
        return f"<service {self._binding.service.name}>"


class _Namespace:
    """The methods of a named object, of a typed proxy."""


def _proxy(binding: Binding) -> Any:
    """A proxy: with an interface, an object of a class derived from it."""
    interface = binding.interface
    if interface is None:
        return ServiceProxy(binding)
    proxy: Any = object.__new__(_proxy_class(interface))
    attributes = proxy.__dict__
    attributes["_binding"] = binding
    for name in binding.methods:
        holder, _, last = name.rpartition(".")
        target = attributes.setdefault(holder, _Namespace()).__dict__ if holder else attributes
        target[last] = Method(binding, name)
    return proxy


@cache
def _proxy_class(interface: type) -> type:
    name = f"{interface.__name__}Proxy"
    members = {"__module__": interface.__module__, "__repr__": _repr_typed}
    try:
        cls: Any = type(interface)(name, (interface,), {**members, "__init__": _no_init})
        cls.__abstractmethods__ = frozenset()  # each is an attribute of the instance
        object.__new__(cls).__dict__  # noqa: B018  # fails for an interface that cannot be a base
    except (TypeError, AttributeError):
        return type(name, (), members)
    return cast("type", cls)


def _no_init(self: Any) -> None:
    """The client makes proxies, so the interface's own ``__init__`` does not run."""


def _repr_typed(self: Any) -> str:
    return f"<service {self._binding.service.name} as {self._binding.interface.__name__}>"


def make_proxy(caller: Caller, service: Service[Any], interface: type | None) -> Any:
    """The proxy of a service.

    Raises:
        TypeError: The interface is not a class, has hints that cannot be resolved, or types that
            the codec cannot carry.
    """
    methods = {} if interface is None else interface_methods(interface)
    binding = Binding(caller, service, interface, methods)
    for name in methods:
        binding.plan(name)  # a type that cannot be carried is reported now, not at the first call
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
        return Method(changed, proxy._name)  # noqa: SLF001  # the same module
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
    if getattr(method, "__func__", None) is ServiceProxy.call and args:
        method, args = Method(method.__self__._binding, args[0]), args[1:]  # noqa: SLF001  # own
    if not isinstance(method, Method):
        raise TypeError(f"{what}() wants a method of a service, such as calc.add, got {method!r}")
    plan = method._plan or method._prepare()  # noqa: SLF001  # the same module
    return method._binding.caller, plan, args  # noqa: SLF001  # the same module


def _no_attribute(owner: object, name: str) -> NoReturn:
    raise AttributeError(
        f"{type(owner).__name__} has no attribute {name!r}; names with an underscore are not"
        " methods of a service"
    )
