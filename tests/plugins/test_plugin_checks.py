"""A plugin is checked when it is made: what is wrong is told with plugin, file and line."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import weakref
from functools import partial
from types import SimpleNamespace

import pytest

import bee_core
from bee_core.cli import main
from bee_core.config import PluginRef
from bee_core.contracts import conformance
from bee_core.contracts.conformance import CONTRACTS, misfits, part_misfits
from bee_core.errors import PluginError, PluginFault
from bee_core.hookspecs import REGISTER_HOOKS
from bee_core.interfaces import MethodCodec, Observer
from bee_core.plugins.hub import PluginHub
from bee_core.plugins.listing import list_installed
from bee_plugins.codecs.json_codec import JsonCodec
from faults.services import Calculator, serving
from support.plugin_objects import offering

MODULE = """\
from bee_core.hookspecs import hookimpl
{body}

@hookimpl
def {hook}(registry):
    registry.add("broken", {factory})
"""


Ref = partial(PluginRef, "broken")


def install(site, kind, body, factory="Broken"):
    """A distribution ``bee-broken`` with a plugin ``broken``; ``#!`` marks the line at fault."""
    source = MODULE.format(body=body, hook=REGISTER_HOOKS[kind], factory=factory)
    site.module("broken_plugin", source)
    site.distribution("bee-broken", {kind: {"broken": "broken_plugin"}}, version="2.5")
    lines = [n for n, line in enumerate(source.splitlines(), 1) if "#!" in line]
    return f"{site.root / 'broken_plugin.py'}:{lines[0] if lines else ''}"


def refused(kind):
    context = ("settings",) if kind == "registry" else ()
    with pytest.raises(PluginError) as caught:
        PluginHub(disabled=()).create(Ref(), kind, *context)
    assert "bee-broken" in str(caught.value)
    assert f"{kind} 'broken'" in str(caught.value)
    return str(caught.value)


# ── what a factory makes ──

CALM = "    settle = None\n    def update(self, ready): ...\n"

WRONG = {
    "a method is missing": (
        "compressor",
        "class Broken:\n    def compress(self, body): ... #!",
        "Broken lacks decompress() of the contract Compressor",
    ),
    "a parameter is missing": (
        "compressor",
        "class Broken:\n    def compress(self, body): ...\n    def decompress(self, body): ... #!",
        (
            "decompress(body) does not fit decompress(body, limit) of the contract Compressor: "
            "it does not take limit"
        ),
    ),
    "two parameters changed places": (
        "compressor",
        (
            "class Broken:\n    def compress(self, body): ...\n"
            "    def decompress(self, limit, body): ... #!"
        ),
        "limit stands where body belongs",
    ),
    "a parameter too many": (
        "compressor",
        (
            "class Broken:\n    def compress(self, body, level): ... #!\n"
            "    def decompress(self, body, limit): ..."
        ),
        "nobody hands it level",
    ),
    "a parameter that is wanted by name": (
        "compressor",
        (
            "class Broken:\n    def compress(self, body, *, level): ... #!\n"
            "    def decompress(self, body, limit): ..."
        ),
        "nobody hands it level",
    ),
    "async where it must not be": (
        "fallback",
        "class Broken:\n    async def answer(self, service, method, args, kwargs, error): ... #!",
        "answer() is async, and in the contract Fallback it is not; write def",
    ),
    "not async where it must be": (
        "registry",
        (
            "class Broken:\n    def __init__(self, settings): ...\n"
            "    def known(self, service, addresses): ...\n"
            "    def register(self, instance): ... #!\n"
            "    async def watch(self, service): yield\n    async def close(self): ..."
        ),
        "register() of the contract Registry is async, and here it is not; write async def",
    ),
    "a coroutine where an iterator must be": (
        "registry",
        (
            "class Broken:\n    def __init__(self, settings): ...\n"
            "    def known(self, service, addresses): ...\n"
            "    async def register(self, instance): ...\n"
            "    async def watch(self, service): ... #!\n    async def close(self): ..."
        ),
        "watch() is async, and in the contract Registry it is not",
    ),
    "a generator": (
        "fallback",
        (
            "class Broken:\n"
            "    def answer(self, service, method, args, kwargs, error): #!\n        yield 1"
        ),
        "answer() is a generator",
    ),
    "what is a method is a value": (
        "codec",
        "class Broken:\n    bind = 3\n    def more(self): ... #!",
        "bind of the contract Codec is a method, and here it is of type int",
    ),
    "an attribute that is no function": (
        "balancer",
        (
            "class Broken:\n    settle = 3\n    def update(self, ready): ... #!\n"
            "    def pick(self, *all): ..."
        ),
        "settle is neither a method nor None",
    ),
    "an attribute that takes too little": (
        "balancer",
        (
            "class Broken:\n    def update(self, ready): ...\n    def pick(self, *all): ...\n"
            "    def settle(self, node): ... #!"
        ),
        "settle(node) does not take the",
    ),
    "a settle that does not take what the balancer wants": (
        "balancer",
        (
            "class Broken:\n    wants_method = True\n    def update(self, ready): ...\n"
            "    def pick(self, *all): ...\n"
            "    def settle(self, node, outcome, seconds, now): ... #!"
        ),
        "does not take the method's name, and wants_method is true",
    ),
    "an attribute that is async": (
        "balancer",
        (
            "class Broken:\n    def update(self, ready): ...\n    def pick(self, *all): ...\n"
            "    async def settle(self, *all): ... #!"
        ),
        "settle() is async",
    ),
    "an attribute is missing": (
        "balancer",
        "class Broken:\n    def update(self, ready): ... #!\n    def pick(self, *all): ...",
        "Broken lacks settle of the contract Balancer",
    ),
    "an optional method has parameters": (
        "balancer",
        (
            f"class Broken:\n{CALM}    def pick(self, *all): ...\n"
            "    def after_fork(self, child): ... #!"
        ),
        "after_fork(child) does not fit after_fork() of the contract ForkAware",
    ),
    "an observer observes nothing": (
        "observer",
        "class Broken:\n    def finished(self, record): ... #!",
        "it has no method of an Observer: call_started, attempt_ended, call_ended, ",
    ),
    "an observer takes too little": (
        "observer",
        "class Broken:\n    def call_ended(self, record): ... #!",
        "call_ended(record) does not fit call_ended(state, record) of the contract Observer",
    ),
    "an interceptor waits": (
        "interceptor",
        (
            "class Broken:\n    async def enter(self, call): ... #!\n"
            "    def exit(self, call, outcome): ..."
        ),
        "enter() is async",
    ),
}


@pytest.mark.parametrize(("kind", "body", "problem"), WRONG.values(), ids=WRONG)
def test_what_breaks_the_contract_is_refused_with_the_line_of_its_method(site, kind, body, problem):
    place = install(site, kind, body)
    said = refused(kind)
    assert problem in said
    assert place in said


@pytest.mark.parametrize("kind", CONTRACTS)
def test_a_factory_that_returns_none_is_refused_with_its_line(site, kind):
    place = install(site, kind, "def make(*_): #!\n    pass", "make")
    assert "its factory make returned None" in (said := refused(kind))
    assert place in said


def test_a_factory_that_returns_the_class_is_refused_with_its_line(site):
    body = f"class Broken:\n{CALM}    def pick(self, key, tried, now, rng): ...\n"
    place = install(site, "balancer", f"{body}def make(): #!\n    return Broken", "make")
    said = refused("balancer")
    assert "its factory make returned the class Broken, and no object of it" in said
    assert place in said


@pytest.mark.filterwarnings("error")
def test_a_factory_that_is_async_is_refused_with_its_line(site):
    place = install(site, "codec", "async def make(): ... #!", "make")
    said = refused("codec")
    assert "its factory make is async; write def" in said
    assert place in said


@pytest.mark.filterwarnings("error")
def test_a_hook_that_is_async_is_refused(site):
    source = MODULE.format(body="", hook=REGISTER_HOOKS["codec"], factory="3")
    site.module("broken_plugin", source.replace("def ", "async def "))
    site.distribution("bee-broken", {"codec": {"broken": "broken_plugin"}})
    assert "bee_register_codecs failed: TypeError: it is async" in refused_by_hook("codec")


@pytest.mark.parametrize("kind", CONTRACTS)
def test_a_factory_that_returns_something_else_is_refused(site, kind):
    install(site, kind, "def make(*_):\n    return 7", "make")
    assert re.search("int lacks|has no method of", refused(kind))


def test_everything_that_is_wrong_is_told_at_once(site):
    install(
        site,
        "balancer",
        "class Broken:\n    settle = 3\n    async def update(self, ready): ...\n",
    )
    said = refused("balancer")
    assert all(word in said for word in ("lacks pick()", "settle is neither", "update() is async"))


FITTING = {
    "any arguments": "def decompress(self, *args, **kwargs): ...",
    "defaults": "def decompress(self, body, limit, level=3, *, fast=True): ...",
    "by position only": "def decompress(self, b, n, /): ...",
    "names that say unused": "def decompress(self, _body, _): ...",
    "a static method": "@staticmethod\n    def decompress(body, limit): ...",
    "a class method": "@classmethod\n    def decompress(cls, body, limit): ...",
    "a lambda": "decompress = lambda self, body, limit: body",
    "a partial": "decompress = __import__('functools').partial(lambda x, body, limit: body, 1)",
    "an object that can be called": "decompress = type('C', (), {'__call__': lambda s, *a: 1})()",
    "a function written in C": "decompress = max",
    "through __getattr__": (
        "def __getattr__(self, name):\n        if name == 'decompress': return max\n"
        "        raise AttributeError(name)"
    ),
}


@pytest.mark.parametrize("method", FITTING.values(), ids=FITTING)
def test_what_takes_the_arguments_of_the_contract_is_taken(site, method):
    install(site, "compressor", f"class Broken:\n    def compress(self, body): ...\n    {method}")
    assert PluginHub(disabled=()).create(Ref(), "compressor") is not None


def test_a_plain_function_that_says_that_it_is_awaited_is_taken_for_an_async_one(site):
    install(
        site,
        "registry",
        "from typing import Awaitable\nclass Broken:\n    def __init__(self, settings): ...\n"
        "    def known(self, service, addresses): ...\n"
        "    def register(self, instance) -> Awaitable: ...\n"
        "    def watch(self, service): ...\n    async def close(self): ...",
    )
    assert PluginHub(disabled=()).create(Ref(), "registry", "settings") is not None


def test_a_class_that_derives_from_observer_and_defines_nothing_observes_nothing():
    class Idle(Observer):
        pass

    assert "has no method of an Observer" in misfits(Idle(), Observer)


@pytest.mark.parametrize("error", ["RuntimeError", "SystemExit"])
def test_a_property_that_raises_is_a_method_that_is_missing(site, error):
    install(
        site,
        "compressor",
        "class Broken:\n    def compress(self, body): ...\n"
        f"    @property\n    def decompress(self): raise {error}('no zlib')",
    )
    assert f"lacks decompress() (asking for it raised {error}: no zlib)" in refused("compressor")


# ── imports, hooks and factories that raise ──

RAISED = [
    "SystemExit(3)",
    "type('Odd', (BaseException,), {})('odd')",
    "GeneratorExit()",
    "RuntimeError('a\\nb\\x1b[2J')",
    "type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()",
]


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_an_import_raises_is_an_error_with_the_line(site, raised):
    place = install(site, "codec", f"raise {raised} #!")
    said = refused("codec")
    assert place in said
    assert said.isprintable()


def test_a_module_that_cannot_be_compiled_is_an_error_with_the_line(site):
    place = install(site, "codec", "def broken(: #!")
    assert place in refused("codec")


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_a_hook_raises_is_an_error_with_the_line(site, raised):
    place = install(site, "codec", "def fail():\n    raise " + raised + " #!", "fail()")
    # The line of the hook's module, and not of what it calls elsewhere.
    said = refused_by_hook("codec")
    assert "its hook bee_register_codecs failed" in said
    assert place in said


def refused_by_hook(kind):
    with pytest.raises(PluginError, match="bee-broken") as caught:
        PluginHub(disabled=()).create(Ref(), kind)
    return str(caught.value)


def test_what_the_registrar_refuses_is_told_with_the_line_of_the_hook(site):
    source = MODULE.format(body="", hook=REGISTER_HOOKS["codec"], factory="3")
    site.module("broken_plugin", source)
    site.distribution("bee-broken", {"codec": {"broken": "broken_plugin"}})
    assert f"{site.root / 'broken_plugin.py'}:6" in refused_by_hook("codec")


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_a_factory_raises_is_an_error_with_the_line(site, raised):
    place = install(
        site, "codec", f"class Broken:\n    def __init__(self):\n        raise {raised} #!"
    )
    said = refused("codec")
    assert "could not be made" in said
    assert place in said


@pytest.mark.parametrize("where", ["import", "hook", "factory"])
def test_ctrl_c_is_not_taken_for_a_fault_of_the_plugin(site, where):
    body = {
        "import": "raise KeyboardInterrupt",
        "hook": "def stop(): raise KeyboardInterrupt",
        "factory": "def Broken(): raise KeyboardInterrupt",
    }[where]
    install(site, "codec", body, "stop()" if where == "hook" else "Broken")
    with pytest.raises(KeyboardInterrupt):
        PluginHub(disabled=()).create(Ref(), "codec")


# ── where it shows ──

ONE_METHOD = "class Broken:\n    def bind(self): ... #!"


def client_of(**service):
    return {"bee": {"rpc": {"client": {"calc": {"address": "127.0.0.1:1", **service}}}}}


def test_each_way_to_build_refuses_a_broken_plugin(site):
    place = install(site, "codec", ONE_METHOD)
    with pytest.raises(PluginError, match=re.escape(place)):
        bee_core.build_client(client_of(codec="broken"))

    async def build():
        async with bee_core.build_async_client(client_of(codec="broken")):
            pass

    with pytest.raises(PluginError, match=re.escape(place)):
        asyncio.run(build())
    with pytest.raises(PluginError, match=re.escape(place)):
        bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": "calc", "codecs": ["json", "broken"]}}}}
        )


def ask(capsys, *arguments):
    code = main(arguments)
    return code, capsys.readouterr().out


def test_bee_check_names_the_key_the_plugin_and_the_line(site, tmp_path, capsys):
    place = install(site, "codec", ONE_METHOD)
    (tmp_path / "bee.yml").write_text(
        "bee:\n  rpc:\n    client:\n      calc:\n        address: calc:1\n        codec: broken\n"
    )
    code, said = ask(capsys, "check", str(tmp_path / "bee.yml"))
    assert code == 1
    assert f"{tmp_path / 'bee.yml'}:6: bee.rpc.client.calc.codec: codec 'broken'" in said
    assert place in said


def test_bee_plugins_checks_only_when_asked_and_exits_with_1(site, capsys):
    place = install(site, "codec", ONE_METHOD)
    code, said = ask(capsys, "plugins", "--json")
    row = next(row for row in json.loads(said) if row["name"] == "broken")
    assert (code, row["loadable"]) == (0, True)
    code, said = ask(capsys, "plugins", "--check", "--json")
    row = next(row for row in json.loads(said) if row["name"] == "broken")
    assert (code, row["loadable"], row["wrong"]) == (1, False, True)
    assert place in row["reason"]


def test_a_plugin_whose_options_have_no_defaults_is_checked_by_its_class(site):
    body = (
        "import attrs\n@attrs.frozen\nclass Options:\n    size: int\n"
        "class Broken:\n    def __init__(self, options): ...\n    def bind(self): ... #!"
    )
    place = install(site, "codec", body, "Broken, Options")
    row = next(r for r in list_installed(PluginHub(), check=True) if r.name == "broken")
    assert place in row.reason
    assert row.wrong


def test_a_package_that_is_not_installed_and_a_name_that_is_blocked_are_not_wrong(site):
    site.module("needy", "import a_package_that_is_not_there\n")
    site.distribution("bee-needy", {"limiter": {"needy": "needy [fancy]"}})
    rows = {
        (row.kind, row.name): row
        for row in list_installed(PluginHub(disabled={"gzip"}), check=True)
    }
    for key in (("limiter", "needy"), ("compressor", "gzip")):
        assert (rows[key].loadable, rows[key].wrong) == (False, False)


def test_what_bee_brings_is_right(capsys):
    code, said = ask(capsys, "plugins", "--check", "--json")
    assert code == 0
    assert {row["reason"] for row in json.loads(said)} == {""}


# ── what plugins make in turn ──


class HalfBound:
    """A codec whose bound form cannot decode a result."""

    def bind(self, signature):
        bound = JsonCodec().bind(signature)

        class Half:
            encode_args, decode_args = bound.encode_args, bound.decode_args
            encode_result = bound.encode_result

        return Half()


def test_what_a_codec_binds_is_checked_as_it_is_bound():
    offered = offering("codec", "half", HalfBound)
    with (
        bee_core.build_client(client_of(codec="half"), plugins=[offered]) as client,
        pytest.raises(PluginFault, match="Half lacks decode_result") as caught,
    ):
        client.service("calc").add(1, 2)
    assert (caught.value.plugin, caught.value.executed) == ("codec 'half'", "no")
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "codecs": "half"}}}}, plugins=[offered]
    )
    with pytest.raises(PluginError, match=r"codec 'half': what bind.* lacks decode_result"):
        server.add(Calculator())


def test_whatever_a_codec_raises_as_it_is_bound_is_an_error_that_names_it(site):
    place = install(
        site, "codec", "class Broken:\n    def bind(self, signature):\n        {}['x'] #!"
    )
    with (
        bee_core.build_client(client_of(codec="broken")) as client,
        pytest.raises(PluginFault, match="bind raised KeyError") as caught,
    ):
        client.service("calc").add(1, 2)
    assert place in str(caught.value)
    assert (caught.value.service, caught.value.method) == ("calc", "add")
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "codecs": "broken"}}}}
    )
    with pytest.raises(PluginError, match="bind raised KeyError") as refused_to_bind:
        server.add(Calculator())
    assert place in str(refused_to_bind.value)


class HalfListening:
    """A transport whose listener cannot drain."""

    def channel(self, node, settings): ...

    def async_channel(self, node, settings): ...

    async def listen(self, url, endpoint, settings):
        class Half:
            def stop_accepting(self): ...

            async def close(self): ...

        listener = Half()
        listener.url = url
        return listener


def test_what_a_transport_listens_with_is_checked_as_it_is_made():
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "half://127.0.0.1:0"}}}},
        plugins=[offering("transport", "half", HalfListening)],
    )
    server.add(Calculator())
    with (
        pytest.raises(PluginError, match=r"transport 'half': what listen.* lacks drain"),
        server.in_thread(),
    ):
        pass


def test_calls_check_nothing(monkeypatch):
    checked = []
    monkeypatch.setattr(conformance, "_missing", lambda *arguments: checked.append(arguments) or ())
    with (
        serving(Calculator()) as server,
        bee_core.build_client(client_of(address=server.address)) as client,
    ):
        calc = client.service("calc")
        assert calc.add(1, 2) == 3
        assert checked
        checked.clear()
        assert calc.add(1, 2) == 3
        assert checked == []


# ── where an object comes from ──


def test_the_hub_says_where_an_object_comes_from(site):
    place = install(site, "codec", "class Broken:\n    def bind(self, signature): ... #!")
    hub = PluginHub(disabled=())
    first, second = hub.create(Ref(), "codec"), hub.create(Ref(), "codec")
    for made in (first, second):
        assert str(hub.origin_of(made)) == f"codec 'broken' of bee-broken 2.5 ({place})"
    assert hub.origin_of(object()).title == "plugin 'object'"


def test_the_hub_keeps_no_object_alive():
    hub = PluginHub(disabled=())
    made = hub.create(PluginRef("random"), "balancer")
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_methods_that_each_object_has_for_itself_are_looked_at_in_each():
    whole = SimpleNamespace(
        encode_args=lambda args, kwargs: (0, b""),
        decode_args=lambda form, body: ((), {}),
        encode_result=lambda value: b"",
        decode_result=lambda body: None,
    )
    assert part_misfits(whole, MethodCodec) == ""
    assert "encode_args" in part_misfits(SimpleNamespace(), MethodCodec)
