"""What differs between two configurations, and who takes it over."""

from __future__ import annotations

import attrs
import pytest

from bee_core.config import ServerConfig, load_config
from bee_core.config.differences import differences, in_use, only_calls_differ, told
from bee_core.config.fields import remarks


def config(client=None, environ=None, **rpc):
    if client is not None:
        rpc["client"] = client
    application = rpc.pop("application", {})
    return load_config({"bee": {"application": application, "rpc": rpc}}, environ=environ or {})


def found(old, new, hides=lambda *_: False):
    return [
        (one.path.removeprefix("bee.rpc."), one.old, one.new, one.client, one.server)
        for one in differences(old, new, hides)
    ]


def test_equal_configurations_do_not_differ():
    one = config({"calc": {"timeout": "1"}}, server={"name": "a"})
    other = config({"calc": {"timeout": "1000ms"}}, server={"name": "a"})
    assert differences(one, other) == []
    assert told(one, other) == "the configuration was reloaded: nothing differs"


def test_a_key_of_a_service_is_live():
    old = config({"calc": {"timeout": 3, "balancer": "random", "address": "a:1"}})
    new = config(
        {
            "calc": {
                "timeout": 3.5,
                "balancer": "p2c",
                "address": ["a:1", {"url": "b:1", "weight": 2}],
            }
        }
    )
    assert found(old, new) == [
        ("client.calc.timeout", "3", "3.5", "live", ""),
        ("client.calc.address", "tcp://a:1", "tcp://a:1, tcp://b:1 weight=2", "live", ""),
        ("client.calc.balancer", "random", "p2c", "live", ""),
    ]


def test_services_come_and_go():
    old, new = config({"calc": {}, "stock": {}}), config({"calc": {}, "sums": {}})
    assert found(old, new) == [
        ("client.stock", "stock", None, "live", ""),
        ("client.sums", None, "sums", "live", ""),
    ]


def test_a_default_is_told_once_for_all_its_services():
    services = {"calc": {}, "stock": {}, "own": {"timeout": 7}}
    old = config({"default": {"timeout": 3}, **services})
    new = config({"default": {"timeout": 4}, **services})
    (one,) = differences(old, new)
    assert (one.path, one.old, one.new, one.services) == (
        "bee.rpc.client.default.timeout",
        "3",
        "4",
        ("calc", "stock"),
    )


def test_a_method_has_its_own_and_not_again_what_its_service_has():
    old = config({"calc": {"retries": 1, "methods": {"add": {"timeout": 1}}}})
    new = config(
        {"calc": {"retries": 2, "methods": {"add": {"timeout": 2}, "new": {"retries": 0}}}}
    )
    assert found(old, new) == [
        ("client.calc.retries", "1", "2", "live", ""),
        ("client.calc.methods.add.timeout", "1", "2", "live", ""),
        ("client.calc.methods.new.retries", "1", "0", "live", ""),
    ]


def test_options_are_told_one_by_one():
    old = config({"calc": {"breaker": {"name": "consecutive", "options": {"failures": 3}}}})
    new = config({"calc": {"breaker": {"name": "consecutive", "options": {"failures": 5, "x": 1}}}})
    assert found(old, new) == [
        ("client.calc.breaker.options.failures", "3", "5", "live", ""),
        ("client.calc.breaker.options.x", None, "1", "live", ""),
    ]
    assert found(config({"calc": {}}), new)[0] == (
        "client.calc.breaker",
        None,
        "consecutive",
        "live",
        "",
    )


def test_a_server_needs_a_restart_for_some_and_not_for_others():
    old = config(server={"name": "a", "limiter": "fixed"}, registry={"protocol": "local"})
    new = config(
        server={"name": "b", "workers": 2, "max_in_flight": 5, "codecs": ["json", "msgpack"]},
        registry={
            "protocol": "etcd3",
            "address": "http://u:pw@etcd:2379",
            "options": {"prefix": "/x"},
        },
        application={"name": "n", "observers": ["seen"], "watch": True, "include": []},
    )
    assert found(old, new) == [
        ("bee.application.name", "", "n", "", "restart"),
        ("bee.application.observers", "none", "seen", "", "live"),
        ("bee.application.watch", "false", "true", "", "live"),
        ("registry.protocol", "local", "etcd3", "", "restart"),
        ("registry.address", "none", "http://…@etcd:2379", "", "restart"),
        ("registry.options.prefix", None, "/x", "", "restart"),
        ("server.name", "a", "b", "", "restart"),
        ("server.codecs", "json", "json, msgpack", "", "restart"),
        ("server.max_in_flight", "1024", "5", "", "live"),
        ("server.limiter", "fixed", "none", "", "live"),
        ("server.workers", "1", "2", "", "restart"),
    ]
    assert found(config(), new)[-1] == (
        "bee.rpc.server".removeprefix("bee.rpc."),
        None,
        "b",
        "",
        "restart",
    )


def test_the_bounds_of_bodies_stand_where_they_are_written():
    old, new = (
        config(server={"name": "a", "codecs": {"name": "json", "options": {"max_size": size}}})
        for size in ("1m", "2m")
    )
    assert found(old, new) == [
        ("server.codecs.options.max_size", "1048576", "2097152", "", "live"),
    ]


def test_no_secret_is_shown():
    def one(secret):
        return config(
            {
                "calc": {
                    "token": secret * 20,
                    "metadata": {"key": secret, "same": "x"},
                    "address": "${URL}",
                    "zone": "${ZONE}",
                    "fallback": {"name": "static", "options": {"value": secret}},
                }
            },
            environ={"URL": f"{secret}:1", "ZONE": secret},
            server={"name": "a", "tokens": [secret * 20]},
            registry={"protocol": "etcd3", "options": {"password": secret, "username": "${ZONE}"}},
        )

    shown = found(one("SECRETA"), one("SECRETB"), lambda kind, name, option: option != "username")
    assert {path: (old, new) for path, old, new, *_ in shown} == {
        "registry.options.password": ("…", "…"),
        "registry.options.username": ("${ZONE}", "${ZONE}"),
        "server.tokens": ("…", "…"),
        "client.calc.metadata.key": ("…", "…"),
        "client.calc.address": ("${URL}", "${URL}"),
        "client.calc.zone": ("${ZONE}", "${ZONE}"),
        "client.calc.token": ("…", "…"),
        "client.calc.fallback.options.value": ("…", "…"),
    }
    assert "SECRET" not in told(one("SECRETA"), one("SECRETB"))


def test_settings_of_calls_are_told_from_the_rest():
    def calc(**section):
        return config({"calc": {"address": "a:1", **section}}).client("calc")

    assert only_calls_differ(calc(), calc())
    assert only_calls_differ(calc(), calc(timeout=1, methods={"add": {"retries": 0}}))
    assert not only_calls_differ(calc(), calc(balancer="p2c"))
    assert not only_calls_differ(calc(), calc(address="b:1"))


def test_a_server_that_runs_keeps_what_needs_a_restart():
    running = config(server={"name": "a", "max_in_flight": 1}, registry={"protocol": "local"})
    new = config(server={"name": "b", "max_in_flight": 2}, application={"name": "n", "watch": True})
    held = in_use(running, new)
    assert (held.server.name, held.server.max_in_flight) == ("a", 2)
    assert (held.registry.protocol, held.application.name) == ("local", "")
    assert held.application.watch is True


@pytest.mark.parametrize("name", ["name", "version", "address", "workers", "transports", "codecs"])
def test_what_clients_have_agreed_on_is_not_live(name):
    assert not remarks(attrs.fields_dict(ServerConfig)[name]).live
