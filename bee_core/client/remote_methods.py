"""Methods of a service, as attributes of its proxies."""

from __future__ import annotations

import inspect
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from weakref import ref

import attrs

from ..calls.options import NO_OPTIONS, CallOptions
from ..calls.plan import CallPlan, make_plan
from ..errors import ConfigError, MethodNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..calls.service import Service
    from ..methods.interface_methods import InterfaceMethod


class Prepared:
    """The methods of a client's proxies that have a plan. Thread-safe.

    Attributes:
        generation: Grows when all plans are dropped.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._methods: list[ref[Method]] = []
        self._tidy_at = _TIDY_AT
        self.renew_lock()

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held it."""
        self._lock = Lock()

    def keep(self, method: Method, plan: CallPlan, generation: int) -> bool:
        """Give a method its plan. False where all plans were dropped while it was made."""
        with self._lock:
            if generation != self.generation:
                return False
            method._plan = plan  # noqa: SLF001  # two halves of one thing
            self._methods.append(ref(method))
            if len(self._methods) > self._tidy_at:
                self._methods = [one for one in self._methods if one() is not None]
                self._tidy_at = 2 * len(self._methods) + _TIDY_AT
        return True

    def check(self, services: Mapping[str, Service[Any]]) -> None:
        """Whether other services can carry the methods that interfaces declare.

        Raises:
            ConfigError: The codec of one cannot carry a type of a signature.
        """
        with self._lock:
            methods = [one() for one in self._methods]
        for method in filter(None, methods):
            binding, name = method._binding, method._name  # noqa: SLF001  # as above
            declared, service = binding.methods.get(name), services.get(binding.name)
            if declared is not None and service is not None:
                try:
                    service.bind(declared.signature)
                except TypeError as error:
                    path = f"bee.rpc.client.{service.name}.codec"
                    raise ConfigError(f"a proxy is in use: {error}", path=path) from error

    def drop(self) -> None:
        """Have each method make a new plan at its next call."""
        with self._lock:
            self.generation += 1
            methods, self._methods = self._methods, []
            for one in methods:
                method = one()
                if method is not None:
                    method._plan = None  # noqa: SLF001  # two halves of one thing


_TIDY_AT = 64
"""Methods, at least, until those that are gone are looked for."""


class Caller(Protocol):
    """Makes calls: the blocking client returns values, the asyncio client awaitables of them.

    Attributes:
        prepared: The methods that have a plan.
    """

    prepared: Prepared

    def find(self, name: str) -> Service[Any]:
        """A service, as it is now.

        Raises:
            ConfigError: No such service is configured.
        """

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
        name: The service's.
        interface: Its interface, a class or a generic one with its types given; or None.
        methods: The methods that the interface declares, by name.
        options: For each call.
        is_async: Whether calls are awaited.
    """

    caller: Caller
    name: str
    interface: Any
    methods: Mapping[str, InterfaceMethod]
    options: CallOptions = NO_OPTIONS
    is_async: bool = attrs.field(init=False)

    @is_async.default
    def _default_is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.caller.invoke)

    def with_options(self, options: CallOptions) -> Binding:
        """The same with more options."""
        return attrs.evolve(self, options=self.options.merged(options))

    def method(self, name: str) -> Method:
        """What a proxy has under the name of a method."""
        if name in self.methods:
            return (AsyncTypedMethod if self.is_async else TypedMethod)(self, name)
        return (AsyncMethod if self.is_async else Method)(self, name)

    def plan(self, method: str) -> CallPlan:
        """Prepare a method.

        Raises:
            MethodNotFound: It would stream.
            ConfigError: The service is not configured any more.
        """
        service = self.caller.find(self.name)
        declared = self.methods.get(method)
        if declared is None:
            return make_plan(service, method, options=self.options)
        if declared.streams:
            raise MethodNotFound(declared.streams, service=self.name, method=method)
        return make_plan(
            service,
            method,
            declared.signature,
            marked_idempotent=declared.idempotent,
            marked_oneway=declared.oneway,
            errors=declared.errors,
            options=self.options,
        )


class Method:
    """A method of a service; call it.

    An attribute of it is a method of the object of that name: ``calc.Stats.mean``.
    """

    __slots__ = ("__weakref__", "_binding", "_invoke", "_name", "_plan")

    def __init__(self, binding: Binding, name: str) -> None:
        self._binding = binding
        self._name = name
        self._invoke = binding.caller.invoke
        self._plan: CallPlan | None = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method: the value, or with an asyncio client an awaitable of it."""
        return self._invoke(self._plan or self._prepare(), args, kwargs)

    def _prepare(self) -> CallPlan:
        prepared = self._binding.caller.prepared
        while True:
            generation = prepared.generation
            plan = self._binding.plan(self._name)
            if prepared.keep(self, plan, generation):
                return plan

    def __getattr__(self, name: str) -> Any:
        """A method of the object of this name."""
        if name == "__qualname__":  # a class cannot have a property of this name
            return self._name
        if name.startswith("_"):
            no_attribute(self, name)
        return self._binding.method(f"{self._name}.{name}")

    @property
    def __name__(self) -> str:
        """The last part of the method's name."""
        return self._name.rpartition(".")[2]

    def __repr__(self) -> str:
        """The service and the method."""
        return f"<method {self._name} of {self._binding.name}>"


class TypedMethod(Method):  # noqa: D101  # __doc__ is the declaration's
    # A method that an interface declares. It says of itself what its declaration says.

    __slots__ = ()

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._binding.methods[self._name].doc

    @property
    def __signature__(self) -> inspect.Signature:
        """The parameters, without ``self``, and the result; hints are resolved."""
        return self._binding.methods[self._name].signature.as_python

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        """The hints by parameter, that of the result as ``return``."""
        signature = self.__signature__
        hints = {name: parameter.annotation for name, parameter in signature.parameters.items()}
        hints["return"] = signature.return_annotation
        return {name: hint for name, hint in hints.items() if hint is not inspect.Parameter.empty}


async def _awaited(*args: Any, **kwargs: Any) -> None:
    """A coroutine function; :mod:`inspect` asks its code whether a method is one."""


class _Awaited:
    """What :func:`inspect.iscoroutinefunction` looks at, in each version of Python."""

    __slots__ = ()
    __code__ = _awaited.__code__
    __defaults__ = None
    __kwdefaults__ = None


class AsyncMethod(_Awaited, Method):
    """A method of an asyncio client's proxy."""

    __slots__ = ()
    __annotations__ = {}  # nobody changes it


class AsyncTypedMethod(_Awaited, TypedMethod):  # noqa: D101  # see TypedMethod
    __slots__ = ()
    __doc__ = vars(TypedMethod)["__doc__"]  # each class has one, and would hide the inherited one


def no_attribute(owner: object, name: str) -> NoReturn:
    """Refuse an attribute with an underscore.

    Raises:
        AttributeError: Always.
    """
    raise AttributeError(
        f"{type(owner).__name__} has no attribute {name!r}; names with an underscore are not"
        " methods of a service"
    )
