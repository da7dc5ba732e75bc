"""Proxies: what an application holds in its hands."""

from __future__ import annotations

import asyncio
import copy
import inspect
from abc import ABC, abstractmethod
from typing import Protocol, TypeVar, get_type_hints

import attrs
import pytest

import bee_core
from bee_core.calls.call import encode
from bee_core.calls.options import OPTION_NAMES, CallOptionsDict
from bee_core.calls.plan import CallPlan
from bee_core.client.proxies import Method, Reply, ServiceProxy, detailed, make_proxy, with_options
from bee_core.client.remote_methods import Prepared
from bee_core.config import CallConfig
from bee_core.errors import InvalidArgument
from bee_core.terms.request import RequestHead
from support.call_harness import Harness

T = TypeVar("T")


class Recorder:
    """A caller that remembers instead of calling."""

    def __init__(self, service):
        self.calls = []
        self.prepared = Prepared()
        self.service = service

    def find(self, name):
        return self.service

    def invoke(self, plan, args, kwargs):
        self.calls.append((plan, args, kwargs))
        return "value"

    def invoke_detailed(self, plan, args, kwargs):
        self.calls.append((plan, args, kwargs))
        return Reply("value", None, 1, False, 0.5)


class Plain:
    def __init__(self, needed):
        raise AssertionError("the interface's own __init__ is not run")

    def add(self, a: int, b: int) -> int:
        raise AssertionError("the interface's own body is not run")

    @bee_core.idempotent
    def read(self) -> int:
        raise AssertionError


class AsProtocol(Protocol):
    def add(self, a: int, b: int) -> int: ...


class AsAbc(ABC):
    @abstractmethod
    def add(self, a: int, b: int) -> int: ...


class Slotted:
    __slots__ = ()

    def add(self, a: int, b: int) -> int: ...


class StatsInterface(Protocol):
    def mean(self, values: list[float]) -> float: ...


class Nested(Protocol):
    Stats: StatsInterface

    def add(self, a: int, b: int) -> int: ...


@pytest.fixture
def service():
    return Harness("a").service


@pytest.fixture
def caller(service):
    return Recorder(service)


@pytest.fixture
def dynamic(caller, service):
    return make_proxy(caller, service, None)


def only(caller):
    ((plan, args, kwargs),) = caller.calls
    return plan.method, args, kwargs


# ── without an interface ──


def test_an_attribute_is_a_method(dynamic, caller):
    assert dynamic.add(1, b=2) == "value"
    assert only(caller) == ("add", (1,), {"b": 2})


def test_an_attribute_of_a_method_is_a_method_of_a_named_object(dynamic, caller):
    dynamic.Stats.mean([1, 2])
    assert only(caller) == ("Stats.mean", ([1, 2],), {})


def test_call_reaches_every_name(dynamic, caller):
    dynamic.call("with_options", 1, x=2)
    assert only(caller) == ("with_options", (1,), {"x": 2})


def test_arguments_may_have_any_name(dynamic, caller):
    dynamic.add(self=1, method=2)
    dynamic.call("add", self=1, method=2)
    assert [kwargs for _, _, kwargs in caller.calls] == [{"self": 1, "method": 2}] * 2


def test_a_method_is_planned_once(dynamic, caller):
    dynamic.add(1)
    dynamic.add(2)
    assert caller.calls[0][0] is caller.calls[1][0]


@pytest.mark.parametrize("name", ["_private", "__len__", "__wrapped__"])
def test_names_with_an_underscore_are_no_methods(dynamic, name):
    with pytest.raises(AttributeError, match="underscore"):
        getattr(dynamic, name)
    with pytest.raises(AttributeError, match="underscore"):
        getattr(dynamic.add, name)


def test_proxies_say_what_they_are(dynamic, caller, service):
    assert repr(dynamic) == "<service calc>"
    assert repr(dynamic.Stats.mean) == "<method Stats.mean of calc>"
    assert repr(make_proxy(caller, service, Plain)) == "<service calc as Plain>"


def test_a_proxy_can_be_copied(dynamic, caller):
    copy.copy(dynamic).add(1)
    assert only(caller) == ("add", (1,), {})


# ── with an interface ──


@pytest.mark.parametrize("interface", [Plain, AsProtocol, AsAbc, Slotted])
def test_classes_protocols_and_abcs_are_interfaces(caller, service, interface):
    proxy = make_proxy(caller, service, interface)
    assert proxy.add(1, 2) == "value"
    plan, args, _ = caller.calls[0]
    assert (plan.method, args) == ("add", (1, 2))


class Cart:
    """What a program has at hand: the class of the server."""

    def __init__(self):
        raise AssertionError("the interface's own __init__ is not run")

    def __init_subclass__(cls, **_):
        raise AssertionError("nothing derives from the interface")

    def __len__(self):
        raise AssertionError

    def __enter__(self):
        raise AssertionError

    def __exit__(self, *_):
        raise AssertionError

    def __del__(self):
        raise AssertionError

    def __getattr__(self, name):
        raise AssertionError

    @property
    def total(self) -> int:
        raise AssertionError

    limit = 3

    def add(self, n: int, *, note: str = "") -> int:
        """Put something in."""


def test_a_typed_proxy_has_no_special_method_property_or_attribute_of_its_interface(
    caller, service
):
    cart = make_proxy(caller, service, Cart)
    assert cart
    assert isinstance(cart, Cart)
    for name in ("__enter__", "__len__", "total", "limit"):
        assert not hasattr(cart, name)
    with pytest.raises(AttributeError, match="Cart declares no public method 'total'"):
        cart.total  # noqa: B018
    cart.add(1)
    assert only(caller)[:2] == ("add", (1,))
    del cart  # an error in __del__ would fail the test


def test_a_typed_method_says_of_itself_what_its_declaration_says(caller, service):
    add = make_proxy(caller, service, Cart).add
    assert (add.__name__, add.__qualname__, add.__doc__) == ("add", "add", "Put something in.")
    assert str(inspect.signature(add)) == "(n: int, *, note: str = '') -> int"
    assert add.__annotations__ == {"n": int, "note": str, "return": int}
    assert not inspect.iscoroutinefunction(add)
    nested = make_proxy(caller, service, Nested).Stats.mean
    assert (nested.__name__, nested.__qualname__) == ("mean", "Stats.mean")


def test_the_methods_of_an_asyncio_client_are_coroutine_functions(service):
    class AsyncRecorder(Recorder):
        async def invoke(self, plan, args, kwargs):
            return super().invoke(plan, args, kwargs)

    class AsyncCart(Protocol):
        async def add(self, n: int) -> int:
            """Put something in."""

    caller = AsyncRecorder(service)
    typed, untyped = make_proxy(caller, service, AsyncCart), make_proxy(caller, service, None)
    for method in (
        typed.add,
        with_options(typed, timeout=1).add,
        with_options(typed.add, timeout=1),
        untyped.add,
        untyped.Stats.mean,
        untyped.call,
        untyped.with_options(timeout=1).add,
    ):
        assert inspect.iscoroutinefunction(method)
        assert asyncio.iscoroutinefunction(method)
    assert str(inspect.signature(typed.add)) == "(n: int) -> int"
    assert typed.add.__doc__ == "Put something in."
    assert asyncio.run(typed.add(1)) == "value"
    assert asyncio.run(untyped.call("add", 1)) == "value"


def test_a_generic_interface_may_be_given_its_types(caller, service):
    class Repo(Protocol[T]):
        def get(self, key: int) -> T: ...

    users = make_proxy(caller, service, Repo[float])
    assert repr(users) == "<service calc as Repo[float]>"
    assert str(inspect.signature(users.get)) == "(key: int) -> float"
    users.get(1)
    assert only(caller) == ("get", (1,), {})


@pytest.mark.parametrize("interface", [Plain, AsAbc])
def test_a_typed_proxy_is_an_instance_of_its_interface(caller, service, interface):
    assert isinstance(make_proxy(caller, service, interface), interface)


def test_a_typed_method_checks_its_arguments_before_anything_is_sent(caller, service):
    proxy = make_proxy(caller, service, Plain)
    proxy.add("one", 2)
    plan, args, kwargs = caller.calls[0]
    with pytest.raises(InvalidArgument) as caught:
        encode(plan, args, kwargs)
    assert (caught.value.service, caught.value.method) == ("calc", "add")
    assert "a" in caught.value.path


def test_the_methods_of_a_nested_interface_stand_under_its_name(caller, service):
    make_proxy(caller, service, Nested).Stats.mean([1.0])
    assert only(caller) == ("Stats.mean", ([1.0],), {})


def test_a_method_that_the_interface_does_not_declare_is_an_attribute_error(caller, service):
    with pytest.raises(AttributeError):
        make_proxy(caller, service, Plain).subtract  # noqa: B018


def test_the_mark_makes_a_method_oneway_and_options_have_the_last_word(caller, service):
    class Log(Protocol):
        @bee_core.oneway
        def write(self, line: str) -> None: ...

        def read(self) -> str: ...

    log = make_proxy(caller, service, Log)
    log.write("x")
    with_options(log, oneway=False).write("x")
    log.read()
    with_options(log.read, oneway=True)()
    assert [plan.oneway for plan, _, _ in caller.calls] == [True, False, False, True]


def test_the_interfaces_mark_makes_a_method_idempotent(caller, service):
    proxy = make_proxy(caller, service, Plain)
    proxy.read()
    proxy.add(1, 2)
    assert [plan.idempotent for plan, _, _ in caller.calls] == [True, False]


def test_a_type_that_the_codec_cannot_carry_is_refused_when_the_proxy_is_made(caller, service):
    class Odd(Protocol):
        def run(self, task: asyncio.Task[int]) -> int: ...

    with pytest.raises(TypeError, match="run"):
        make_proxy(caller, service, Odd)


def test_an_interface_is_a_class(caller, service):
    with pytest.raises(TypeError, match="interface"):
        make_proxy(caller, service, Plain.add)


# ── options ──


@pytest.mark.parametrize("interface", [None, Plain])
def test_options_make_another_proxy_and_leave_the_first_as_it_is(caller, service, interface):
    proxy = make_proxy(caller, service, interface)
    changed = with_options(proxy, timeout=0.5, key="user-42", retries=0)
    changed.add(1, 2)
    proxy.add(1, 2)
    (first, *_), (second, *_) = caller.calls
    assert type(changed) is type(proxy)
    assert (first.timeout, first.key, first.retries) == (0.5, "user-42", 0)
    assert (second.timeout, second.key, second.retries) == (10.0, None, 2)


def test_options_can_be_given_to_one_method(dynamic, caller):
    changed = with_options(dynamic.add, timeout=0.5)
    changed(1)
    assert isinstance(changed, Method)
    assert caller.calls[0][0].timeout == 0.5


def test_options_stay_with_the_methods_of_named_objects(dynamic, caller, service):
    dynamic.with_options(timeout=0.5).Stats.mean([])
    with_options(make_proxy(caller, service, Nested), timeout=0.5).Stats.mean([])
    assert [plan.timeout for plan, _, _ in caller.calls] == [0.5, 0.5]


def test_later_options_stand_over_earlier_ones_and_texts_are_joined(dynamic, caller):
    dynamic.with_options(timeout=1, retries=1, metadata={"a": "1", "b": "1"}).with_options(
        timeout=2, metadata={"b": "2"}
    ).add()
    plan = caller.calls[0][0]
    assert (plan.timeout, plan.retries, plan.head.metadata) == (2.0, 1, {"a": "1", "b": "2"})


def test_metadata_is_added_to_that_of_the_configuration(caller):
    service = Harness("a", metadata={"tenant": "a", "app": "shop"}, baggage={"trace": "1"}).service
    caller.service = service
    make_proxy(caller, service, None).with_options(
        metadata={"tenant": "b"}, baggage={"user": "2"}
    ).add()
    plan = caller.calls[0][0]
    assert plan.head.metadata == {"tenant": "b", "app": "shop"}
    assert plan.head.baggage == {"trace": "1", "user": "2"}


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": "1"},
        {"timeout": True},
        {"connect_timeout": 0},
        {"read_timeout": 0},
        {"write_timeout": 0},
        {"timeout": 10**400},
        {"retries": -1},
        {"retries": 1.5},
        {"retries": True},
        {"idempotent": "no"},
        {"key": 42},
        {"metadata": {"a": 1}},
        {"metadata": "a"},
        {"metadata": [("a", "b")]},
        {"baggage": {1: "a"}},
    ],
    ids=repr,
)
def test_an_impossible_option_is_named(dynamic, options):
    (name,) = options
    with pytest.raises(InvalidArgument, match=f"with_options.{name}"):
        dynamic.with_options(**options)


def test_an_unknown_option_lists_those_there_are(dynamic):
    with pytest.raises(TypeError, match=r"no option timout; it takes: timeout, .*baggage"):
        dynamic.with_options(timout=1)


def test_options_of_something_else_are_a_type_error():
    with pytest.raises(TypeError, match="a service or a method"):
        with_options(print, timeout=1)


def test_options_are_the_settings_of_a_call_and_have_the_same_types_everywhere():
    options, settings = get_type_hints(CallOptionsDict), get_type_hints(CallConfig)
    assert options.keys() - settings.keys() == {"key"}
    assert settings.keys() - options.keys() == {"fail", "fallback", "compress_above", "limiter"}
    for name in options.keys() & settings.keys():
        assert options[name] in {settings[name], settings[name] | None}, name
    travelling = {"metadata", "baggage"}  # with the head, which all requests of the method share
    assert options.keys() - travelling <= attrs.fields_dict(CallPlan).keys()
    assert travelling <= set(RequestHead.__slots__)
    assert tuple(options) == OPTION_NAMES


# ── detailed ──


@pytest.mark.parametrize("interface", [None, Plain])
def test_detailed_gives_a_reply(caller, service, interface):
    reply = detailed(make_proxy(caller, service, interface).add, 1, b=2)
    assert reply == Reply("value", None, 1, False, 0.5)
    assert only(caller) == ("add", (1,), {"b": 2})


def test_detailed_takes_a_method_by_its_name(caller, dynamic):
    assert detailed(dynamic.call, "Stats.mean", [1, 2], precision=3).value == "value"
    assert only(caller) == ("Stats.mean", ([1, 2],), {"precision": 3})


def test_detailed_wants_a_method(dynamic):
    with pytest.raises(TypeError, match=r"calc\.add"):
        detailed(dynamic)
    with pytest.raises(TypeError, match=r"calc\.add"):
        detailed(print, 1)


def test_a_service_without_an_interface_is_a_service_proxy(dynamic):
    assert isinstance(dynamic, ServiceProxy)


# ── the hot path ──


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b

    def boom(self) -> int:
        raise ValueError("boom")


def test_a_call_reaches_no_plugin_hook_and_logs_nothing(caplog):
    caplog.set_level(0)
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0"}}}}
    )
    server.add(Calculator())
    hooks, logged = [], []

    def listen_in(client):
        client.assembly.hub.manager.add_hookcall_monitoring(
            lambda name, impls, kwargs: hooks.append(name), lambda *_: None
        )

    with server.in_thread():
        config = {"bee": {"rpc": {"client": {"calc": {"address": server.address}}}}}
        with bee_core.build_client(config) as client:
            listen_in(client)
            calc = client.service("calc")
            caplog.clear()
            for number in range(5):
                assert calc.add(number, 1) == number + 1
            with pytest.raises(bee_core.errors.RemoteError):
                calc.boom()
            detailed(calc.with_options(timeout=1).add, 1, 2)
            logged.extend(caplog.records)

        async def main():
            async with bee_core.build_async_client(config) as client:
                listen_in(client)
                calc = client.service("calc")
                await calc.add(1, 2)
                caplog.clear()
                assert await asyncio.gather(*(calc.add(number, 1) for number in range(5))) == [
                    1,
                    2,
                    3,
                    4,
                    5,
                ]
                with pytest.raises(bee_core.errors.RemoteError):
                    await calc.boom()
                logged.extend(caplog.records)

        asyncio.run(main())
    assert hooks == []
    # The server, which is in this process too, says what its handler raised.
    assert [record for record in logged if record.name != "bee.server"] == []


def test_the_spy_on_hooks_sees_a_hook_when_there_is_one():
    client = bee_core.build_client(
        {"bee": {"rpc": {"client": {"calc": {"address": "127.0.0.1:1"}}}}}
    )
    hooks = []
    client.assembly.hub.manager.add_hookcall_monitoring(
        lambda name, impls, kwargs: hooks.append(name), lambda *_: None
    )
    client.assembly.hub.load("codec", "msgpack")
    client.close()
    assert hooks
