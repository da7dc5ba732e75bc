"""The table of ``docs/registries.md`` is true: each event is played, and its time is measured."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from model import bounds
from model.language import History
from model.parties import FIRST_CALL, SERVICE
from model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "registries.md"
HEAD = "| event | what clients see | what servers do | for clients | servers right |"


def rows():
    """The event of each row, and its times for clients and for servers."""
    lines = PAGE.read_text(encoding="utf-8").split(HEAD)[1].strip().splitlines()[1:]
    for line in lines:
        if not line.startswith("|"):
            return
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        yield cells[0], cells[3], cells[4]


def seconds(text: str, heartbeat: float) -> float:
    """What ``3 H + 1 s`` is."""
    if text == "half of the call's time":
        return FIRST_CALL / 2
    parts = [re.fullmatch(r"([\d.]*) ?(H|s)", part) for part in text.split(" + ")]
    assert all(parts), f"{text!r} is no time"
    return sum(float(part[1] or 1) * (heartbeat if part[2] == "H" else 1) for part in parts if part)


def limits(text: str, heartbeat: float) -> tuple[float, float]:
    """The shortest and the longest time that a cell allows."""
    shortest, _, longest = text.removesuffix(" after its end").rpartition(" to ")
    return seconds(shortest, heartbeat) if shortest else 0.0, seconds(longest, heartbeat)


# What is waited for, or must never be.


def gone(world: World) -> bool:
    """No client picks what the first server was."""
    return all("calc-1" not in client.picked for client in world.clients)


def gone_and_back(world: World) -> bool:
    return gone(world) and back(world)


def missing(world: World) -> bool:
    """A client lacks a living node."""
    living = {server.node.id for server in world.servers if server.running} | world.others
    return any(living - set(client.picked) for client in world.clients)


def back(world: World) -> bool:
    """The records are right, and each client picks every node."""
    return right(world) and not missing(world)


def right(world: World) -> bool:
    listed = world.registry.nodes(SERVICE)
    return all(server.node in listed for server in world.servers)


def heard(world: World) -> bool:
    return all(client.line.heard[-1].at >= world.back for client in world.clients)


def silent(world: World) -> bool:
    return all(client.discovery.outlook().silent is not None for client in world.clients)


def picks(world: World) -> bool:
    return not missing(world)


@attrs.frozen
class Play:
    """How an event is played.

    Attributes:
        event: The steps of the event. What comes before its end is not counted.
        outcome: What clients see in the end; where the table says "none missing", what must not be.
        before: The steps that lead to it.
        more: Nodes without a server, besides.
    """

    event: str
    outcome: Callable[[World], bool]
    before: str = ""
    more: int = 0


PLAYS = {
    "the registry refuses connections, or restarts with its data": Play(
        "down; wait 2; come", heard
    ),
    "the registry falls silent": Play("silence", silent),
    "the registry is away for longer than a lease": Play("down; wait 7; come", missing),
    "the registry restarts empty": Play("wipe", missing),
    "the registry lists nothing for less than 3 H": Play("blank; wait 2.9; show", missing),
    "the registry leaves out a living node for good": Play("hide 0", gone),
    "the registry's answers cannot be read": Play("garble; wait 8; come", missing),
    "the registry's answers take 1.5 H": Play("slow 1.5", missing),
    "somebody overwrites a record": Play("overwrite 0", back),
    "somebody removes a record": Play("erase 0", missing),
    "another living server takes an id": Play("steal 0; wait 5; withdraw 0", back),
    "a server is killed": Play("kill 0", gone),
    "a server stands still, or its machine is off the net": Play("freeze 0", gone),
    "a server goes on that stood still for longer than its lease": Play(
        "thaw 0", back, before="freeze 0; wait 9"
    ),
    "the serving loop of a server hangs": Play("hang 0", gone),
    "a server leaves": Play("drain 0", gone),
    "a server cannot reach the registry": Play("cut_server 0", gone),
    "a server reaches the registry again": Play(
        "mend_server 0", back, before="cut_server 0; wait 12"
    ),
    "a client cannot reach the registry": Play("cut_client 0; lose_client 1", missing),
    "a client cannot reach a server that is listed": Play("part 0 0", missing),
    "a hundred nodes vanish from the list at once": Play(
        "blank; wait 2.9; show", missing, more=100
    ),
    "a server restarts at its address": Play("restart 0", gone_and_back),
    "a server restarts with a version that nobody asks for": Play("upgrade 0", gone),
    "a client starts while the registry is out of reach, without a list": Play(
        "fresh 0; fresh 1; wait 5; come", picks, before="down"
    ),
    "a client starts while the registry is out of reach, with a list on disk": Play(
        "again 0; again 1", picks, before="down"
    ),
    "a client starts while the registry is silent, with a list on disk": Play(
        "again 0; again 1", picks, before="silence"
    ),
    "a client starts with a list on disk, and the registry lists none of its nodes": Play(
        "again 0; again 1", picks, before="blank"
    ),
}


def do(world: World, text: str) -> None:
    for step in History.parse(text.replace(";", "\n")).steps:
        world.do(step)


def first(world: World, outcome: Callable[[World], bool], live: Callable[[], None]) -> float | None:
    """After how many seconds it is so for the first time, while time passes; None: never."""
    began, watched = world.loop.time(), world.watchdog.look
    came: list[float] = []

    def look(then: float) -> None:
        watched(then)
        if not came and outcome(world):
            came.append(world.loop.time() - began)

    world.loop.before_time_passes = look
    live()
    world.check()
    return came[0] if came else None


def test_the_table_and_the_plays_have_the_same_events():
    assert [event for event, *_ in rows()] == list(PLAYS)


@pytest.mark.parametrize("heartbeat", [1.0, 10.0])
@pytest.mark.parametrize(("event", "stated"), [row[:2] for row in rows()])
def test_clients_see_it_no_later_than_the_table_says(event, stated, heartbeat):
    play = PLAYS[event]
    for seed, beats in enumerate((2.0, 2.7)):  # when it comes between two renewals
        with World(History(heartbeat, servers=2, clients=2, seed=seed)) as world:
            world.others |= {f"tcp://10.1.0.{number}:9000" for number in range(play.more)}
            if play.more:
                world.crowd()
            world.wait(beats)
            do(world, play.before)
            assert world.servers[0].node.id == "calc-1"
            if stated == "none missing":
                assert play.outcome is missing
                assert first(world, missing, lambda: do(world, f"{play.event}; wait 10")) is None
                continue
            do(world, play.event)
            shortest, longest = limits(stated, heartbeat)
            passed = first(world, play.outcome, partial(world.loop.run_for, longest + heartbeat))
            assert passed is not None, f"not at all; at most {longest:g} s are stated"
            assert shortest <= passed <= longest


@pytest.mark.parametrize("heartbeat", [1.0, 10.0])
@pytest.mark.parametrize(
    ("event", "stated"), [(event, stated) for event, _, stated in rows() if stated != "-"]
)
def test_servers_are_right_again_no_later_than_the_table_says(event, stated, heartbeat):
    play = PLAYS[event]
    for seed, beats in enumerate((2.0, 2.7)):
        with World(History(heartbeat, servers=2, clients=2, seed=seed)) as world:
            world.wait(beats)
            do(world, play.before)
            do(world, play.event)
            longest = limits(stated, heartbeat)[1]
            passed = first(world, right, partial(world.loop.run_for, longest + heartbeat))
            assert passed is not None, f"not at all; at most {longest:g} s are stated"
            assert passed <= longest


def test_the_model_holds_bee_to_the_same_times():
    for_clients = {event: stated for event, stated, _ in rows()}
    for_servers = {event: stated for event, _, stated in rows()}
    for heartbeat in (1.0, 3.0, 10.0):

        def most(event, heartbeat=heartbeat, stated=for_clients):
            return limits(stated[event], heartbeat)[1]

        assert bounds.right(heartbeat) <= most(
            "the registry is away for longer than a lease", stated=for_servers
        )
        assert bounds.lease(heartbeat) + bounds.not_serving(heartbeat) <= most(
            "a server stands still, or its machine is off the net"
        )
        assert bounds.heard(heartbeat) <= most(
            "the registry refuses connections, or restarts with its data"
        )


def test_times_are_read_as_they_are_written():
    assert limits("H + 1 s after its end", 10.0) == (0.0, 11.0)
    assert limits("5 H to 7 H + 1 s", 2.0) == (10.0, 15.0)
