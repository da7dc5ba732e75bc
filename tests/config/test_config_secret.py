"""Tokens in a configuration: where they come from, and that nothing shows them."""

from __future__ import annotations

import copy

import pytest

from bee_core.config import load_config, warnings
from bee_core.config.secret import MAX_LENGTH, Secret
from bee_core.errors import ConfigError

HONEY = "s3cret-honey"


def client(token, **settings):
    return {
        "bee": {"rpc": {"client": {"calc": {"address": "127.0.0.1:1", "token": token, **settings}}}}
    }


def server(**settings):
    return {"bee": {"rpc": {"server": {"name": "calc", **settings}}}}


def write(tmp_path, text, **environ):
    file = tmp_path / "bee.yml"
    file.write_text(text)
    return load_config(file, environ=environ)


def problem(config, **environ):
    with pytest.raises(ConfigError) as caught:
        load_config(config, environ=environ)
    assert HONEY not in repr(caught.value) + str(caught.value) + repr(caught.value.value) + repr(
        caught.value.__context__
    )
    return caught.value


def test_a_token_comes_from_the_environment(tmp_path):
    text = (
        "bee: {rpc: {client: {calc: {address: 'h:1', token: '${BEE_TOKEN}'}}, server: {name: "
        "calc, tokens: ['${BEE_TOKEN}', '${OLD}']}}}"
    )
    config = write(tmp_path, text, BEE_TOKEN=HONEY, OLD="old")
    assert config.client("calc").token.first() == HONEY
    assert [token.values() for token in config.server.tokens] == [(HONEY,), ("old",)]


def test_default_holds_for_every_service_that_states_none():
    config = load_config(
        {
            "bee": {
                "rpc": {"client": {"default": {"token": "a"}, "calc": {}, "shop": {"token": "b"}}}
            }
        }
    )
    assert config.client("calc").token.first() == "a"
    assert config.client("shop").token.first() == "b"


@pytest.mark.parametrize("key", ["token", "tokens"])
def test_a_server_has_one_or_several_under_either_spelling(key):
    assert [token.first() for token in load_config(server(**{key: "a"})).server.tokens] == ["a"]
    assert [token.first() for token in load_config(server(**{key: ["a", "b"]})).server.tokens] == [
        "a",
        "b",
    ]


def test_a_file_has_one_token_a_line(tmp_path):
    file = tmp_path / "token"
    file.write_text("\n  new  \n\nold\n")
    config = load_config(
        {
            "bee": {
                "rpc": {
                    **client({"file": str(file)})["bee"]["rpc"],
                    **server(tokens={"file": str(file)})["bee"]["rpc"],
                }
            }
        }
    )
    assert config.client("calc").token.first() == "new"
    assert config.server.tokens[0].values() == ("new", "old")


def test_a_file_is_read_again_when_it_has_changed_and_kept_when_it_cannot_be_used(tmp_path, caplog):
    file = tmp_path / "token"
    file.write_text("first\n")
    secret = Secret(file=file)
    assert secret.first() == "first"
    file.write_text("second\n")
    assert secret.first() == "second"
    file.unlink()
    assert secret.first() == "second"
    assert secret.first() == "second"
    assert caplog.text.count("cannot be read") == 1
    file.write_text("the third\n")
    assert secret.first() == "the third"
    assert not any(word in caplog.text for word in ("first", "second", "third"))


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("${UNSET_TO_NOTHING}", "empty"),
        (HONEY * 400, f"more than {MAX_LENGTH}"),
        (12345, "a text such as"),
        ([HONEY], "a text such as"),
        ({"file": "/x", "text": HONEY}, "no other key"),
        ({"text": HONEY}, "no other key"),
        ({"file": ""}, "the key file of a token has no text"),
        ({"file": "/x", "function": "a:b"}, "no other key"),
        ({"function": "a.b"}, "package.module:function"),
        ({"function": ""}, "the key function of a token has no text"),
        ({"token": HONEY, "identity": "billing"}, "remove identity"),
        ({"token": HONEY, "identity": ""}, "not empty"),
        ({"file": "/does/not/exist"}, "/does/not/exist cannot be read: no such file"),
        ("\ud800" + HONEY, "not text that can be sent"),
    ],
)
def test_what_is_no_token_is_an_error_that_does_not_show_it(token, says):
    error = problem(client(token), UNSET_TO_NOTHING="")
    assert error.path == "bee.rpc.client.calc.token"
    assert says in error.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe", "UTF-8"),
        (b"x" * 70_000, "larger than 64 KiB"),
    ],
)
def test_a_file_that_is_no_file_of_tokens_is_an_error(tmp_path, content, says):
    (tmp_path / "token").write_bytes(content)
    assert says in problem(client({"file": str(tmp_path / "token")})).message


def test_a_variable_that_is_missing_is_named():
    assert "no variable BEE_TOKEN" in problem(client("${BEE_TOKEN}")).message


def test_nothing_instead_of_tokens_is_an_error_and_nothing_instead_of_a_token_is_none():
    assert problem(server(tokens=None)).path == "bee.rpc.server.tokens"
    config = load_config(
        {"bee": {"rpc": {"client": {"default": {"token": "a"}, "calc": {"token": None}}}}}
    )
    assert config.client("calc").token is None


def test_an_empty_list_is_an_error_and_does_not_let_everybody_in():
    error = problem(server(tokens=[]))
    assert error.path == "bee.rpc.server.tokens"
    assert "lets nobody in" in error.message


def test_other_mistakes_of_a_section_do_not_show_its_token():
    for config in (
        client(HONEY, timeout="soon"),
        client(HONEY, tokn=1),
        client(HONEY, token_file="x"),
        server(tokens=[HONEY], wrong=1),
        server(tokens=[HONEY, 3]),
    ):
        problem(config)


def test_a_method_has_no_token_of_its_own():
    assert "concerns the service" in problem(client("a", methods={"add": {"token": HONEY}})).message


def test_nothing_shows_a_token(tmp_path):
    file = tmp_path / "token"
    file.write_text(HONEY)
    for config in (
        client(HONEY),
        client({"file": str(file)}),
        server(tokens=[HONEY, {"file": str(file)}]),
    ):
        loaded = load_config(config)
        assert HONEY not in repr(loaded)
        assert HONEY not in repr(loaded.server) + repr(loaded.clients) + str(loaded)
    assert HONEY not in repr(Secret(HONEY)) + f"{Secret(HONEY)}" + repr(
        copy.deepcopy(Secret(HONEY))
    )
    assert str(file) in repr(Secret(file=file))


def test_secrets_are_equal_when_they_come_from_the_same_place(tmp_path):
    file = tmp_path / "token"
    file.write_text("a")
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret(file=file) == Secret(file=file) != Secret("a")
    assert len({Secret("a"), Secret("a"), Secret(file=file)}) == 2


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.7:9000",
        "tcp://calc.internal:9000",
        "[fd00::1]:9000",
        ["127.0.0.1:1", "10.0.0.7:9000"],
    ],
)
def test_a_token_in_clear_over_a_network_is_a_warning(address):
    (found,) = [
        one
        for one in warnings(load_config(client(HONEY, address=address)))
        if one.path.endswith("token")
    ]
    assert found.path == "bee.rpc.client.calc.token"
    assert "in clear" in found.message
    assert HONEY not in repr(found)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:9000",
        "localhost:9000",
        "[::1]:9000",
        "unix:///run/calc.sock",
        "tls://10.0.0.7:9000",
        "127.8.9.10:1",
    ],
)
def test_a_token_within_the_machine_or_over_tls_is_no_warning(address):
    assert not [
        one
        for one in warnings(load_config(client(HONEY, address=address)))
        if one.path.endswith("token")
    ]
    assert not [
        one
        for one in warnings(load_config(server(address=address, tokens=HONEY)))
        if one.path.endswith("tokens")
    ]


def test_a_server_that_takes_tokens_in_clear_from_a_network_is_a_warning():
    (found,) = [
        one
        for one in warnings(
            load_config(server(address=["tls://0.0.0.0:9443", "0.0.0.0:9000"], tokens=HONEY))
        )
        if "token" in one.path
    ]
    assert found.path == "bee.rpc.server.tokens"
    assert "tcp://0.0.0.0:9000 in clear" in found.message
