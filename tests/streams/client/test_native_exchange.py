"""The native exchange by itself: one step on a socket pair, and what it returns.

``test_native_fuzz.py`` compares whole calls of both paths.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

from bee_core.streams.client import native
from bee_core.streams.client.native import STALE, exchange, is_plain, load
from support.patience import PATIENCE

SOURCE = Path(__file__).parents[3] / "bee_core" / "streams" / "client" / "_exchange.c"
CHUNK = 16384
LONG = 20_000
"""Milliseconds that no test waits for: what it waits for comes."""

needs_native = pytest.mark.skipif(exchange is None, reason="bee is installed without it")
needs_compiler = pytest.mark.skipif(
    not SOURCE.exists() or shutil.which("cc") is None, reason="needs the sources and a C compiler"
)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def step(sock, request=b"ask", *, check=False, milliseconds=LONG, look=0.0):
    """The result, and whether the whole request has left."""
    written = bytearray(b"\7")
    fd = sock if isinstance(sock, int) else sock.fileno()
    try:
        result = exchange(fd, written, check, request, milliseconds, look)
    except OSError as error:
        result = error.errno
    return result, written


@needs_native
@pytest.mark.parametrize("look", [0.0, 1.0])
def test_it_sends_the_request_and_returns_what_comes(pair, look):
    ours, theirs = pair
    theirs.sendall(b"answer")
    assert step(ours, look=look) == (b"answer", b"\1")
    assert theirs.recv(100) == b"ask"


@needs_native
def test_it_sleeps_until_something_comes(pair):
    ours, theirs = pair
    thread = threading.Thread(target=lambda: theirs.sendall(theirs.recv(100).upper()))
    thread.start()
    assert step(ours) == (b"ASK", b"\1")
    thread.join()


@needs_native
def test_other_threads_run_while_it_waits(pair):
    ours, theirs = pair
    results = []
    thread = threading.Thread(target=lambda: results.append(step(ours)))
    thread.start()
    assert theirs.recv(100) == b"ask"
    theirs.sendall(b"answer")
    thread.join(PATIENCE)
    assert results == [(b"answer", b"\1")]


@needs_native
@pytest.mark.parametrize("look", [0.0, 0.001])
def test_without_an_answer_it_says_that_the_request_is_out(pair, look):
    assert step(pair[0], milliseconds=0, look=look) == (None, b"\1")


@needs_native
def test_the_end_of_the_stream_is_no_bytes(pair):
    ours, theirs = pair
    theirs.shutdown(socket.SHUT_WR)
    assert step(ours) == (b"", b"\1")


@needs_native
def test_more_than_a_chunk_comes_in_parts(pair):
    ours, theirs = pair
    theirs.sendall(bytes(CHUNK + 5))
    assert step(ours) == (bytes(CHUNK), b"\1")
    assert ours.recv(CHUNK) == bytes(5)


@needs_native
@pytest.mark.parametrize("shown", ["bytes", "end"])
def test_an_idle_connection_that_shows_something_is_stale_and_nothing_is_sent(pair, shown):
    ours, theirs = pair
    if shown == "bytes":
        theirs.sendall(b"late")
    else:
        theirs.shutdown(socket.SHUT_WR)
    assert step(ours, check=True) == (STALE, b"\0")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


@needs_native
def test_an_idle_connection_that_shows_nothing_is_used(pair):
    assert step(pair[0], check=True, milliseconds=0) == (None, b"\1")
    assert pair[1].recv(100) == b"ask"


@needs_native
def test_a_request_that_the_system_takes_in_part_is_not_waited_for(pair):
    ours, theirs = pair
    large = bytes(10_000_000)
    taken, written = step(ours, large)
    assert 0 < taken < len(large)
    assert written == b"\0"
    assert step(ours) == (0, b"\0"), "there is no room at all"
    got = 0
    while got < taken:
        got += len(theirs.recv(1 << 20))
    assert got == taken


@needs_native
def test_an_error_of_the_send_says_that_the_request_is_not_out(pair):
    ours, theirs = pair
    theirs.close()
    assert step(ours) == (errno.EPIPE, b"\0")


@needs_native
def test_an_error_of_the_receipt_says_that_the_request_is_out():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    ours.setblocking(False)

    def reset():
        theirs.recv(100)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()

    thread = threading.Thread(target=reset)
    thread.start()
    with ours:
        assert step(ours) == (errno.ECONNRESET, b"\1")
    thread.join()


@needs_native
def test_another_thread_ends_the_wait_by_a_shutdown(pair):
    """So ``interrupt()`` does. The descriptor stays open until its owner closes it."""
    ours, theirs = pair

    def shut():
        theirs.recv(100)
        ours.shutdown(socket.SHUT_RD)

    thread = threading.Thread(target=shut)
    thread.start()
    assert step(ours) == (b"", b"\1")
    thread.join()
    theirs.close()


@needs_native
@pytest.mark.parametrize("fd", [-1, -(1 << 40), 1 << 40])
def test_a_closed_socket_is_an_error(fd):
    assert step(fd) == (errno.EBADF, b"\0")


@needs_native
def test_a_descriptor_that_is_not_open_is_an_error_or_stale():
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    assert step(fd) == (errno.EBADF, b"\0")
    assert step(fd, check=True) == (STALE, b"\0")


@needs_native
def test_a_signal_ends_the_wait_and_python_runs_its_handler(pair):
    """The caller waits on, with what time is left."""
    ours, theirs = pair
    handled = []
    before = signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
    main = threading.get_ident()

    def kill():
        theirs.recv(100)
        while not handled:
            signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        assert step(ours) == (None, b"\1")
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert handled


@needs_native
def test_what_a_handler_of_signals_raises_comes_out_and_it_is_known_that_the_request_is_out(pair):
    ours, theirs = pair

    def handler(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, handler)
    main, written = threading.get_ident(), bytearray(1)

    def wait():
        while True:  # a signal may come before the wait: then the next step meets it
            exchange(ours.fileno(), written, False, b"ask", 100, 0.0)

    def kill():
        theirs.recv(100)
        signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert written == b"\1"


@needs_native
@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((), TypeError),
        ((0, bytearray(1), False, b"x", 0), TypeError),
        ((0, bytearray(1), False, b"x", 0, 0.0, 0), TypeError),
        (("0", bytearray(1), False, b"x", 0, 0.0), TypeError),
        ((1 << 80, bytearray(1), False, b"x", 0, 0.0), OverflowError),
        ((0, bytearray(), False, b"x", 0, 0.0), TypeError),
        ((0, b"\0", False, b"x", 0, 0.0), TypeError),
        ((0, bytearray(1), False, "x", 0, 0.0), TypeError),
        ((0, bytearray(1), False, bytearray(b"x"), 0, 0.0), TypeError),
        ((0, bytearray(1), False, b"x", -1, 0.0), ValueError),
        ((0, bytearray(1), False, b"x", 1 << 31, 0.0), ValueError),
        ((0, bytearray(1), False, b"x", 1 << 80, 0.0), OverflowError),
        ((0, bytearray(1), False, b"x", 0.5, 0.0), TypeError),
        ((0, bytearray(1), False, b"x", 0, -0.1), ValueError),
        ((0, bytearray(1), False, b"x", 0, 1.1), ValueError),
        ((0, bytearray(1), False, b"x", 0, float("nan")), ValueError),
        ((0, bytearray(1), False, b"x", 0, float("inf")), ValueError),
        ((0, bytearray(1), False, b"x", 0, "0"), TypeError),
    ],
)
def test_a_wrong_argument_is_refused(args, error):
    with pytest.raises(error):
        exchange(*args)


@needs_native
def test_it_runs_on_the_smallest_stack_of_a_thread(pair):
    ours, theirs = pair
    results = []
    before = threading.stack_size(128 * 1024)  # less than this is too small for Python itself
    try:
        thread = threading.Thread(target=lambda: results.append(step(ours)))
        thread.start()
    finally:
        threading.stack_size(before)
    theirs.sendall(bytes(CHUNK))
    thread.join(PATIENCE)
    assert results == [(bytes(CHUNK), b"\1")]


@needs_native
@pytest.mark.parametrize("answer", [b"x" * 100, None])
def test_it_keeps_no_object(pair, answer):
    ours, theirs = pair
    request, written = bytes(range(200)), bytearray(1)
    fd, milliseconds, look = ours.fileno(), 10_000_019, 0.000123
    mine = [request, written, milliseconds, look]
    before = [sys.getrefcount(one) for one in mine]
    for _ in range(50):
        if answer:
            theirs.sendall(answer)
        exchange(fd, written, False, request, milliseconds if answer else 0, look)
    assert [sys.getrefcount(one) for one in mine] == before


# Which path runs.


def test_only_plain_sockets_take_the_native_path(pair, monkeypatch):
    class Own(socket.socket):
        pass

    assert is_plain(pair[0])
    with Own() as other:
        assert not is_plain(other)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Own)  # as gevent does
        assert not is_plain(pair[0])


def test_bee_native_0_leaves_it_aside():
    assert load("0") is None


@needs_native
@pytest.mark.parametrize("wanted", ["", "1"])
def test_it_runs_where_it_is_there(wanted):
    assert load(wanted) is not None


@pytest.mark.parametrize("why", ["it is not there", "it is of other sources"])
def test_where_it_is_missing_python_runs_unless_bee_native_is_1(monkeypatch, why):
    def find(name):
        if why == "it is not there":
            raise ImportError(f"No module named {name!r}")
        return type(sys)(name)

    monkeypatch.setattr(native, "import_module", find)
    assert load("") is None
    with pytest.raises(
        ImportError, match=r"BEE_NATIVE=1 asks for .* C compiler .* unset BEE_NATIVE"
    ):
        load("1")


def test_bee_native_is_read_as_a_program_starts(tmp_path):
    def path(wanted):
        return subprocess.run(
            [sys.executable, "-m", "bee_core", "--version"],
            env={**os.environ, "BEE_NATIVE": wanted},
            cwd=tmp_path,  # so that it is this bee and not the sources
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert path("0").endswith("(blocking calls: pure, plain JSON: pure)\n")
    assert f"(blocking calls: {'pure' if load('') is None else 'native'}," in path("")


# The source.


@needs_compiler
@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_the_source_has_no_warning(tmp_path, standard):
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        pytest.skip("needs Python's headers")
    subprocess.run(
        [
            *("cc", f"-std={standard}", "-D_POSIX_C_SOURCE=200809L", "-O2", "-fPIC", "-shared"),
            *("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wno-sign-conversion"),
            *("-isystem", include, str(SOURCE), "-o", str(tmp_path / "_exchange.so")),
        ],
        check=True,
    )


@needs_native
def test_it_can_be_imported_again():
    module = importlib.import_module("bee_core.streams.client._exchange")
    spec = importlib.util.spec_from_file_location("_exchange", module.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert again.API == module.API
    assert again.STALE == native.STALE
