"""Clients with ``bee.application.watch: true``: their files are read again when they change."""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial

import pytest

import bee_core
from bee_core.client import core
from bee_core.control.file_watch import FileWatch
from support.patience import scaled

PATIENCE = scaled(10.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(core, "FileWatch", partial(FileWatch, interval=0.02, settled=0.01))


@pytest.fixture
def nodes():
    servers = []
    for name in ("one", "two"):
        address = f"memory://watched-{name}"
        server = bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": "calc", "address": address}}}}
        )
        server.add(lambda name=name: name, name="who")
        servers.append(server)
    with servers[0].in_thread(), servers[1].in_thread():
        yield


def text(node="one", watch="true", include="[]", more=""):
    return (
        f"bee: {{application: {{watch: {watch}, include: {include}}}, "
        f"rpc: {{client: {{calc: {{address: 'memory://watched-{node}'{more}}}}}}}}}"
    )


def write(file, content):
    new = file.with_suffix(".new")
    new.write_text(content)
    new.replace(file)


def eventually(condition):
    tick = threading.Event()
    for _ in range(int(PATIENCE * 100)):
        if condition():
            return
        tick.wait(0.01)
    assert condition()


def test_a_changed_file_is_taken_over_and_a_wrong_one_is_one_error(nodes, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="bee.client")
    file = tmp_path / "bee.yml"
    file.write_text(text("one"))
    with bee_core.build_client(file) as client:
        calc = client.service("calc")
        assert calc.who() == "one"
        write(file, text("two"))
        eventually(lambda: calc.who() == "two")
        write(file, text("one", more=", timeout: soon"))
        eventually(lambda: [one for one in caplog.records if one.levelno == logging.ERROR])
        write(file, text("one", more=", retries: 1"))
        eventually(lambda: calc.who() == "one")
        (error,) = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert f"{file}:1: bee.rpc.client.calc.timeout" in error.getMessage()
        assert "the configuration before stays in use" in error.getMessage()
        write(file, text("one", watch="false"))
        eventually(lambda: client.config.application.watch is False)
        write(file, text("two", watch="false"))
        assert calc.who() == "one"
    assert threading.active_count() < 20


def test_included_files_and_secrets_are_watched_also_those_that_were_missing(
    nodes, tmp_path, caplog
):
    file, common, secret = tmp_path / "bee.yml", tmp_path / "common.yml", tmp_path / "zone"
    file.write_text(text("one"))
    with bee_core.build_client(file) as client:
        calc = client.service("calc")
        assert calc.who() == "one"
        write(file, text("one", include="common.yml"))
        eventually(lambda: "there is no such file" in caplog.text)
        write(common, "bee: {rpc: {client: {calc: {timeout: '${file:zone:-7}'}}}}")
        eventually(lambda: client.config.client("calc").timeout == 7)
        write(secret, "9")
        eventually(lambda: client.config.client("calc").timeout == 9)
        assert calc.who() == "one"


def test_what_changed_between_build_and_first_call_is_seen(nodes, tmp_path):
    file = tmp_path / "bee.yml"
    file.write_text(text("one"))
    before = threading.active_count()
    with bee_core.build_client(file) as client:
        assert threading.active_count() == before, "nothing runs before the first call"
        write(file, text("two"))
        eventually(lambda: client.service("calc").who() == "two")


def test_an_asyncio_client_watches_as_well(nodes, tmp_path):
    file = tmp_path / "bee.yml"
    file.write_text(text("one"))

    async def run():
        async with bee_core.build_async_client(file) as client:
            calc = client.service("calc")
            assert await calc.who() == "one"
            write(file, text("two"))
            until = asyncio.get_running_loop().time() + PATIENCE
            while await calc.who() != "two":
                assert asyncio.get_running_loop().time() < until
                await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_configuration_from_python_has_nothing_to_watch(nodes):
    calc = {"address": "memory://watched-one"}
    config = {"bee": {"application": {"watch": True}, "rpc": {"client": {"calc": calc}}}}
    with bee_core.build_client(config) as client:
        assert client.service("calc").who() == "one"
