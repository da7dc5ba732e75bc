"""A record of a registry, a file and an answer with control characters: no command prints them raw."""

from __future__ import annotations

import json

import pytest

import bee_core

FOREIGN = "z\x1b[31mRED\x9b2J\x07\r\u202e"
RECORDS = """\
bee:
  rpc:
    registry: {{protocol: local, address: {folder}}}
    client:
      calc: {{timeout: 2}}
"""


def is_clean(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture
def registered(folder, monkeypatch):
    records = folder / "records"
    records.mkdir(mode=0o700)
    config = {
        "registry": {"protocol": "local", "address": str(records)},
        "server": {
            "name": "calc",
            "address": "127.0.0.1:0",
            "version": "1.0.0",
            "register": True,
            "zone": FOREIGN,
            "tags": [FOREIGN],
        },
    }
    server = bee_core.build_server({"bee": {"rpc": config}})

    def echo(text: str) -> str:
        return text

    def boom(text: str) -> None:
        raise ValueError(text)

    server.add(echo)
    server.add(boom)
    (folder / "bee.yml").write_text(RECORDS.format(folder=records))
    with server.in_thread():
        yield server


@pytest.mark.parametrize(
    "command",
    [
        ("nodes", "calc"),
        ("nodes", "calc", "--json"),
        ("services",),
        ("explain", "calc"),
        ("explain", "calc", "--json"),
        ("explain", "calc", "boom", "--call", json.dumps(FOREIGN)),
        ("explain", "calc", "boom", "--json", "--call", json.dumps(FOREIGN)),
        ("call", "calc", "echo", json.dumps(FOREIGN)),
        ("call", "calc", "boom", json.dumps(FOREIGN)),
        ("call", "calc", "boom", json.dumps(FOREIGN), "--json"),
        ("call", "calc", "boom", json.dumps(FOREIGN), "--debug"),
        ("call", "calc", FOREIGN),
        ("nodes", FOREIGN),
        ("nodes", "calc", "--config", FOREIGN),
        (FOREIGN,),
        ("check", FOREIGN),
        ("serve", FOREIGN),
        ("call", "calc", "echo", FOREIGN),
    ],
    ids=lambda words: " ".join(words)[:40].encode("unicode_escape").decode(),
)
def test_no_command_prints_what_acts_on_a_terminal(run, registered, command):
    result = run(*command)
    assert is_clean(result.out), result.out
    assert is_clean(result.err), result.err


def test_json_says_what_the_record_has(run, registered):
    (node,) = json.loads(run("nodes", "calc", "--json").out)["nodes"]
    assert (node["zone"], node["tags"]) == (FOREIGN, [FOREIGN])
    assert json.loads(run("call", "calc", "echo", json.dumps(FOREIGN)).out) == FOREIGN


def test_a_file_with_control_characters_is_checked_without_printing_them(run, folder, write):
    write("bee.yml", 'bee: {rpc: {client: {"a\\e[31m": {"x\\e]0;t\\a": 1, balancer: "\\e[2J"}}}}')
    result = run("check", "bee.yml")
    assert result.code == 1
    assert is_clean(result.out)
