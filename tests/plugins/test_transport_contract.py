"""bee's transports pass the contract suite, and broken ones do not."""

from __future__ import annotations

import itertools

import pytest

from bee_core.config import PluginRef
from bee_core.plugins.hub import PluginHub
from bee_core.streams import BlockingConnection, StreamTransport
from bee_core.terms.failures import Failure
from bee_core.terms.node import Node
from bee_core.testing import TransportContract
from bee_core.testing import transport_requests as suite
from bee_core.testing.transport_rig import TransportRig
from bee_plugins.transports.memory import MemoryTransport
from support.certificates import Authority

_numbers = itertools.count()


def made(name, options=None):
    return PluginHub().create(PluginRef(name, options or {}, "transport"), "transport")


class TestTcp(TransportContract):
    def make_transport(self):
        return made("tcp")

    def make_url(self):
        return "tcp://127.0.0.1:0"


class TestTls(TransportContract):
    @pytest.fixture(autouse=True)
    def files(self, tmp_path):
        authority = Authority(tmp_path)
        cert, key = authority.issue("server")
        self.options = {"cert": str(cert), "key": str(key), "ca": str(authority.file)}

    def make_transport(self):
        return made("tls", self.options)

    def make_url(self):
        return "tls://127.0.0.1:0"


class TestUnix(TransportContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path

    def make_transport(self):
        return made("unix")

    def make_url(self):
        return f"unix://{self.path}/{next(_numbers)}.sock"


class TestMemory(TransportContract):
    def make_transport(self):
        return made("memory")

    def make_url(self):
        return f"memory://contract-{next(_numbers)}"


# Broken transports.

BOUND = 1.0
"""Seconds. The suite's own are for machines of any speed, and what is broken takes all of them."""
LATE = 0.6 * BOUND


class Deaf(BlockingConnection):
    """Comes back long after the seconds."""

    __slots__ = ()

    def wait(self, seconds=None):
        return super().wait(None if seconds is None else seconds + LATE)


class Forgetful(BlockingConnection):
    """Closes nothing when a request is given up."""

    __slots__ = ()

    def cancel(self):
        self.request.pending = self.request = None


class Hidden(BlockingConnection):
    """Does not say what is pending."""

    __slots__ = ()

    def send(self, request):
        failure = super().send(request)
        request.pending = None
        return failure


class Untrue(BlockingConnection):
    """Says of a lost reply that nothing ran."""

    __slots__ = ()

    def wait(self, seconds=None):
        outcome = super().wait(seconds)
        return outcome.copy(executed="no") if isinstance(outcome, Failure) else outcome


def broken(connection_class):
    class Broken(MemoryTransport):
        def connection(self, owner, sock):
            return connection_class(owner, sock)

    return Broken()


@pytest.mark.parametrize(
    ("connection_class", "test"),
    [
        (Deaf, "test_wait_comes_back_after_the_seconds_and_may_go_on"),
        (Forgetful, "test_a_cancelled_request_is_given_up_at_the_server"),
        (Hidden, "test_a_body_comes_back_as_it_was_sent"),
        (Untrue, "test_no_wait_is_longer_than_the_read_timeout"),
    ],
)
def test_a_broken_transport_fails_the_suite(connection_class, test, monkeypatch):
    monkeypatch.setattr(suite, "BOUND", BOUND)
    monkeypatch.setattr("bee_core.testing.transport_rig.BOUND", BOUND)
    contract, transport = TestMemory(), broken(connection_class)
    assert isinstance(transport, StreamTransport)
    with TransportRig(transport, contract.make_url()) as rig:
        channel = transport.channel(Node("n", rig.listener.url), suite.settings())
        arguments = {"channel": channel, "rig": rig, "size": 1}
        run = getattr(contract, test)
        wanted = run.__code__.co_varnames[1 : run.__code__.co_argcount]
        with pytest.raises(AssertionError):
            run(**{name: arguments[name] for name in wanted})
        channel.close()
