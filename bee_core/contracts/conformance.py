"""Whether an object has the methods of a contract, with its parameters, ``async`` where they are.

The facts come from the ``Protocol`` classes themselves. Checked when an object is made, never when
it is called.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from ..terms.printable import brief
from ..terms.tracebacks import place
from .balancer_parts import ListAware, Remarking, SlowStarting, Twinned
from .codec import Codec, Compressor
from .observation import implements
from .observers import Exposing, Interceptor, Observer
from .optional_methods import Learning, Reasoning, Sized
from .plugin_origin import defined_at, in_brackets
from .policies import Balancer, Breaker, Breakers, Fallback, FaultTolerance, Limiter
from .registry import Registry
from .transport import Transport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from random import Random

    from ..terms.failures import Outcome
    from ..terms.node import Node
    from .policies import Tried


class ForkAware(Protocol):
    """What a policy may define that holds a lock, or counts what is under way."""

    def after_fork(self) -> None:
        """Called in a forked child, which has one thread and none of the parent's calls."""


class Forgetful(Protocol):
    """What breakers may define that keep something of each node."""

    def forget(self, node: Node) -> None:
        """Called when a node has left the list."""


class Hedging(Protocol):
    """What a fault tolerance may define that sends a second attempt beside a slow first one."""

    def hedge(self, history: Sequence[Tried], now: float) -> float | None:
        """The seconds after which a second attempt is started, or None."""

    def may_hedge(self, now: float) -> bool:
        """Whether the second attempt may begin."""

    def settle(self, outcome: Outcome | None, seconds: float, now: float) -> None:
        """Told how long an attempt took; None is *given up*."""


class Targeting(Protocol):
    """What a fault tolerance may define that sends a call to several nodes."""

    def targets(self, ready: Sequence[Node], rng: Random) -> Collection[str] | None:
        """The ids of all nodes that the call goes to; None for one that the balancer picks."""

    def tolerates(self, failed: int, of: int) -> bool:
        """Whether the call has a result though so many of its nodes failed."""


class Listening(Protocol):
    """What a transport may define that needs options of its own to listen."""

    def check_listening(self, url: str) -> None:
        """Called while a server is built; a ValueError says why it could not listen."""


CONTRACTS: Mapping[str, type] = {
    "codec": Codec,
    "compressor": Compressor,
    "transport": Transport,
    "registry": Registry,
    "balancer": Balancer,
    "fault_tolerance": FaultTolerance,
    "breaker": Breakers,
    "limiter": Limiter,
    "fallback": Fallback,
    "observer": Observer,
    "interceptor": Interceptor,
}
"""What an object of each kind must do."""

OPTIONAL: Mapping[type, tuple[type, ...]] = {
    Balancer: (ForkAware, Twinned, SlowStarting, ListAware, Remarking),
    Breakers: (ForkAware, Forgetful, Sized),
    Breaker: (ForkAware, Reasoning),
    Fallback: (ForkAware, Learning),
    FaultTolerance: (ForkAware, Hedging, Targeting),
    Limiter: (ForkAware,),
    Observer: (ForkAware, Exposing),
    Transport: (Listening,),
}
"""What an object of a contract may do besides; where it does, it is checked as well."""


def misfits(thing: Any, contract: type) -> str:
    """What of a contract an object does not do, or the empty string.

    Args:
        thing: The object; or a class whose objects cannot be made yet, as far as it tells.
        contract: The ``Protocol``.

    Returns:
        One line, with the file and the line of each method that is wrong.
    """
    if thing is None:
        return f"it is None, and no {contract.__name__}"
    # Of an observer's methods none is required, and one there must be.
    required = () if contract is Observer else (contract,)
    optional = OPTIONAL.get(contract, ())
    if contract is Observer:
        optional = (contract, *optional)
    found = [problem for one in required for problem in _missing(thing, one)]
    found += [
        problem
        for one in (*required, *optional)
        for name in _methods(one)
        for problem in _wrong_method(thing, one, name)
    ]
    if contract is Balancer and _get(thing, "wants_method")[0] is True:
        found += _wrong_settle(thing)
    if not required and not any(implements(thing, name) for name in _methods(contract)):
        names = ", ".join(_methods(contract))
        found.append(f"it has no method of an Observer: {names}{_where(thing)}")
    return "; ".join(found)


def part_misfits(part: Any, contract: type) -> str:
    """As :func:`misfits`, for what plugins make in turn and may make often.

    Each class that fits is looked at once, if the methods are its own and not those that each
    object has for itself. Thread-safe.
    """
    fitting = _FITTING.setdefault(type(part), set())
    if contract in fitting:
        return ""
    problem = misfits(part, contract)
    if not problem and all(hasattr(type(part), name) for name in _methods(contract)):
        fitting.add(contract)
    return problem


_FITTING: WeakKeyDictionary[type, set[type]] = WeakKeyDictionary()


@cache
def _methods(contract: type) -> tuple[str, ...]:
    return tuple(
        name
        for cls in reversed(contract.__mro__)
        for name, member in vars(cls).items()
        if cls not in (object, Protocol) and inspect.isfunction(member) and name[0] != "_"
    )


@cache
def _attributes(contract: type) -> Mapping[str, str]:
    """The attributes that a contract has besides methods, with their annotations as text."""
    return {
        name: str(text)
        for cls in contract.__mro__
        for name, text in vars(cls).get("__annotations__", {}).items()
        if name[0] != "_"
    }


def _get(thing: Any, name: str) -> tuple[Any, str]:
    """An attribute of a plugin; or None, and why there is none. It may run the plugin's code."""
    try:
        return getattr(thing, name, None), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a property does, as sys.exit()
        return None, f" (asking for it raised {brief(error)})"


def _missing(thing: Any, contract: type) -> Iterator[str]:
    missing = []
    for name in _methods(contract):
        found, why = _get(thing, name)
        if found is None:
            missing.append(f"{name}(){why}")
        elif not callable(found):
            yield (
                f"{name} of the contract {contract.__name__} is a method, and here it is of type "
                f"{type(found).__name__}{_where(thing)}"
            )
    for name, annotation in _attributes(contract).items():
        if isinstance(thing, type):
            break  # an object may set it as it is made
        try:
            value = getattr(thing, name)
        except KeyboardInterrupt:
            raise
        except BaseException:
            missing.append(name)
            continue
        yield from _wrong_callable(thing, name, value, annotation)
    if missing:
        kind = thing.__qualname__ if isinstance(thing, type) else type(thing).__qualname__
        lacks = ", ".join(missing)
        yield f"{kind} lacks {lacks} of the contract {contract.__name__}{_where(thing)}"


def _where(*places: Any) -> str:
    """File and line of the first of these that has one. Looked for only to complain."""
    return in_brackets(next(filter(None, (place(*defined_at(one)) for one in places)), ""))


def _wrong_callable(thing: Any, name: str, value: Any, annotation: str) -> Iterator[str]:
    """Check an attribute that is a function or None, such as ``settle`` of a balancer."""
    wanted = _parameters_of_callable(annotation)
    if wanted is None or value is None:
        return
    if not callable(value):
        yield f"{name} is neither a method nor None{_where(value, thing)}"
        return
    if _is_async(value):
        yield f"{name}() is async, and the core does not wait for it{_where(value, thing)}"
    takes = _signature(value)
    try:
        if takes is not None:
            takes.bind(*[None] * wanted)
    except TypeError:
        where = _where(value, thing)
        yield f"{name}{takes} does not take the {wanted} arguments of the contract{where}"


def _wrong_settle(thing: Any) -> Iterator[str]:
    """Check the ``settle`` of a balancer that wants the method's name too: once more than usual."""
    settle, _ = _get(thing, "settle")
    takes = _signature(settle) if callable(settle) else None
    try:
        if takes is not None and not isinstance(thing, type):
            takes.bind(*[None] * 5)
    except TypeError:
        where = _where(settle, thing)
        yield f"settle{takes} does not take the method's name, and wants_method is true{where}"


@cache
def _parameters_of_callable(annotation: str) -> int | None:
    """How many arguments ``Callable[[A, B], None] | None`` takes; None where it is no function."""
    for node in ast.walk(ast.parse(annotation, mode="eval")):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Callable"):
            arguments = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else None
            return len(arguments.elts) if isinstance(arguments, ast.List) else None
    return None


def _wrong_method(thing: Any, contract: type, name: str) -> Iterator[str]:
    method, _ = _get(thing, name)
    if not callable(method):
        return
    declared = vars(contract)[name]
    iterates = "Iterator" in str(declared.__annotations__.get("return", ""))
    if inspect.iscoroutinefunction(declared):
        if not (_is_async(method) or _promises_to_wait(method)):
            yield (
                f"{name}() of the contract {contract.__name__} is async, and here it is not; "
                f"write async def{_where(method, thing)}"
            )
    elif _is_async(method):
        yield (
            f"{name}() is async, and in the contract {contract.__name__} it is not; "
            f"write def{_where(method, thing)}"
        )
    elif not iterates and _is_generator(method):
        where = _where(method, thing)
        yield f"{name}() is a generator, and the contract {contract.__name__} wants none{where}"
    takes = _signature(method)
    if takes is not None:
        wanted = _declared_parameters(declared)
        given = list(takes.parameters.values())
        if isinstance(thing, type) and inspect.isfunction(inspect.getattr_static(thing, name)):
            given = given[1:]  # self
        problem = _wrong_parameters(given, wanted)
        if problem:
            yield (
                f"{name}{_shown(given)} does not fit {name}{_shown(wanted)} of the contract "
                f"{contract.__name__}: {problem}{_where(method, thing)}"
            )


@cache
def _declared_parameters(method: Any) -> tuple[Parameter, ...]:
    """What a method of a contract takes behind ``self``."""
    return tuple(inspect.signature(method).parameters.values())[1:]


def _inner(method: Any) -> Any:
    """The function that ``async`` stands before: that of a partial, or an object's ``__call__``."""
    while hasattr(method, "func") and not inspect.isroutine(method):
        method = method.func
    return method if inspect.isroutine(method) else type(method).__call__


def _is_async(method: Any) -> bool:
    return inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(_inner(method))


def _is_generator(method: Any) -> bool:
    inner = _inner(method)
    return inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)


def _promises_to_wait(method: Any) -> bool:
    """A plain function may say that what it returns is to be awaited."""
    said = str(getattr(_inner(method), "__annotations__", {}).get("return", ""))
    return any(word in said for word in ("Awaitable", "Coroutine", "Future", "Task"))


def _signature(method: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(method)
    except Exception:
        return None  # written in C, which does not always tell; or it has a bug of its own


_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def _wrong_parameters(given: Sequence[Parameter], wanted: Sequence[Parameter]) -> str:
    """Why a method cannot take what the core hands it, by position; the empty string if it can."""
    by_position = [one for one in given if one.kind in (Parameter.POSITIONAL_ONLY, _NAMED[0])]
    takes_all = any(one.kind is Parameter.VAR_POSITIONAL for one in given)
    if len(by_position) < len(wanted) and not takes_all:
        lacking = [one.name for one in wanted[len(by_position) :]]
        return f"it does not take {', '.join(lacking)}"
    for mine, theirs in zip(by_position, wanted, strict=False):
        # A parameter that is not used may say so: _key.
        if mine.kind in _NAMED and mine.name.lstrip("_") not in ("", theirs.name):
            return f"{mine.name} stands where {theirs.name} belongs"
    more = [*by_position[len(wanted) :], *(o for o in given if o.kind is Parameter.KEYWORD_ONLY)]
    required = [one.name for one in more if one.default is Parameter.empty]
    return f"nobody hands it {', '.join(required)}" if required else ""


def _shown(parameters: Sequence[Parameter]) -> str:
    bare = [one.replace(annotation=Parameter.empty) for one in parameters]
    return str(inspect.Signature(bare))
