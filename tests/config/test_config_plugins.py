"""Which keys of a configuration name plugins, and of which kind."""

from __future__ import annotations

from typing import get_args

import attrs

from bee_core.config import (
    ClientConfig,
    MethodConfig,
    PluginRef,
    RegistryConfig,
    ServerConfig,
    load_config,
    named_plugins,
)
from bee_core.config.fields import plugin_kinds
from bee_core.hookspecs import REGISTER_HOOKS

FILE = """\
bee:
  application: {observers: [a-observer, {name: b-observer}]}
  rpc:
    registry: {protocol: r}
    server:
      name: calc
      macher: [json, s-codec]
      compress: s-compressor
      limiter: s-limiter
      observers: s-observer
      interceptors: [s-interceptor]
      address: ["127.0.0.1:0", "s-transport://here"]
    client:
      default: {balancer: d-balancer, observers: d-observer}
      one:
        address: ["a-transport://a", "b-transport://b", "tcp://c:1"]
        breaker: c-breaker
        observers: none
        interceptors: c-interceptor
        methods:
          add: {fail: m-fail}
          sub: {timeout: 1}
      two: {fallback: c-fallback}
"""


def stated(tmp_path):
    file = tmp_path / "bee.yml"
    file.write_text(FILE, encoding="utf-8")
    config = load_config(file)
    return {
        (one.path.removeprefix("bee.rpc."), one.kind, one.ref.name)
        for one in named_plugins(config)
        if one.path in config.lines
    }


def test_every_plugin_that_is_stated_is_named_with_its_key_and_kind(tmp_path):
    assert stated(tmp_path) == {
        ("registry.protocol", "registry", "r"),
        ("server.macher[0]", "codec", "json"),
        ("server.macher[1]", "codec", "s-codec"),
        ("server.compress", "compressor", "s-compressor"),
        ("server.limiter", "limiter", "s-limiter"),
        ("bee.application.observers[0]", "observer", "a-observer"),
        ("bee.application.observers[1]", "observer", "b-observer"),
        ("server.observers", "observer", "s-observer"),
        ("server.interceptors[0]", "interceptor", "s-interceptor"),
        ("client.default.observers", "observer", "d-observer"),
        ("client.one.interceptors", "interceptor", "c-interceptor"),
        ("server.address", "transport", "tcp"),
        ("server.address", "transport", "s-transport"),
        ("client.default.balancer", "balancer", "d-balancer"),
        ("client.one.address", "transport", "a-transport"),
        ("client.one.address", "transport", "b-transport"),
        ("client.one.breaker", "breaker", "c-breaker"),
        ("client.one.methods.add.fail", "fault_tolerance", "m-fail"),
        ("client.two.fallback", "fallback", "c-fallback"),
    }


def test_defaults_are_named_under_the_key_that_would_state_them():
    config = load_config({"bee": {"rpc": {"client": {"calc": {}}, "server": {"name": "calc"}}}})
    found = [(one.path.removeprefix("bee.rpc."), one.ref.name) for one in named_plugins(config)]
    assert found == [
        ("registry.protocol", "direct"),
        ("server.codecs", "json"),
        ("server.compressors", "gzip"),
        ("server.address", "tcp"),
        ("client.calc.fail", "failover"),
        ("client.calc.transport", "tcp"),
        ("client.calc.codec", "json"),
        ("client.calc.compress", "gzip"),
        ("client.calc.balancer", "random"),
    ]


def test_every_field_that_holds_plugins_says_their_kind_and_every_kind_has_a_field():
    kinds = set()
    for cls in (RegistryConfig, ServerConfig, ClientConfig, MethodConfig):
        attrs.resolve_types(cls)
        holding = {
            attribute.name for attribute in attrs.fields(cls) if holds_plugins(attribute.type)
        }
        named = plugin_kinds(cls)
        assert holding == named.keys() - {"protocol"}, cls
        kinds |= set(named.values())
    assert kinds == REGISTER_HOOKS.keys()


def holds_plugins(type_):
    return type_ is PluginRef or any(holds_plugins(part) for part in get_args(type_))
