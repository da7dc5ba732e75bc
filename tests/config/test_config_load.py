from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from bee_core.config import (
    AddressConfig,
    ClientConfig,
    Config,
    PluginRef,
    ServerConfig,
    load_config,
)
from bee_core.errors import ConfigError
from support.seed import SEED


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "bee.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def load(text, file, **environ):
    return load_config(file(text), environ=environ)


def client(section, **services):
    return load_config(
        {"bee": {"rpc": {"client": {"calc": section, **services}}}}, environ={}
    ).client("calc")


def server(section):
    found = load_config(
        {"bee": {"rpc": {"server": {"name": "calc", **section}}}}, environ={}
    ).server
    assert found is not None
    return found


def test_the_example_file_is_accepted_as_it_stands(file):
    config = load(SEED, file)
    assert config.application.name == "bee-rpc-app"
    assert config.registry is not None
    assert (
        config.registry.protocol,
        config.registry.address,
        config.registry.heartbeat_interval,
    ) == ("etcd3", ("127.0.0.1:2379",), 30.0)
    assert config.server == ServerConfig(
        name="test",
        desc="test service",
        version="2.0",
        register=True,
        address=("tcp://127.0.0.1:9000",),
        max_conn_size=1000,
        max_pool_size=1024,
        backlog=1024,
    )
    assert config.client("test") == ClientConfig(
        name="test",
        version=">=1.0, <2",
        address=(AddressConfig("tcp://127.0.0.1:9000"),),
        fail=PluginRef("failfast"),
        max_size=2 << 20,
        connect_timeout=5,
        read_timeout=10,
        write_timeout=10,
    )


def test_every_value_of_the_file_has_its_line(file):
    config = load(SEED, file)
    assert config.origin("bee.rpc.server.version") == 14
    assert config.origin("bee.rpc.client.test.codec.options.max_size") == 35
    assert config.origin("bee.rpc.client.test.timeout") is None
    assert config.client("test").balancer.path == "bee.rpc.client.test.balancer"
    assert config.server is not None
    assert config.server.codecs[0].path == "bee.rpc.server.macher"


def test_a_path_may_be_text_or_a_path_and_a_config_is_returned_as_it_is(file):
    path = file(SEED)
    assert load_config(str(path)) == load_config(path)
    config = load_config(path)
    assert load_config(config) is config


def test_a_missing_file_is_named_with_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_config("bee.yml")
    assert str(caught.value).startswith("bee.yml: there is no such file")
    assert str(tmp_path / "bee.yml") in str(caught.value)


def test_a_folder_the_text_itself_and_other_objects_are_refused(tmp_path):
    for source, sentence in [
        (tmp_path, "cannot be read"),
        ("bee:\n  rpc: {}\n", "its path is wanted"),
        (7, "not int"),
        ("a\x00b", "cannot be read"),
    ]:
        with pytest.raises(ConfigError, match=sentence):
            load_config(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({}, "is empty"),
        ({"be": {}}, "no key 'bee'"),
        ({"bee": {}, "extra": {}}, "unknown key 'extra'"),
        ({"bee": []}, "section"),
    ],
)
def test_a_mapping_without_bee_or_with_other_roots_is_refused(tree, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_config(tree)


def test_keys_that_begin_with_x_are_a_place_for_anchors(file):
    config = load(
        (
            "x-slow: &slow {timeout: 1m, retries: 0}\n"
            "bee: {rpc: {client: {calc: {<<: *slow, retries: 1}}}}\n"
        ),
        file,
    )
    assert (config.client("calc").timeout, config.client("calc").retries) == (60.0, 1)


def test_empty_sections_are_sections_at_their_defaults(file):
    config = load(
        "bee:\n  application:\n  rpc:\n    registry:\n    server:\n    client:\n      calc:\n", file
    )
    assert (config.registry, config.server, config.application.name) == (None, None, "")
    assert config.client("calc") == ClientConfig(name="calc")


def test_an_unknown_service_is_refused_with_the_nearest_name():
    config = load_config({"bee": {"rpc": {"client": {"calc": {}, "shop": {}}}}})
    with pytest.raises(
        ConfigError, match=r"did you mean 'calc'\? configured: calc, shop"
    ) as caught:
        config.client("clac")
    assert caught.value.path == "bee.rpc.client.clac"


# ── inheritance ───────────────────────────────────────────────────────────────────────────────────


def test_a_method_inherits_from_its_service_and_that_from_default():
    default = {
        "timeout": 20,
        "read_timeout": 4,
        "retries": 5,
        "metadata": {"a": "1", "b": "1"},
        "codec": {"name": "msgpack", "options": {"max_size": "4m"}},
    }
    section = {
        "read_timeout": 3,
        "codec": "json",
        "metadata": {"b": "2", "c": "2"},
        "methods": {
            "Stats.mean": {
                "retries": 0,
                "idempotent": True,
                "metadata": {"c": "3"},
                "fallback": "static",
            }
        },
    }
    calc = client(section, default=default)
    mean, add = calc.method("Stats.mean"), calc.method("add")
    assert (mean.name, mean.timeout, mean.read_timeout, mean.retries, mean.idempotent) == (
        "Stats.mean",
        20.0,
        3.0,
        0,
        True,
    )
    assert (add.name, add.timeout, add.read_timeout, add.retries, add.idempotent) == (
        "add",
        20.0,
        3.0,
        5,
        None,
    )
    assert mean.metadata == {"a": "1", "b": "2", "c": "3"}
    assert add.metadata == {"a": "1", "b": "2", "c": "2"}
    assert mean.fallback == PluginRef("static")
    assert (calc.codec, calc.max_size) == (PluginRef("json"), 4 << 20)


def test_none_takes_back_what_default_states():
    default = {
        "fallback": "static",
        "breaker": "consecutive",
        "limiter": "fixed",
        "compress": "zstd",
    }
    calc = client(
        {
            "breaker": "none",
            "limiter": None,
            "compress": {"name": "none"},
            "methods": {"add": {"fallback": "none"}},
        },
        default=default,
    )
    assert (calc.breaker, calc.limiter, calc.compress) == (None, (), None)
    assert calc.fallback == PluginRef("static")
    assert calc.method("add").fallback is None


def test_an_empty_key_means_no_plugin_only_where_that_is_possible(file):
    assert load("bee: {rpc: {client: {calc: {compress: }}}}", file).client("calc").compress is None
    with pytest.raises(ConfigError, match="no plugin is named here"):
        load("bee: {rpc: {client: {calc: {balancer: }}}}", file)


def test_it_is_known_where_a_value_is_stated(file):
    config = load(
        (
            "bee:\n rpc:\n  client:\n   default:\n    timeout: 9\n"
            "    codec: {name: json, options: {max_size: 1m}}\n   calc:\n"
            "    methods: {add: {retries: 1}}\n"
        ),
        file,
    )
    assert config.stated("calc", "timeout", "add") == "bee.rpc.client.default.timeout"
    assert config.stated("calc", "max_size") == "bee.rpc.client.default.codec.options.max_size"
    assert config.stated("calc", "retries", "add") == "bee.rpc.client.calc.methods.add.retries"
    assert config.stated("calc", "retries") is None
    assert config.origin("bee.rpc.client.default.timeout") == 5


# ── forms ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_address_is_a_url_a_mapping_or_a_list_of_both():
    assert client({"address": "calc:1"}).address == (AddressConfig("tcp://calc:1"),)
    mixed = [
        "calc:1",
        {"url": "tls://calc:2", "weight": 0.5, "version": 1.5, "tags": ["eu", "new"]},
        {"url": "unix:///run/calc"},
    ]
    assert client({"address": mixed}).address == (
        AddressConfig("tcp://calc:1"),
        AddressConfig("tls://calc:2", 0.5, "1.5", frozenset({"eu", "new"})),
        AddressConfig("unix:///run/calc"),
    )


def test_a_server_listens_on_one_address_or_several():
    assert server({"address": {"url": "0.0.0.0:0"}}).address == ("tcp://0.0.0.0:0",)
    assert server({"address": ["calc:1", {"url": "unix:///run/calc"}]}).address == (
        "tcp://calc:1",
        "unix:///run/calc",
    )
    assert server({}).address == ("tcp://127.0.0.1:0",)


@pytest.mark.parametrize("key", ["macher", "codec", "codecs"])
def test_the_server_names_its_codecs_under_each_spelling(key):
    found = server(
        {
            key: [
                {
                    "name": "json",
                    "options": {"max_size": "4m", "max_inflated": "8m", "strict": True},
                },
                "msgpack",
            ]
        }
    )
    assert found.codecs == (PluginRef("json", {"strict": True}), PluginRef("msgpack"))
    assert [ref.path for ref in found.codecs] == [
        f"bee.rpc.server.{key}[0]",
        f"bee.rpc.server.{key}[1]",
    ]
    assert (found.max_size, found.max_inflated) == (4 << 20, 8 << 20)


def test_the_server_takes_no_compressor_one_or_several():
    assert server({"compress": "none"}).compressors == ()
    assert server({"compressors": ["gzip", "zstd"]}).compressors == (
        PluginRef("gzip"),
        PluginRef("zstd"),
    )
    assert server({}).compressors == (PluginRef("gzip"),)


def test_a_server_knows_the_options_of_the_transport_of_a_scheme():
    found = server({"transport": {"name": "tls", "options": {"certificate": "a.pem"}}})
    assert found.transport("tls").options == {"certificate": "a.pem"}
    assert found.transport("tcp") == PluginRef("tcp")


def test_registry_addresses_are_one_a_list_or_separated_by_commas():
    for written in ("a:1, b:2", ["a:1", "b:2"]):
        config = load_config(
            {
                "bee": {
                    "rpc": {
                        "registry": {
                            "protocol": "zk",
                            "address": written,
                            "options": {"prefix": "/x"},
                        }
                    }
                }
            }
        )
        assert config.registry is not None
        assert config.registry.address == ("a:1", "b:2")
        assert config.registry.plugin == PluginRef("zk", {"prefix": "/x"})
        assert config.registry.plugin.path == "bee.rpc.registry"


def test_tags_are_a_list_or_separated_by_commas():
    assert (
        client({"tags": "eu, new"}).tags
        == client({"tags": ["new", "eu"]}).tags
        == frozenset({"eu", "new"})
    )


def test_options_of_plugins_stay_as_they_are_written(file):
    options = (
        load("bee: {rpc: {client: {calc: {balancer: {name: x, options: {size: 1.10}}}}}}", file)
        .client("calc")
        .balancer.options
    )
    assert options == {"size": "1.10"}
    assert client({"balancer": {"name": "x", "options": {"size": 3}}}).balancer.options == {
        "size": 3
    }


def test_values_of_options_do_not_show_in_a_repr(file):
    config = load(
        (
            "bee: {rpc: {registry: {protocol: x, options: {password: hunter2}}, client: {calc: "
            "{codec: {name: x, options: {token: hunter2}}}}}}"
        ),
        file,
    )
    assert "hunter2" not in repr(config)


def test_the_environment_is_read_when_the_configuration_is(file, monkeypatch):
    monkeypatch.setenv("CALC_PORT", "9001")
    path = file(
        "bee: {rpc: {client: {calc: {address: 'calc:${CALC_PORT}', retries: '${RETRIES:-3}'}}}}"
    )
    assert load_config(path).client("calc").address == (AddressConfig("tcp://calc:9001"),)
    assert load_config(path, environ={"CALC_PORT": "1", "RETRIES": "4"}).client("calc").retries == 4


def test_a_configuration_can_be_pickled(file):
    config = load(SEED, file)
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_configuration_can_be_made_in_python():
    config = Config(clients={"calc": ClientConfig(name="calc", address=(AddressConfig("calc:1"),))})
    assert config.client("calc").address[0].url == "tcp://calc:1"
    assert config.origin("bee.rpc.client.calc") is None
    with pytest.raises(ValueError, match="0 or more"):
        ClientConfig(retries=-1)
    with pytest.raises(ValueError, match="has no port"):
        ServerConfig(name="calc", address=("calc",))


def test_importing_bee_core_loads_neither_yaml_nor_cattrs():
    code = (
        "import sys, bee_core; print([name for name in ('yaml', 'cattrs', 'bee_core.config') "
        "if name in sys.modules])"
    )
    path = [str(Path(entry)) for entry in sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
