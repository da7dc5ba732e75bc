"""Each hook is called for what it promises, has a test below, and stands in the documentation."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from bee_core import hookspecs, interfaces
from bee_core.hookspecs import REGISTER_HOOKS
from bee_core.plugins.hub import PluginHub
from support.plugin_objects import offering

DOCS = Path(__file__).resolve().parent.parent / "docs" / "plugins.md"

HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if name.startswith("bee_") and inspect.isfunction(function)
}


def registers(kind, hook):
    assert REGISTER_HOOKS[kind] == hook
    offered = offering(kind, "thing", lambda: hook)
    hub = PluginHub(plugins=[offered], entry_points=[], disabled=())
    assert hub.load(kind, "thing").factory() == hook


def test_bee_register_codecs_offers_codecs():
    registers("codec", "bee_register_codecs")


def test_bee_register_compressors_offers_compressors():
    registers("compressor", "bee_register_compressors")


def test_bee_register_transports_offers_transports():
    registers("transport", "bee_register_transports")


def test_bee_register_registries_offers_registries():
    registers("registry", "bee_register_registries")


def test_bee_register_balancers_offers_balancers():
    registers("balancer", "bee_register_balancers")


def test_bee_register_fault_tolerances_offers_fault_tolerances():
    registers("fault_tolerance", "bee_register_fault_tolerances")


def test_bee_register_breakers_offers_breakers():
    registers("breaker", "bee_register_breakers")


def test_bee_register_limiters_offers_limiters():
    registers("limiter", "bee_register_limiters")


def test_bee_register_fallbacks_offers_fallbacks():
    registers("fallback", "bee_register_fallbacks")


def test_bee_register_observers_offers_observers():
    registers("observer", "bee_register_observers")


def test_bee_register_interceptors_offers_interceptors():
    registers("interceptor", "bee_register_interceptors")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test_here(hook):
    assert any(name.startswith(f"test_{hook}_") for name in globals()), f"write test_{hook}_…"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_stands_in_the_documentation(hook):
    assert f"`{hook}(" in DOCS.read_text(encoding="utf-8"), (
        f"describe `{hook}(…)` in docs/plugins.md"
    )


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_what_it_wants(hook):
    function = HOOKS[hook]
    assert len(inspect.getdoc(function) or "") > 80
    assert set(function.__annotations__) == {*inspect.signature(function).parameters, "return"}


def test_every_register_hook_belongs_to_one_kind():
    assert sorted(REGISTER_HOOKS.values()) == sorted(HOOKS)


@pytest.mark.parametrize("kind", REGISTER_HOOKS)
def test_every_kind_stands_in_the_documentation_with_its_group(kind):
    assert f"`bee.{kind}`" in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("hook", REGISTER_HOOKS.values())
def test_every_register_hook_takes_factories_of_a_documented_contract(hook):
    contract = HOOKS[hook].__annotations__["registry"].removeprefix("Registrar[").removesuffix("]")
    assert inspect.getdoc(getattr(interfaces, contract))
