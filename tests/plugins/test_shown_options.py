"""The options of a plugin as a text: all that is no secret."""

from __future__ import annotations

from typing import Annotated, Any

import attrs

import bee_core
from bee_core.config import PluginRef
from bee_core.options import Plugin, Seconds
from bee_core.plugins.hub import PluginHub
from bee_core.plugins.shown_options import shown_options


@attrs.frozen
class Inner:
    prefix: str = "/bee"
    password: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Outer:
    within: Annotated[Any, Plugin("registry")] = "inner"
    wait: Seconds = 5.0
    names: frozenset[str] = frozenset()
    more: dict[str, int] = attrs.field(factory=dict)


class Registries:
    @bee_core.hookimpl
    def bee_register_registries(self, registry):
        registry.add("inner", object, options=Inner)
        registry.add("outer", object, options=Outer)
        registry.add("plain", object)


def shown(name, **options):
    return shown_options(PluginHub([Registries()]), PluginRef(name, options), "registry")


def test_every_option_is_shown_and_no_secret():
    assert shown("inner", prefix="/prod", password="secret") == "(prefix='/prod')"


def test_what_is_stated_like_the_default_is_the_same():
    assert shown("inner") == shown("inner", prefix="/bee", password="secret")
    assert shown("outer", wait="5s", within="inner") == shown("outer")


def test_a_plugin_among_the_options_is_shown_with_its_own():
    secret = {"name": "inner", "options": {"prefix": "/x", "password": "secret"}}
    assert shown("outer", within=secret).startswith("(within=inner (prefix='/x') wait=5.0 ")


def test_the_order_of_sets_and_maps_does_not_count():
    names = ["a", "b", "c"]
    one = shown("outer", names=names, more={"x": 1, "y": 2})
    assert one == shown("outer", names=names[::-1], more={"y": 2, "x": 1})
    assert one.endswith("names=['a', 'b', 'c'] more={'x': 1, 'y': 2})")


def test_a_plugin_without_options_has_none_to_show():
    assert shown("plain") == "None"
