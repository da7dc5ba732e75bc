"""``bee serve --reload``, with real processes and real files."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading

import pytest

from bee_core.cli import reloading
from bee_core.cli.handed_over import VARIABLE, hand_over, take_over
from bee_core.cli.reloading import syntax_error
from support.patience import PATIENCE
from support.serve_process import children, wait_until_gone

pytest.importorskip("watchfiles")

SERVICE = """
def answer() -> int:
    return {}
"""


@pytest.fixture
def service(write):
    """Write the module that is served."""
    return lambda value: write("service.py", SERVICE.format(value))


def test_a_change_is_served_at_the_same_address_and_a_syntax_error_waits(
    start, connect, service, write
):
    service(1)
    process = start("serve", "service:answer", "--reload")
    url = process.address()
    process_of = children(process.process.pid)
    calc = connect(url, fail="failtry", retries=3, idempotent=True, timeout=PATIENCE)
    assert calc.answer() == 1

    write("service.py", "def answer(:\n")
    line = process.wait_for("not reloaded")
    assert line.endswith("not reloaded: service.py:1: invalid syntax; waiting for a change")
    assert calc.answer() == 1
    assert children(process.process.pid) == process_of

    service(2)
    process.wait_for("service.py changed: starting again")
    process.wait_for("gone")
    assert calc.answer() == 2, "it waits at the open socket until the new server is there"
    assert process.address() == url

    # What only running it shows ends the server, and the next change starts it.
    write("service.py", "1 / 0\n")
    process.wait_for("error: importing service failed: ZeroDivisionError")
    process.wait_for("the server has ended with code 1; waiting for a change")
    service(3)
    assert process.address() == url
    assert calc.answer() == 3
    process.signal(signal.SIGTERM)
    assert process.exit_code() == 0


def test_a_configuration_that_changes_is_checked_before_the_server_is_ended(
    start, connect, service, write
):
    service(1)
    process = start("serve", "service:answer", "--reload")
    url = process.address()
    write("bee.yml", "bee: {rpc: {server: {name: calc, adress: '127.0.0.1:0'}}}\n")
    assert "did you mean" in process.wait_for("not reloaded")
    assert connect(url).answer() == 1
    write("bee.yml", "bee: {rpc: {server: {name: calc, version: 2.0, address: '127.0.0.1:0'}}}\n")
    assert process.wait_for("listening on").endswith("as calc 2.0")


def test_the_server_goes_when_its_watcher_is_killed(start, service):
    service(1)
    process = start("serve", "service:answer", "--reload")
    process.address()
    serving = children(process.process.pid)
    assert len(serving) == 1
    process.signal(signal.SIGKILL)
    wait_until_gone(serving)


def test_sighup_starts_the_server_again_as_a_change_does(start, connect, service):
    service(1)
    process = start("serve", "service:answer", "--reload")
    url = process.address()
    before = children(process.process.pid)
    process.signal(signal.SIGHUP)
    process.wait_for("SIGHUP: starting again")
    process.wait_for("gone")
    assert process.address() == url
    assert connect(url).answer() == 1
    assert set(children(process.process.pid)).isdisjoint(before)
    process.signal(signal.SIGTERM)
    assert process.exit_code() == 0


def test_without_watchfiles_the_error_says_what_to_install(run, folder, monkeypatch):
    monkeypatch.setattr(reloading, "watchfiles", None)
    result = run("serve", "app:greet", "--reload")
    assert result.code == 2
    assert result.err == (
        "error: --reload needs the package watchfiles: pip install 'bee-rpc[dev]',"
        " or pip install watchfiles\n"
    )


def test_a_wrong_configuration_at_the_start_is_an_error_as_ever(run, folder, write):
    write("bee.yml", "bee: {rpc: {server: {nam: calc}}}")
    result = run("serve", "app:greet", "--reload")
    assert (result.code, result.err.startswith("error: bee.yml:1: ")) == (2, True)


def test_what_is_handed_over_is_taken_once(monkeypatch):
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    life = os.pipe()
    try:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            copy = sock.dup()
            monkeypatch.setenv(VARIABLE, hand_over({"tcp://127.0.0.1:0": copy}, life[0]))
            copy.detach()
            found = take_over()
            taken = found.sockets["tcp://127.0.0.1:0"]
            assert taken.getsockname() == sock.getsockname()
            taken.close()
        assert VARIABLE not in os.environ
        assert take_over() is None
        os.close(life[1])  # its parent has gone
        assert ended.wait(PATIENCE)
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(life[0])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"x = 1\n", ""),
        (b"x = (\n", "file.py:1: '(' was never closed"),
        (b"x = '\xff'\n", "file.py:"),
        (b"\0", "file.py"),
    ],
)
def test_what_is_wrong_with_a_file(folder, text, problem):
    (folder / "file.py").write_bytes(text)
    found = syntax_error(str(folder / "file.py"))
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_files_that_are_gone_or_not_python_have_no_syntax(folder):
    (folder / "a.yml").write_text(json.dumps({"a": 1}) + "(")
    assert syntax_error(str(folder / "a.yml")) == ""
    assert syntax_error(str(folder / "gone.py")) == ""
