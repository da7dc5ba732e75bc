"""Servers raced: who is asked when, whose answer counts, what becomes of the others."""

from __future__ import annotations

import asyncio

import pytest

from bee_core.errors import RegistryError
from bee_plugins.registries.shared.servers import PATIENCE, Rotation
from support.virtual_loop import run_virtually


class Servers:
    """Servers that answer after so many seconds, or fail with an error then; None is silence."""

    def __init__(self, **plans):
        self.plans = plans
        self.rotation = Rotation(plans)
        self.asked = []
        self.cancelled = []
        self.discarded = []

    async def ask(self, server):
        loop = asyncio.get_running_loop()
        self.asked.append((server, round(loop.time() - 1000, 3)))
        seconds, error = self.plans[server]
        try:
            await asyncio.sleep(1e6 if seconds is None else seconds)
        except asyncio.CancelledError:
            self.cancelled.append(server)
            raise
        if error is not None:
            raise error
        return f"answer of {server}"

    async def discard(self, answer):
        self.discarded.append(answer)

    def race(self, **arguments):
        """The answer, and when it came."""

        async def scenario():
            try:
                answer = await self.rotation.race(self.ask, discard=self.discard, **arguments)
                return answer, round(asyncio.get_running_loop().time() - 1000, 3)
            finally:
                await self.rotation.settle()

        return run_virtually(scenario())


SILENT = (None, None)
REFUSED = (0.0, ConnectionRefusedError("refused"))
AT_ONCE = (0.0, None)


def test_a_server_that_answers_is_asked_alone():
    servers = Servers(a=(0.2, None), b=AT_ONCE)
    assert servers.race() == ("answer of a", 0.2)
    assert servers.asked == [("a", 0.0)]
    assert servers.rotation.current == "a"


def test_a_silent_server_gets_company_and_the_one_that_answers_comes_first_from_then_on():
    servers = Servers(a=SILENT, b=SILENT, c=(0.1, None))
    assert servers.race() == ("answer of c", 2 * PATIENCE + 0.1)
    assert servers.asked == [("a", 0.0), ("b", PATIENCE), ("c", 2 * PATIENCE)]
    assert servers.cancelled == ["a", "b"]
    assert servers.race() == ("answer of c", 0.1)


def test_a_slow_server_may_still_win():
    servers = Servers(a=(0.3, None), b=SILENT)
    assert servers.race() == ("answer of a", 0.3)
    assert servers.cancelled == ["b"]
    assert servers.rotation.current == "a"


def test_a_server_that_fails_is_left_for_the_next_at_once():
    servers = Servers(a=REFUSED, b=(0.1, ConnectionResetError("lost")), c=AT_ONCE)
    assert servers.race() == ("answer of c", 0.1)
    assert servers.asked == [("a", 0.0), ("b", 0.0), ("c", 0.1)]


def test_a_server_that_answers_while_another_fails_is_heard():
    servers = Servers(a=(0.3, None), b=(0.05, ConnectionResetError("lost")))
    assert servers.race() == ("answer of a", 0.3)


def test_the_race_can_begin_elsewhere_than_at_the_current_server():
    servers = Servers(a=AT_ONCE, b=SILENT, c=REFUSED)
    assert servers.race(first="b") == ("answer of a", PATIENCE)
    assert [server for server, _ in servers.asked] == ["b", "c", "a"]


def test_a_refusal_is_an_answer_and_ends_the_race():
    servers = Servers(a=(0.3, RegistryError("no")), b=SILENT, c=SILENT)
    with pytest.raises(RegistryError, match="no"):
        servers.race()
    assert servers.cancelled == ["b"]
    assert len(servers.asked) == 2


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ((TimeoutError("x"), TimeoutError("y")), TimeoutError),
        ((ConnectionError("x"), TimeoutError("y")), ConnectionError),
        ((ConnectionResetError("x"), ConnectionResetError("y")), ConnectionResetError),
    ],
)
def test_without_any_answer_the_error_names_all_servers(errors, kind):
    servers = Servers(a=(0.4, errors[0]), b=(0.1, errors[1]))
    with pytest.raises(OSError, match="x; y") as caught:
        servers.race()
    assert type(caught.value) is kind
    assert caught.value.__cause__ is errors[1]


def test_the_only_server_s_error_is_raised_as_it_is():
    error = ConnectionRefusedError("refused")
    with pytest.raises(ConnectionRefusedError) as caught:
        Servers(a=(0.0, error)).race()
    assert caught.value is error


def test_an_answer_that_comes_too_late_is_discarded():
    servers = Servers(a=(0.5, None), b=(0.25, None))  # both at 0.5 s
    answer, _ = servers.race()
    assert [answer, *servers.discarded] == ["answer of a", "answer of b"]


def test_an_answer_that_comes_in_spite_of_being_cancelled_is_discarded():
    servers = Servers(a=SILENT, b=AT_ONCE)
    ask = servers.ask

    async def stubborn(server):
        try:
            return await ask(server)
        except asyncio.CancelledError:
            return f"late answer of {server}"

    servers.ask = stubborn
    assert servers.race() == ("answer of b", PATIENCE)
    assert servers.discarded == ["late answer of a"]


def test_whoever_loses_patience_ends_all_requests_and_begins_elsewhere_next_time():
    servers = Servers(a=SILENT, b=SILENT, c=AT_ONCE)

    async def scenario():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(servers.rotation.race(servers.ask), 1.4 * PATIENCE)
        await servers.rotation.settle()

    run_virtually(scenario())
    assert sorted(servers.cancelled) == ["a", "b"]
    assert servers.rotation.current == "c"
