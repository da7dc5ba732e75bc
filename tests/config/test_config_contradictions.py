from __future__ import annotations

import pytest

from bee_core.config import load_config, warnings, yaml_tree


def found(rpc):
    return [
        (warning.path.removeprefix("bee.rpc."), warning.message)
        for warning in warnings(load_config({"bee": {"rpc": rpc}}))
    ]


def of_client(section):
    return found({"client": {"calc": {"address": "calc:1", **section}}})


def of_server(section, **rpc):
    return found({"server": {"name": "calc", **section}, **rpc})


def test_the_defaults_do_not_contradict_each_other():
    assert of_client({}) == []
    assert of_server({}) == []


@pytest.mark.parametrize(
    ("section", "path", "sentence"),
    [
        (
            {"timeout": 10, "read_timeout": 10, "idempotent": True},
            "read_timeout",
            "leaves no time for a retry, and no breaker counts it; write read_timeout: 3.3",
        ),
        ({"fail": "failover"}, "idempotent", "only calls that provably did not run are retried"),
        ({"fail": "failtry", "retries": 1, "idempotent": False}, "idempotent", "is marked false"),
        ({"fallback": "last-good"}, "fallback", "only if the call is idempotent"),
        ({"connect_timeout": 40}, "connect_timeout", "lower connect_timeout"),
        ({"fail": "failfast", "retries": 3}, "retries", "has no effect"),
        ({"fail": "failfast", "methods": {"a": {"retries": 3}}}, "methods.a.retries", "no effect"),
        (
            {"codec": {"name": "json", "options": {"max_inflated": "1m"}}},
            "codec.options.max_inflated",
            "is below max_size",
        ),
        ({"compress_above": "3m"}, "compress_above", "are compressed anyway"),
        (
            {"compress": "none", "compress_above": "1m"},
            "compress_above",
            "no compressor is configured",
        ),
        ({"address": []}, "address", "has no node"),
        ({"address": {"url": "calc:1", "weight": 0}}, "address", "none gets calls"),
        (
            {"methods": {"add": {"fail": "failover"}}},
            "methods.add.idempotent",
            "provably did not run",
        ),
        ({"timeout": 2, "idempotent": True}, "read_timeout", "write read_timeout: 0.67,"),
        ({"read_timeout": 90, "idempotent": True}, "read_timeout", "write read_timeout: 10,"),
        (
            {"methods": {"add": {"timeout": 1, "read_timeout": 1, "idempotent": True}}},
            "methods.add.read_timeout",
            "write read_timeout: 0.33,",
        ),
        (
            {"methods": {"log": {"oneway": True, "idempotent": True}}},
            "methods.log.idempotent",
            "sent once and never again",
        ),
    ],
)
def test_a_contradiction_in_a_service_is_named(section, path, sentence):
    (warning, *_) = [
        message for where, message in of_client(section) if where == f"client.calc.{path}"
    ]
    assert sentence in warning


@pytest.mark.parametrize(
    "section",
    [
        {"timeout": 2, "idempotent": True, "retries": 0},
        {"timeout": 2, "idempotent": True, "fail": "failfast", "connect_timeout": 1},
        {"timeout": 3, "idempotent": True, "read_timeout": 1},
        {"fail": "failover", "idempotent": True},
        {"fail": "failover", "methods": {"get": {"idempotent": True}}},
        {"fail": "failfast", "retries": 0},
        # The retries are for the other methods.
        {"retries": 1, "idempotent": True, "methods": {"add": {"fail": "failfast"}}},
        {"methods": {"get": {"idempotent": True, "retries": 4}}},
        {"methods": {"log": {"oneway": True, "retries": 4}}},
        # No call may be repeated that a node may have begun, so a node that hangs costs no retry.
        {"timeout": 10, "read_timeout": 10},
        # Only the other side is written; nobody wrote connect_timeout.
        {"timeout": 1},
        {"methods": {"add": {"timeout": 1}}},
    ],
)
def test_what_goes_together_is_not_warned_of(section):
    assert of_client(section) == []


def hedging(**options):
    return {"name": "failbackup", "options": options}


def within(name):
    return {"name": "subset", "options": {"size": 3, "within": name}}


ZONE = {"name": "zone", "options": {"zone": "a"}}


@pytest.mark.parametrize(
    ("section", "path", "sentence"),
    [
        ({"fail": "failbackup", "retries": 0}, "retries", "one of the retries, so none is made"),
        ({"fail": hedging(delay="2 s"), "timeout": 2}, "fail", "after 2 s, and timeout ends"),
        ({"fail": hedging(delay=12)}, "fail", "12 s, and read_timeout ends the first one after 10"),
        (
            {"methods": {"get": {"fail": hedging(delay=1), "read_timeout": 1}}},
            "methods.get.fail",
            "lower delay",
        ),
        ({"fail": "failbackup"}, "idempotent", "no second attempt begins"),
        ({"fail": "failtry"}, "idempotent", "repeated only where the server has deduplicate"),
        ({"balancer": ZONE}, "breaker", "no breaker is configured"),
        ({"balancer": within(ZONE)}, "breaker", "no breaker is configured"),
    ],
)
def test_a_policy_that_can_do_nothing_is_named(section, path, sentence):
    (message,) = [
        message for where, message in of_client(section) if where == f"client.calc.{path}"
    ]
    assert sentence in message


@pytest.mark.parametrize(
    "section",
    [
        {"fail": hedging(delay="500 ms"), "idempotent": True},
        {"fail": hedging(percentile=99), "idempotent": True},
        {"fail": hedging(delay="soon"), "idempotent": True},  # the plugin complains
        {"balancer": ZONE, "breaker": "consecutive"},
        {"balancer": within("p2c")},
        {"balancer": {"name": "subset"}},
    ],
)
def test_a_policy_that_can_do_its_work_is_not_warned_of(section):
    assert of_client(section) == []


def test_a_throttle_at_a_server_is_named():
    throttle = ["throttle", {"name": "fixed", "options": {"max_in_flight": 1}}]
    section = {"limiter": throttle, "methods": {"add": {"limiter": "throttle"}}}
    assert [
        path for path, message in of_server(section) if "throttle is for clients" in message
    ] == [
        "server.limiter",
        "server.methods.add.limiter",
    ]
    assert of_server({"limiter": throttle[1]}) == []


def test_what_a_method_inherits_is_warned_of_once():
    assert [
        path
        for path, _ in of_client(
            {
                "timeout": 5,
                "read_timeout": 6,
                "connect_timeout": 6,
                "idempotent": True,
                "methods": {"add": {"metadata": {"a": "b"}}},
            }
        )
    ] == [
        "client.calc.read_timeout",
        "client.calc.connect_timeout",
    ]


def test_all_methods_that_a_hung_node_takes_with_it_have_one_warning():
    methods = {"get": {"idempotent": True}, "list": {"idempotent": True}, "add": {}}
    assert [path for path, _ in of_client({"timeout": 2, "methods": methods})] == [
        "client.calc.read_timeout"
    ]
    methods["list"]["timeout"] = 1
    assert [path for path, _ in of_client({"timeout": 2, "methods": methods})] == [
        "client.calc.read_timeout",
        "client.calc.methods.list.read_timeout",
    ]


def test_a_read_timeout_by_default_is_warned_of_where_the_timeout_stands(tmp_path):
    file = tmp_path / "bee.yml"
    file.write_text(
        "bee:\n rpc:\n  client:\n   calc:\n    address: calc:1\n    idempotent: true\n    timeout: 2\n"
    )
    (warning,) = warnings(load_config(file))
    assert str(warning).startswith(f"{file}:7: bee.rpc.client.calc.read_timeout: ")


@pytest.mark.parametrize(
    ("section", "rpc", "path", "sentence"),
    [
        ({"max_buffered": "32m"}, {}, "max_buffered", "run one at a time, beyond the bound"),
        ({"max_buffered": "100m"}, {}, "max_buffered", "half of max_buffered"),
        (
            {"register": True, "address": "0.0.0.0:9000"},
            {"registry": {"protocol": "etcd3"}},
            "advertise",
            "state the one that clients reach",
        ),
        ({"register": True}, {}, "register", "no registry is configured"),
        ({"on_breaking": "warn"}, {}, "on_breaking", "add register: true"),
        ({"register": True}, {"registry": {"protocol": "direct"}}, "register", "announces nothing"),
        ({"workers": 2, "address": "memory://calc"}, {}, "workers", "cannot have several workers"),
        (
            {"codec": {"name": "json", "options": {"max_size": "2m", "max_inflated": "1m"}}},
            {},
            "codec.options.max_inflated",
            "is below max_size",
        ),
    ],
)
def test_a_contradiction_in_the_server_is_named(section, rpc, path, sentence):
    ((where, message),) = of_server(section, **rpc)
    assert where == f"server.{path}"
    assert sentence in message


def test_a_server_that_says_where_it_is_reached_may_listen_everywhere():
    assert (
        of_server(
            {"register": True, "address": "0.0.0.0:9000", "advertise": "10.0.0.1:9000"},
            registry={"protocol": "etcd3"},
        )
        == []
    )


def test_a_warning_names_file_and_line_of_the_value(tmp_path):
    file = tmp_path / "bee.yml"
    file.write_text(
        (
            "bee:\n rpc:\n  client:\n   default:\n    connect_timeout: 40\n"
            "   calc: {address: 'calc:1'}\n"
        ),
        encoding="utf-8",
    )
    (warning,) = warnings(load_config(file))
    assert str(warning).startswith(f"{file}:5: bee.rpc.client.calc.connect_timeout: ")


@pytest.mark.parametrize(
    "section",
    [
        {"transport": "tls"},
        {
            "transport": {"name": "tls", "options": {"ca": "ca.pem"}},
            "address": ["calc:1", "unix:///run/calc"],
        },
    ],
)
def test_a_transport_that_no_address_of_a_client_has_is_not_used_in_silence(section):
    ((path, message),) = of_client(section)
    assert path == "client.calc.transport"
    assert "tcp://calc:1 has tcp://, so tls is not used; write tls:// in the address" in message


def test_a_transport_is_used_by_one_address_or_by_nodes_of_a_registry():
    assert of_client({"transport": "tls", "address": ["calc:1", "tls://calc:2"]}) == []
    assert (
        found(
            {
                "registry": {"protocol": "local"},
                "client": {"calc": {"address": "calc:1", "transport": "tls"}},
            }
        )
        == []
    )


def test_a_transport_of_default_is_missed_where_the_scheme_may_have_been_forgotten():
    client = {
        "default": {"transport": "tls"},
        "tls": {"address": "tls://a:1"},
        "here": {"address": "unix:///run/a"},
        "forgotten": {"address": "a:1"},
    }
    assert [path for path, _ in found({"client": client})] == ["client.forgotten.transport"]


def test_a_server_is_told_of_transports_that_none_of_its_addresses_has():
    ((path, message),) = of_server({"address": "127.0.0.1:9443", "transports": ["tcp", "tls"]})
    assert path == "server.transports[1]"
    assert "so tls is not used" in message
    assert of_server({"address": "tls://127.0.0.1:9443", "transport": "tls"}) == []


@pytest.mark.parametrize(
    ("registry", "server", "warned"),
    [
        ("{protocol: etcd3, address: 192.0.2.1:2379}", "", True),
        ("{protocol: etcd3, address: [127.0.0.1:2379, registry.example:2379]}", "", True),
        (
            "{protocol: etcd3, address: 192.0.2.1:2379}",
            ", address: 0.0.0.0:1, advertise: localhost:1",
            True,
        ),
        ("{protocol: etcd3, address: 192.0.2.1:2379}", ", advertise: 10.0.0.1:9000", False),
        ("{protocol: etcd3, address: 192.0.2.1:2379}", ", address: 10.0.0.1:9000", False),
        ("{protocol: etcd3, address: 127.0.0.1:2379}", "", False),
        ("{protocol: etcd3}", "", False),
        ("{protocol: local}", "", False),
    ],
)
def test_a_loopback_address_for_a_registry_elsewhere(
    registry: str, server: str, warned: bool
) -> None:
    text = f"bee: {{rpc: {{registry: {registry}, server: {{name: s, register: true{server}}}}}}}"
    found = [one.message for one in warnings(load_config(yaml_tree.parse(text)))]
    assert any("only this machine can dial it" in message for message in found) == warned
