from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_core.config import ClientConfig, Config, RegistryConfig, ServerConfig, load_config
from bee_core.config.fields import keys_of
from bee_core.errors import ConfigError


def failure(tree, **environ):
    with pytest.raises(ConfigError) as caught:
        load_config({"bee": tree}, environ=environ)
    return caught.value


def of_client(section, **environ):
    return failure({"rpc": {"client": {"calc": section}}}, **environ)


def of_server(section):
    return failure({"rpc": {"server": {"name": "calc", **section}}})


CLIENT = "bee.rpc.client.calc"


@pytest.mark.parametrize(
    ("section", "path", "sentence"),
    [
        ({"balancr": "random"}, "balancr", "did you mean 'balancer'?"),
        ({"readTimeout": 3}, "readTimeout", "did you mean 'read_timeout'?"),
        ({"qqq": 3}, "qqq", "known here: timeout"),
        ({"name": "x"}, "name", "unknown key 'name'"),
        ({"deduplicate": {}}, "deduplicate", "of servers; write it as bee.rpc.server.deduplicate"),
        ({"max_size": "2m"}, "max_size", f"write it as {CLIENT}.codec.options.max_size"),
        ({"timeout": -1}, "timeout", "is negative"),
        ({"timeout": 0}, "timeout", "write more than 0"),
        ({"timeout": "soon"}, "timeout", "'soon' is not a time in seconds"),
        ({"retries": 2.7}, "retries", "2.7 is not a whole number"),
        ({"retries": "2.7"}, "retries", "'2.7' is not a whole number"),
        ({"retries": True}, "retries", "True is not a whole number"),
        ({"retries": -1}, "retries", "write 0 or more"),
        ({"retries": None}, "retries", "no value is given here"),
        ({"idempotent": "maybe"}, "idempotent", "'maybe' is not true or false"),
        ({"version": ">=one"}, "version", "one"),
        ({"version": True}, "version", "is not a version"),
        ({"balancer": 7}, "balancer", "a section with keys is wanted"),
        ({"balancer": ""}, "balancer", "a text that is not empty"),
        ({"balancer": {"options": {}}}, "balancer.name", "this key is missing"),
        ({"balancer": {"name": "x", "option": {}}}, "balancer.option", "did you mean 'options'?"),
        (
            {"balancer": {"name": "x", "options": [1]}},
            "balancer.options",
            "a section with keys is wanted",
        ),
        ({"balancer": ["a", "b"]}, "balancer", "a section with keys is wanted"),
        (
            {"codec": {"name": "json", "options": {"max_size": "2 x"}}},
            "codec.options.max_size",
            "is not a size",
        ),
        (
            {"codec": {"name": "json", "options": {"max_size": 10}}},
            "codec.options.max_size",
            "from 1k to 1g",
        ),
        (
            {"codec": {"name": "json", "options": {"max_inflated": "8g"}}},
            "codec.options.max_inflated",
            "from 1k to 1g",
        ),
        ({"address": "calc:99999"}, "address", "port 99999 is not between 0 and 65535"),
        ({"address": "calc:0"}, "address", "0 is for servers alone"),
        (
            {"address": ["calc:1", {"url": "calc:2", "weigth": 1}]},
            "address[1].weigth",
            "did you mean 'weight'?",
        ),
        ({"address": [{"url": "calc:2", "weight": -1}]}, "address[0].weight", "0 or more"),
        ({"address": [{"url": "calc:2", "version": "x.y"}]}, "address[0].version", "'x.y'"),
        ({"address": [{"weight": 1}]}, "address[0].url", "this key is missing"),
        ({"metadata": {"a": 1}}, "metadata.a", "1 is not text"),
        ({"metadata": ["a"]}, "metadata", "a section with keys is wanted"),
        ({"tags": {"a": "b"}}, "tags", "is not text"),
        (
            {"methods": {"add": {"balancer": "random"}}},
            "methods.add.balancer",
            f"write it as {CLIENT}.balancer",
        ),
        (
            {"methods": {"Stats.mean": {"codec": "json"}}},
            "methods.Stats.mean.codec",
            f"write it as {CLIENT}.codec",
        ),
        (
            {"methods": {"Stats.mean": {"timeout": "x"}}},
            "methods.Stats.mean.timeout",
            "is not a time",
        ),
        ({"methods": {"add": {"retires": 1}}}, "methods.add.retires", "did you mean 'retries'?"),
        ({"methods": ["add"]}, "methods", "a section with keys is wanted"),
        ({"methods": {" ": {}}}, "methods", "one of the names is empty"),
    ],
)
def test_what_is_wrong_in_a_service_is_named_with_its_path(section, path, sentence):
    error = of_client(section)
    assert error.path == f"{CLIENT}.{path}"
    assert sentence in error.message
    assert error.problems == (error,)


@pytest.mark.parametrize(
    ("section", "path", "sentence"),
    [
        ({"name": ""}, "name", "not empty"),
        ({"max_conn_size": 0}, "max_conn_size", "1 or more"),
        ({"workers": "two"}, "workers", "not a whole number"),
        ({"register": "sometimes"}, "register", "not true or false"),
        ({"version": "two"}, "version", "'two'"),
        ({"macher": "json", "codec": "json"}, "codec", "spellings of one key"),
        ({"codecs": "json", "macher": "json"}, "macher", "spellings of one key"),
        ({"codecs": []}, "codecs", "at least one"),
        (
            {"codecs": ["json", {"name": "x", "opts": 1}]},
            "codecs[1].opts",
            "did you mean 'options'?",
        ),
        (
            {"codec": {"name": "json", "options": {"max_size": "x"}}},
            "codec.options.max_size",
            "is not a size",
        ),
        (
            {
                "codecs": [
                    {"name": "a", "options": {"max_size": "1m"}},
                    {"name": "b", "options": {"max_size": "2m"}},
                ]
            },
            "codecs[1].options.max_size",
            "state it once",
        ),
        ({"max_size": "2m"}, "max_size", "write it as bee.rpc.server.codecs.options.max_size"),
        ({"matcher": "json"}, "matcher", "did you mean 'macher'?"),
        ({"address": {"url": "calc:1", "weight": 1}}, "address.weight", "has only 'url'"),
        ({"address": "calc"}, "address", "has no port"),
        ({"address": {"url": "calc"}}, "address.url", "has no port"),
        ({"address": ["calc:1", "calc"]}, "address[1]", "has no port"),
        ({"address": []}, "address", "at least one"),
        ({"advertise": "0.0.0.0:9000"}, "advertise", "an address that clients can reach"),
        ({"drain_timeout": -1}, "drain_timeout", "is negative"),
        ({"weight": "nan"}, "weight", "is not a number"),
    ],
)
def test_what_is_wrong_in_the_server_is_named_with_its_path(section, path, sentence):
    error = of_server(section)
    assert error.path == f"bee.rpc.server.{path}"
    assert sentence in error.message


def test_a_server_without_a_name_is_refused():
    error = failure({"rpc": {"server": {"version": "1"}}})
    assert (error.path, error.message) == (
        "bee.rpc.server.name",
        "this key is missing, and it has no default",
    )


@pytest.mark.parametrize(
    ("tree", "path", "sentence"),
    [
        ({"rcp": {}}, "bee.rcp", "did you mean 'rpc'?"),
        ({"rpc": {"clients": {}}}, "bee.rpc.clients", "did you mean 'client'?"),
        ({"rpc": {"client": []}}, "bee.rpc.client", "a section with keys is wanted"),
        ({"rpc": {"client": {"calc": "x"}}}, CLIENT, "a section with keys is wanted"),
        (
            {"rpc": {"registry": {"heartbeat_interval": 0}}},
            "bee.rpc.registry.heartbeat_interval",
            "more than 0",
        ),
        (
            {"rpc": {"registry": {"adress": "x"}}},
            "bee.rpc.registry.adress",
            "did you mean 'address'?",
        ),
        (
            {"rpc": {"client": {"default": {"methods": {"add": {}}}}}},
            "bee.rpc.client.default.methods",
            "methods belong to one",
        ),
        (
            {"rpc": {"client": {"default": {"retries": "x"}}}},
            "bee.rpc.client.default.retries",
            "not a whole number",
        ),
        ({"application": {"name": 7}}, "bee.application.name", "7 is not text"),
    ],
)
def test_what_is_wrong_elsewhere_is_named_with_its_path(tree, path, sentence):
    error = failure(tree)
    assert error.path == path
    assert sentence in error.message


def test_all_problems_of_a_file_are_reported_at_once_in_the_order_of_the_lines(tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(
        "bee:\n rpc:\n  server:\n   version: x\n   workers: 0\n  client:\n   default:\n"
        "    retries: -1\n   calc:\n    balancr: a\n    timeout: soon\n"
        "    methods:\n     add: {codec: json, idempotent: 3}\n    token: ${NOT_THERE}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    found = [
        (problem.line, problem.path.removeprefix("bee.rpc.")) for problem in caught.value.problems
    ]
    assert sorted(found) == [
        (3, "server.name"),
        (4, "server.version"),
        (5, "server.workers"),
        (8, "client.default.retries"),
        (10, "client.calc.balancr"),
        (11, "client.calc.timeout"),
        (13, "client.calc.methods.add.codec"),
        (13, "client.calc.methods.add.idempotent"),
        (14, "client.calc.token"),
    ]
    assert [line for line, _ in found] == sorted(line for line, _ in found)
    assert len(str(caught.value).splitlines()) == 9
    assert str(caught.value).splitlines()[1].startswith(f"{path}:4: bee.rpc.server.version: ")


def test_what_a_variable_holds_never_shows_in_an_error():
    for section in (
        {"retries": "${SECRET}"},
        {"address": "calc:${SECRET}"},
        {"version": "${SECRET}"},
        {"timeout": "${SECRET}"},
        {"idempotent": "${SECRET}"},
    ):
        error = of_client(section, SECRET="hunter2")
        assert "hunter2" not in str(error)
        assert "hunter2" not in repr(error.value)
        assert "${SECRET}" in str(error)


def test_a_value_in_an_alias_is_reported_at_the_path_where_it_is_used(tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(
        "x-a: &a {retries: many}\nbee:\n rpc:\n  client:\n   calc: *a\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert (caught.value.path, caught.value.line) == (f"{CLIENT}.retries", 1)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["none", "1", "2s", "json", "calc:1", ">=1", "${X}", "a,b", ""]),
    st.text(max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "options", "url", "weight", "max_size", "x"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


def sections(cls, **more):
    return st.one_of(
        values, st.fixed_dictionaries({}, optional={**dict.fromkeys(keys_of(cls), values), **more})
    )


clients = sections(
    ClientConfig,
    methods=st.one_of(
        values, st.dictionaries(st.text(max_size=4), sections(ClientConfig), max_size=2)
    ),
)


trees = st.fixed_dictionaries(
    {},
    optional={
        "registry": sections(RegistryConfig),
        "server": sections(ServerConfig),
        "client": st.one_of(values, st.dictionaries(st.sampled_from(["default", "calc"]), clients)),
    },
)


def check_tree(rpc):
    try:
        config = load_config({"bee": {"rpc": rpc}}, environ={})
    except ConfigError as error:
        problems = error.problems
    else:
        assert isinstance(config, Config)
        problems = ()
    assert all(
        problem.path.startswith("bee.rpc") and problem.message and str(problem)
        for problem in problems
    )


@given(trees)
def test_any_tree_is_a_configuration_or_a_config_error_whose_problems_have_paths(rpc):
    check_tree(rpc)


@pytest.mark.slow
@settings(max_examples=4000)
@given(trees)
def test_any_tree_is_a_configuration_or_a_config_error_in_a_long_run(rpc):
    check_tree(rpc)


@pytest.mark.parametrize("client", ["{adress: a:1}", "{adress: a:1, retries: many}"])
def test_a_traceback_shows_the_error_and_not_that_of_the_converter(tmp_path, client):
    path = tmp_path / "bee.yml"
    path.write_text(f"bee: {{rpc: {{client: {{calc: {client}}}}}}}")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def test_a_key_of_clients_at_a_server_says_where_it_belongs():
    (problem,) = of_server({"breaker": "outlier"}).problems
    assert (problem.path, problem.message) == (
        "bee.rpc.server.breaker",
        "'breaker' is a key of clients; write it under a service in bee.rpc.client",
    )
