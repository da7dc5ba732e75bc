from __future__ import annotations

import json

import pytest

from support.seed import SEED

UNKNOWN_REGISTRY = SEED.replace('"etcd3"', '"registry-of-the-future"')


def test_a_good_file_can_be_used(run, folder):
    result = run("check", "bee.yml")
    assert (result.code, result.out, result.err) == (0, "bee.yml can be used\n", "")


def test_the_file_is_bee_yml_or_from_the_environment_when_none_is_named(
    run, folder, write, monkeypatch
):
    assert run("check").out == "bee.yml can be used\n"
    write("other.yml", "bee: {}")
    monkeypatch.setenv("BEE_CONFIG", "other.yml")
    assert run("check").out == "other.yml can be used\n"


def test_a_plugin_that_is_not_installed_is_the_only_problem_of_a_file_that_is_right_otherwise(
    run, folder, write
):
    write("seed.yml", UNKNOWN_REGISTRY)
    result = run("check", "seed.yml", "--json")
    assert result.code == 1
    found = json.loads(result.out)
    assert not found["usable"]
    (problem,) = found["problems"]
    assert (problem["path"], problem["line"]) == ("bee.rpc.registry.protocol", 7)
    assert problem["message"].startswith("unknown registry 'registry-of-the-future'; installed: ")


def test_every_problem_of_the_file_is_a_line_with_place_and_key(run, folder, write):
    write(
        "bad.yml",
        (
            "bee:\n  rpc:\n    client:\n      calc:\n        timeout: soon\n"
            "        balancre: random\n    server:\n      name: x\n      backlog: -1\n"
        ),
    )
    result = run("check", "bad.yml")
    assert result.code == 1
    lines = result.out.splitlines()
    assert [line.split(": ")[:2] for line in lines[:3]] == [
        ["bad.yml:5", "bee.rpc.client.calc.timeout"],
        ["bad.yml:6", "bee.rpc.client.calc.balancre"],
        ["bad.yml:9", "bee.rpc.server.backlog"],
    ]
    assert lines[3:] == ["bad.yml cannot be used: 3 problems"]


def test_an_option_whose_variable_is_missing_is_not_missed_by_the_plugin_as_well(
    run, folder, write, monkeypatch
):
    monkeypatch.delenv("ETCD_PASSWORD", raising=False)
    write(
        "etcd.yml",
        (
            "bee:\n  rpc:\n    registry:\n      protocol: etcd3\n      options:\n"
            "        username: bee\n        password: ${ETCD_PASSWORD}\n"
            "    client:\n      calc: {balancer: rnadom}\n"
        ),
    )
    found = json.loads(run("check", "etcd.yml", "--json").out)["problems"]
    assert [problem["path"] for problem in found] == [
        "bee.rpc.registry.options.password",
        "bee.rpc.client.calc.balancer",
    ]
    assert "no variable ETCD_PASSWORD" in found[0]["message"]


def test_unknown_plugins_and_wrong_keys_are_told_together(run, folder, write):
    write(
        "mixed.yml",
        (
            "bee:\n  application: {observers: [nobody, {name: nobody-else}]}\n  rpc:\n"
            "    registry: {protocol: etcd9, heartbeat_intervall: 3}\n"
            "    server:\n      nmae: calc\n      macher: {name: jsn, options: {max_size: 2m}}\n"
            "      address: tpc://127.0.0.1:9000\n"
            "    client:\n      default: {fail: failovr}\n      calc:\n        retries: -1\n"
            "        interceptors: {name: roles, options: {}}\n"
            "        codec: {name: json, options: {max_size: -1, colour: red}}\n"
            "        methods: {add: {idempotnt: true, fallback: statc}}\n"
        ),
    )
    result = run("check", "mixed.yml", "--json")
    assert result.code == 1
    found = [
        (problem["line"], problem["path"].removeprefix("bee."))
        for problem in json.loads(result.out)["problems"]
    ]
    assert found == sorted(found, key=lambda one: one[0])
    assert sorted(found) == [
        (2, "application.observers[0]"),
        (2, "application.observers[1]"),
        (4, "rpc.registry.heartbeat_intervall"),
        (4, "rpc.registry.protocol"),
        (5, "rpc.server.name"),
        (6, "rpc.server.nmae"),
        (7, "rpc.server.macher"),
        (8, "rpc.server.address"),
        (10, "rpc.client.default.fail"),
        (12, "rpc.client.calc.retries"),
        (13, "rpc.client.calc.interceptors"),
        (14, "rpc.client.calc.codec.options.colour"),
        (14, "rpc.client.calc.codec.options.max_size"),
        (15, "rpc.client.calc.methods.add.fallback"),
        (15, "rpc.client.calc.methods.add.idempotnt"),
    ]


def test_what_a_listening_transport_wants_is_told_together_with_unknown_plugins(run, folder, write):
    write(
        "tls.yml",
        (
            "bee:\n  rpc:\n    server:\n      name: calc\n      address: tls://127.0.0.1:0\n"
            "      codecs: jsn\n"
        ),
    )
    found = json.loads(run("check", "tls.yml", "--json").out)["problems"]
    assert [problem["path"] for problem in found] == [
        "bee.rpc.server.codecs",
        "bee.rpc.server.transport.options.cert",
    ]


PLUGINS = """\
bee:
  rpc:
    server:
      name: test
      macher: [json, s-codec]
      compress: s-compressor
      transport: {name: tcp, options: {tcp-option: 1}}
      address: ["127.0.0.1:0", "s-transport://here"]
    client:
      default:
        balancer: d-balancer
      one:
        address: "c-transport://there"
        codec: {name: json, options: {no-such-option: 1}}
        compress: c-compressor
        breaker: c-breaker
        limiter: c-limiter
        fallback: c-fallback
        methods:
          add:
            fail: m-fail
            fallback: m-fallback
      two:
        transport: {name: tcp, options: {other-option: 1}}
        fail:
          name: failover
          options: {delay_of: 3}
"""


def test_every_plugin_that_is_named_anywhere_is_loaded_and_its_options_are_checked(
    run, folder, write
):
    write("plugins.yml", PLUGINS)
    found = json.loads(run("check", "plugins.yml", "--json").out)
    assert {
        (problem["path"].removeprefix("bee.rpc."), problem["line"]) for problem in found["problems"]
    } == {
        ("server.macher[1]", 5),
        ("server.compress", 6),
        ("server.transport.options.tcp-option", 7),
        ("server.address", 8),
        ("client.default.balancer", 11),  # once, though two services have it
        ("client.one.address", 13),
        ("client.one.codec.options.no-such-option", 14),
        ("client.one.compress", 15),
        ("client.one.breaker", 16),
        ("client.one.limiter", 17),
        ("client.one.fallback", 18),
        ("client.one.methods.add.fail", 21),
        ("client.one.methods.add.fallback", 22),
        ("client.two.transport.options.other-option", 24),
        ("client.two.fail.options.delay_of", 27),
    }
    assert len(found["problems"]) == 15
    assert not any(problem["message"].startswith("bee.rpc") for problem in found["problems"])


def test_a_default_that_is_blocked_is_reported_for_the_service_that_has_it(
    run, folder, write, monkeypatch
):
    write("one.yml", "bee: {rpc: {client: {one: {address: '127.0.0.1:1'}}}}")
    monkeypatch.setenv("BEE_DISABLE_PLUGINS", "balancer:random")
    (problem,) = json.loads(run("check", "one.yml", "--json").out)["problems"]
    assert problem["path"] == "bee.rpc.client.one.balancer"
    assert problem["message"].startswith("balancer 'random' is blocked by BEE_DISABLE_PLUGINS")


def test_what_contradicts_itself_is_a_warning_and_can_be_used(run, folder, write):
    write(
        "odd.yml",
        (
            "bee:\n  rpc:\n    client:\n      calc:\n        address: 127.0.0.1:1\n"
            "        fail: failfast\n        retries: 2\n"
        ),
    )
    result = run("check", "odd.yml")
    assert result.code == 0
    first, last = result.out.splitlines()
    assert first.startswith("warning: odd.yml:7: bee.rpc.client.calc.retries: failfast tries once")
    assert last == "odd.yml can be used: 1 warning"
    found = json.loads(run("check", "odd.yml", "--json").out)
    assert (found["usable"], found["problems"]) == (True, [])
    assert [(warning["path"], warning["line"]) for warning in found["warnings"]] == [
        ("bee.rpc.client.calc.retries", 7)
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("", "the file is empty"),
        ("bee: [", "this is not YAML"),
        ("a: 1", "has no key 'bee'"),
    ],
)
def test_a_file_that_is_not_there_or_no_configuration_is_a_problem(
    run, folder, write, content, message
):
    if content is not None:
        write("bad.yml", content)
    result = run("check", "bad.yml")
    assert result.code == 1
    assert message in result.out
    assert result.out.endswith("bad.yml cannot be used: 1 problem\n")


TLS = """\
bee:
  rpc:
    server:
      name: calc
      address: [tls://127.0.0.1:0, tcp://127.0.0.1:0]
      transport:
        name: tls
        options:
          {options}
    client:
      calc:
        address: tls://127.0.0.1:9443
        transport:
          name: tls
          options:
            ca: /does/not/exist.pem
"""


def test_files_of_tls_that_are_missing_are_problems_at_their_options(run, folder, write):
    write("tls.yml", TLS.format(options="cert: /nor/this.pem"))
    result = run("check", "tls.yml")
    assert result.code == 1
    assert result.out.splitlines() == [
        (
            "tls.yml:9: bee.rpc.server.transport.options.cert: transport 'tls': the file "
            "/nor/this.pem cannot be read: no such file or directory"
        ),
        (
            "tls.yml:16: bee.rpc.client.calc.transport.options.ca: transport 'tls': the file "
            "/does/not/exist.pem cannot be read: no such file or directory"
        ),
        "tls.yml cannot be used: 2 problems",
    ]


def test_a_server_on_tls_without_a_certificate_is_a_problem(run, folder, write):
    write("tls.yml", TLS.format(options="min_version: 1.3").partition("    client:")[0])
    result = run("check", "tls.yml", "--json")
    (problem,) = json.loads(result.out)["problems"]
    assert problem["path"] == "bee.rpc.server.transport.options.cert"
    assert problem["line"] == 8
    assert "needs a certificate" in problem["message"]
    write("bare.yml", "bee: {rpc: {server: {name: calc, address: tls://127.0.0.1:0}}}")
    (problem,) = json.loads(run("check", "bare.yml", "--json").out)["problems"]
    assert (problem["path"], problem["line"]) == ("bee.rpc.server.transport.options.cert", 1)


def test_a_token_in_clear_over_a_network_is_a_warning_and_is_not_shown(run, folder, write):
    write(
        "clear.yml",
        (
            "bee:\n  rpc:\n    client:\n      calc:\n        address: 10.0.0.7:9000\n"
            "        token: s3cret\n"
        ),
    )
    result = run("check", "clear.yml", "--json")
    assert result.code == 0
    (warning,) = json.loads(result.out)["warnings"]
    assert (warning["path"], warning["line"]) == ("bee.rpc.client.calc.token", 6)
    assert "s3cret" not in result.out + result.err


def test_a_balancer_without_the_slow_start_that_a_service_states_is_a_problem(
    run, folder, write, monkeypatch
):
    from bee_plugins.balancers.slow_start import StartsSlowly

    write(
        "slow.yml",
        (
            "bee:\n  rpc:\n    client:\n      calc:\n        address: 127.0.0.1:1\n"
            "        slow_start: 30s\n"
        ),
    )
    assert run("check", "slow.yml").code == 0
    monkeypatch.delattr(StartsSlowly, "start_slowly")
    result = run("check", "slow.yml")
    assert result.code != 0
    assert "slow.yml:6: bee.rpc.client.calc.slow_start: the balancer random has no" in result.out


def test_a_plugin_within_another_one_has_its_own_path_and_line(run, folder, write):
    write(
        "within.yml",
        (
            "bee:\n  rpc:\n    client:\n      calc:\n        address: 127.0.0.1:1\n"
            "        breaker: consecutive\n        balancer:\n          name: zone\n"
            "          options:\n            zone: a\n            within: p2\n"
        ),
    )
    (problem,) = json.loads(run("check", "within.yml", "--json").out)["problems"]
    assert (problem["path"], problem["line"]) == (
        "bee.rpc.client.calc.balancer.options.within",
        11,
    )
    assert problem["message"].startswith("unknown balancer 'p2'; installed: ")
