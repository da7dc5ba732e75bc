"""Which other servers answer while one is silent: asked in turn, the first good answer counts."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from bee_plugins.registries.zookeeper.company import STEP_SECONDS, Company
from support.patience import scaled

BOUND = scaled(5.0)


def spawn(function, *args):
    thread = threading.Thread(target=function, args=args, name="company", daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def server(answer):
    """A server that answers every question so; None for one that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asked = threading.Event()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listening.accept()
                    sock.recv(16)
                    asked.set()
                    if answer is None:
                        kept.append(sock)
                        continue
                    sock.sendall(answer)
                    sock.close()

        kept = []
        thread = spawn(serve)
        host, port = listening.getsockname()
        yield ("localhost", host, port), asked
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(BOUND)
        for sock in kept:
            sock.close()


class Found:
    """Takes the answer of a round."""

    def __init__(self):
        self.servers = []
        self.event = threading.Event()

    def __call__(self, server):
        self.servers.append(server)
        self.event.set()


def closed():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return ("localhost", *sock.getsockname())


def test_the_first_that_answers_is_found_although_one_before_it_is_silent():
    found = Found()
    company = Company(None, spawn)
    with server(None) as (silent, asked), server(b"Zookeeper version: 3.8.0") as (good, _):
        begun = time.monotonic()
        company.call([silent, closed(), good], 0.0, found)
        assert found.event.wait(BOUND)
        assert time.monotonic() - begun >= 2 * STEP_SECONDS
        assert asked.is_set()
        company.dismiss()
    assert found.servers == [good]


def test_a_server_without_quorum_is_none_that_answers_and_one_that_forbids_the_question_is():
    found = Found()
    company = Company(None, spawn)
    with (
        server(b"This ZooKeeper instance is not currently serving requests\n") as (alone, asked),
        server(b"srvr is not executed because it is not in the whitelist.\n") as (good, _),
    ):
        company.call([alone, good], 0.0, found)
        assert found.event.wait(BOUND)
        assert asked.is_set()
        company.dismiss()
    assert found.servers == [good]


def test_nobody_is_asked_before_the_time():
    company = Company(None, spawn)
    with server(b"Zookeeper version: 3.8.0") as (good, asked):
        company.call([good], BOUND, Found())
        company.dismiss()
        assert not asked.is_set()


def test_a_closed_company_asks_nobody():
    company = Company(None, spawn)
    company.close()
    with server(b"Zookeeper version: 3.8.0") as (good, asked):
        company.call([good], 0.0, Found())
        company.close()
        assert not asked.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "company"]


def test_a_dismissed_round_ends_its_threads_at_once_and_finds_nobody():
    found = Found()
    company = Company(None, spawn)
    with server(None) as (silent, asked):
        company.call([silent, silent], 0.0, found)
        assert asked.wait(BOUND)
        begun = time.monotonic()
        company.dismiss()
        company.dismiss()
        assert time.monotonic() - begun < 0.5
    assert not [thread for thread in threading.enumerate() if thread.name == "company"]
    assert found.servers == []
