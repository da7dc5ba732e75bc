"""Snapshots become a ready set; nodes that stay keep what belongs to them."""

from __future__ import annotations

import threading

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.contracts.plugin_faults import PluginFaults
from bee_core.contracts.policies import Change
from bee_core.nodes.contained_breakers import MIN_PAUSE
from bee_core.nodes.directory import Directory
from bee_core.nodes.node_set import NodeSet
from bee_core.nodes.node_state import UNUSED
from bee_core.terms.node import Changes, Node, Snapshot
from bee_core.terms.versions import Range

BOUND = 10.0
"""Seconds for what takes microseconds."""


class Ready:
    """A balancer that only keeps what it is told."""

    settle = None

    def __init__(self):
        self.updates = []

    def update(self, ready):
        self.updates.append([node.id for node in ready])

    def pick(self, key, tried, now, rng):
        raise NotImplementedError


class Switch:
    """A breaker whose state the test sets; ``settle`` says whether it changed."""

    def __init__(self, node):
        self.node = node
        self.state = "closed"
        self.changed = False
        self.settled = []

    def admit(self, now):
        return "permit"

    def probed(self, ok, now):
        return None

    def settle(self, permit, outcome, seconds, now):
        self.settled.append((permit, outcome, seconds, now))
        return Change(self.node, "closed", self.state) if self.changed else None


class Switches:
    """The switches of a service; a sweep makes the changes that the test has put there."""

    def __init__(self):
        self.due = []
        self.left = []
        self.next_at = None

    def node(self, node):
        return Switch(node)

    def sweep(self, now):
        due, self.due = self.due, []
        return due, self.next_at

    def forget(self, node):
        self.left.append(node.id)


class Channel:
    def __init__(self, node):
        self.node = node


def node(name, **fields):
    return Node(name, fields.pop("url", f"tcp://{name}:1"), **fields)


class World:
    def __init__(self, directory=None, breakers=False, make_channel=Channel):
        self.balancer = Ready()
        self.dropped = []
        self.complaints = []
        self.drop_raises = False
        self.switches = Switches()
        self.set = NodeSet(
            "calc",
            directory or Directory(),
            self.balancer,
            make_channel,
            self.switches if breakers else None,
            self.drop,
            PluginFaults(self.complaints.append, lambda: 1.0),
        )
        self.revision = 0

    def drop(self, channel):
        self.dropped.append(channel)
        if self.drop_raises:
            raise ZeroDivisionError

    def apply(self, *nodes, source="registry"):
        self.revision += 1
        self.set.apply(Snapshot(self.revision, source, tuple(nodes)))

    def change(self, name, state):
        """The breaker of a node changes with a call there."""
        breaker = self.breaker(name)
        breaker.state, breaker.changed = state, True
        self.set.settle(self.set.states[name], "permit", None, 0.5, 1.0)

    def breaker(self, name):
        self.channel(name)
        return self.set.states[name].breaker

    def channel(self, name):
        state = self.set.states[name]
        return (state.attempt or self.set.connect(state)).channel


def test_the_balancer_is_told_the_nodes_of_a_snapshot():
    world = World()
    world.apply(node("a"), node("b"))
    assert world.balancer.updates == [["a", "b"]]


def test_a_node_that_stays_keeps_its_channel_and_its_breaker():
    world = World(breakers=True)
    world.apply(node("a"), node("b"))
    before = world.channel("a"), world.breaker("a")
    world.apply(node("a"), node("c"))
    assert (world.channel("a"), world.breaker("a")) == before


def test_a_node_that_leaves_has_its_channel_dropped_once():
    world = World()
    world.apply(node("a"), node("b"))
    gone = world.channel("b")
    world.apply(node("a"))
    world.apply(node("a"))
    assert world.dropped == [gone]


def test_nothing_is_made_for_a_node_before_a_call_goes_there():
    world = World(breakers=True)
    world.apply(node("a"), node("b"))
    attempt = world.set.connect(world.set.states["a"])
    assert world.set.connect(world.set.states["a"]) is attempt
    assert (attempt.channel.node.id, world.set.states["a"].breaker.state) == ("a", "closed")
    assert (world.set.states["b"].attempt, world.set.states["b"].breaker) == (None, UNUSED)
    world.apply(node("a"))
    assert world.dropped == []  # nobody called b


def test_a_node_that_leaves_as_the_first_call_goes_there_has_its_channel_dropped():
    world = World(breakers=True)
    world.apply(node("a"))
    state = world.set.states["a"]
    world.apply()
    assert world.set.connect(state).channel is world.dropped[0]


def test_a_first_call_that_holds_a_node_from_the_list_before_uses_the_channel_of_the_newer_one():
    world = World(breakers=True)
    world.apply(node("a"))
    state = world.set.states["a"]
    world.apply(node("a", weight=2.0))
    assert world.set.connect(state) is world.set.connect(world.set.states["a"])
    assert state.breaker is world.breaker("a")
    assert world.dropped == []


def test_a_node_that_moves_gets_a_new_channel_and_a_clean_record():
    world = World(breakers=True)
    world.apply(node("a"))
    old, breaker = world.channel("a"), world.set.states["a"].breaker
    world.apply(node("a", url="tcp://elsewhere:1"))
    assert world.channel("a") is not old
    assert world.breaker("a") is not breaker
    assert world.dropped == [old]


def test_a_node_with_another_weight_keeps_its_connections():
    world = World(breakers=True)
    world.apply(node("a"))
    old, breaker = world.channel("a"), world.set.states["a"].breaker
    world.apply(node("a", weight=5.0))
    assert (world.channel("a"), world.set.states["a"].breaker) == (old, breaker)
    assert world.set.states["a"].node.weight == 5.0
    assert world.dropped == []


@pytest.mark.parametrize("revision", [1, 2])
def test_an_older_snapshot_and_one_seen_already_change_nothing(revision):
    world = World()
    world.set.apply(Snapshot(2, "registry", (node("a"),)))
    world.set.apply(Snapshot(revision, "registry", (node("b"),)))
    assert list(world.set.states) == ["a"]
    assert world.balancer.updates == [["a"]]


def test_nodes_that_do_not_fit_are_kept_apart():
    world = World(Directory(Range.parse(">=1.0, <2")))
    world.apply(node("a", version="1.4.0"), node("b", version="2.0.0"))
    assert list(world.set.states) == ["a"]
    assert [rejected.node.id for rejected in world.set.selection.rejected] == ["b"]


def test_a_node_whose_version_ceases_to_fit_leaves():
    world = World(Directory(Range.parse("1.x")))
    world.apply(node("a", version="1.4.0"))
    channel = world.channel("a")
    world.apply(node("a", version="2.0.0"))
    assert world.set.states == {}
    assert world.dropped == [channel]


def test_states_are_replaced_whole_so_a_call_may_read_them_without_a_lock():
    world = World()
    world.apply(node("a"))
    before = world.set.states
    world.apply(node("b"))
    assert list(before) == ["a"]


def test_an_open_node_is_not_ready_and_a_half_open_one_is():
    world = World(breakers=True)
    world.apply(node("a"), node("b"), node("c"))
    world.change("a", "open")
    world.change("b", "half-open")
    assert world.balancer.updates[-1] == ["b", "c"]


def test_the_ready_set_is_rebuilt_when_a_breaker_changes_and_not_for_every_call():
    world = World(breakers=True)
    world.apply(node("a"))
    world.channel("a")
    state = world.set.states["a"]
    world.set.settle(state, "permit", None, 0.5, 5.0)
    assert len(world.balancer.updates) == 1
    state.breaker.changed, state.breaker.state = True, "open"
    world.set.settle(state, "permit", None, 0.5, 6.0)
    assert world.balancer.updates[1:] == [[]]
    assert state.breaker.settled == [("permit", None, 0.5, 5.0), ("permit", None, 0.5, 6.0)]


def test_a_verdict_on_a_node_that_has_left_is_taken_and_brings_it_not_back():
    world = World(breakers=True)
    world.apply(node("a"), node("b"))
    world.channel("a")
    state = world.set.states["a"]
    world.apply(node("b"))
    state.breaker.changed = True
    world.set.settle(state, "permit", None, 0.5, 5.0)
    assert world.balancer.updates[-1] == ["b"]


def test_channels_are_dropped_outside_of_the_lock():
    class Asking(World):
        def drop(self, channel):
            asking = threading.Thread(target=lambda: self.set.selection, daemon=True)  # locks
            asking.start()
            asking.join(BOUND)
            assert not asking.is_alive()
            super().drop(channel)

    world = Asking()
    world.apply(node("a"))
    world.channel("a")
    world.apply()
    assert len(world.dropped) == 1


def test_a_forked_child_gets_a_lock_that_nobody_holds():
    world = World()
    world.set.lock.acquire()
    world.set.after_fork()
    world.apply(node("a"))
    assert list(world.set.states) == ["a"]


# ── why there is none ──


def test_nobody_known_is_unavailable():
    world = World()
    assert world.set.explain_none()[0] == "unavailable"
    world.apply()
    kind, message = world.set.explain_none()
    assert kind == "unavailable"
    assert "no node of calc is known" in message


def test_where_none_fits_the_versions_are_listed():
    world = World(Directory(Range.parse(">=1.0, <2")))
    world.apply(node("a", version="2.0.0"))
    kind, message = world.set.explain_none()
    assert kind == "unavailable"
    assert "2.0.0 (1 node)" in message
    assert ">=1.0, <2" in message


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (
            "a",
            (
                "the one fitting node of calc is cut off by its breaker; "
                "it is pinged, and comes back by itself"
            ),
        ),
        (
            "ab",
            (
                "all 2 fitting nodes of calc are cut off by breakers; "
                "they are pinged, and come back by themselves"
            ),
        ),
    ],
)
def test_fitting_nodes_that_give_no_permit_are_cut_off(names, text):
    world = World(breakers=True)
    world.apply(*map(node, names))
    kind, message = world.set.explain_none()
    assert kind == "circuit_open"
    assert message == text


def test_nodes_of_weight_0_are_not_called_cut_off():
    world = World(breakers=True)
    world.apply(node("a", weight=0.0))
    kind, message = world.set.explain_none()
    assert kind == "unavailable"
    assert "weight 0" in message


def test_a_balancer_that_picks_none_of_the_nodes_is_named():
    world = World()
    world.apply(node("a"))
    assert world.set.explain_none() == (
        "unavailable",
        "the balancer picked none of the fitting nodes of calc (1)",
    )


# ── any history of snapshots ──

_listed = st.lists(
    st.builds(
        node,
        st.sampled_from("abcd"),
        url=st.sampled_from(("tcp://x:1", "tcp://y:1")),
        weight=st.sampled_from((1.0, 2.0)),
    ),
    unique_by=lambda n: n.id,
)


@given(st.lists(_listed, max_size=8))
def test_after_any_history_each_node_has_one_open_channel_and_every_other_was_dropped_once(history):
    made = []
    world = World(make_channel=lambda node: made.append(Channel(node)) or made[-1])
    for nodes in history:
        world.apply(*nodes)
    held = [world.channel(name) for name in world.set.states]
    assert {state.node for state in world.set.states.values()} == set(
        history[-1] if history else ()
    )
    assert all(
        world.channel(name).node.url == state.node.url for name, state in world.set.states.items()
    )
    assert sorted(map(id, held + world.dropped)) == sorted(map(id, made))


def test_a_node_is_a_value():
    assert attrs.evolve(node("a"), weight=1.0) == node("a")
    assert str(node("a")) == "tcp://a:1"


_names = st.sampled_from("abcdefgh")
_listed = st.dictionaries(
    _names,
    st.tuples(
        st.sampled_from(["tcp://one:1", "tcp://two:1"]),
        st.sampled_from(["1.0.0", "2.0.0", None]),
        st.sampled_from([1.0, 2.0]),
        st.sampled_from([(), ("gpu",)]),
    ),
)


@given(st.lists(st.tuples(_listed, st.sets(_names)), min_size=1, max_size=8))
def test_changes_lead_to_the_same_as_whole_lists(steps):
    """Two sets get the same lists, one of them with what changed.

    Calls go to the same nodes of both, and some of their breakers open.
    """
    whole, piecewise = worlds = [
        World(Directory(Range.parse("^1.0"), frozenset()), breakers=True) for _ in range(2)
    ]
    before = {}
    for revision, (listed, called) in enumerate(steps, 1):
        nodes = {
            name: Node(name, url, version, weight, tags=frozenset(tags))
            for name, (url, version, weight, tags) in listed.items()
        }
        put = tuple(one for name, one in nodes.items() if before.get(name) != one)
        changes = Changes(revision - 1, put, frozenset(before.keys() - nodes.keys()))
        whole.set.apply(Snapshot(revision, "registry", tuple(nodes.values())))
        piecewise.set.apply(
            Snapshot(revision, "registry", tuple(nodes.values()), changes if revision > 1 else None)
        )
        before = nodes
        for world in worlds:
            for name in sorted(called & world.set.states.keys()):
                world.change(name, "open" if world.breaker(name).state == "closed" else "closed")
        facts = [
            (
                {
                    name: (state.node, state.attempt is None, state.breaker.state)
                    for name, state in world.set.states.items()
                },
                sorted(world.balancer.updates[-1]),
                sorted(channel.node.url for channel in world.dropped),
                {rejected.node for rejected in world.set.selection.rejected},
            )
            for world in worlds
        ]
        assert facts[0] == facts[1]


def test_changes_since_another_list_than_the_last_are_not_trusted():
    world = World()
    world.apply(node("a"), node("b"))
    world.set.apply(Snapshot(9, "registry", (node("c"),), Changes(7, (node("c"),))))
    assert list(world.set.states) == ["c"]


# ── breakers of a service ──


def test_a_sweep_takes_nodes_out_and_back_and_says_when_the_next_one_is_due():
    world = World(breakers=True)
    world.apply(node("a"), node("b"))
    told = []
    world.set.on_breaker_change = lambda *news: told.append((news[0].id, *news[1:]))
    breaker = world.breaker("a")
    breaker.state = "open"
    world.switches.due, world.switches.next_at = [Change(node("a"), "closed", "open")], 15.0
    assert world.set.sweep(10.0) == 15.0
    assert world.balancer.updates[-1] == ["b"]
    assert told == [("a", "closed", "open")]
    world.switches.next_at = None
    assert world.set.sweep(15.0) is None
    assert told == [("a", "closed", "open")], "nothing has changed since"


def test_a_sweep_of_a_node_that_has_left_changes_nothing():
    world = World(breakers=True)
    world.apply(node("a"))
    world.switches.due = [Change(node("gone"), "closed", "open")]
    assert world.set.sweep(10.0) is None
    assert world.balancer.updates == [["a"]]


@pytest.mark.parametrize("next_at", [0.0, 10.0], ids=["past", "now"])
def test_sweeps_do_not_follow_each_other_without_a_pause(next_at):
    world = World(breakers=True)
    world.switches.next_at = next_at
    assert world.set.sweep(10.0) == 10.0 + MIN_PAUSE


def test_a_sweep_that_raises_is_said_and_tried_again_later():
    world = World(breakers=True)
    world.switches.sweep = lambda now: 1 / 0
    assert world.set.sweep(10.0) > 10.0 + MIN_PAUSE
    (line,) = world.complaints
    assert "sweep raised ZeroDivisionError" in line


def test_without_breakers_there_is_nothing_to_sweep():
    assert World().set.sweep(10.0) is None


def test_breakers_are_told_of_a_node_that_has_left():
    world = World(breakers=True)
    world.apply(node("a"), node("b"))
    world.channel("a")
    world.apply(node("b"))
    assert world.switches.left == ["a"]


def test_plugins_that_raise_keep_no_list_from_being_taken():
    world = World(breakers=True)
    world.apply(node("a"), node("b"))
    for name in "ab":
        world.channel(name)
    world.balancer.update = lambda ready: 1 / 0
    world.switches.forget = lambda node: 1 / 0
    world.drop_raises = True
    world.apply(node("c"))
    assert set(world.set.states) == {"c"}
    assert sorted(channel.node.id for channel in world.dropped) == ["a", "b"], (
        "the channel of each node is let go"
    )
    said = " ".join(world.complaints)
    assert all(f"{name} raised ZeroDivisionError" in said for name in ("update", "retire"))
    world.set.after_fork()


def test_a_breaker_that_raises_is_said_and_the_node_stays():
    world = World(breakers=True)
    world.apply(node("a"))
    breaker = world.breaker("a")
    breaker.settle = breaker.probed = lambda *_: 1 / 0
    world.set.settle(world.set.states["a"], "permit", None, 0.5, 5.0)
    world.set.probed("a", breaker, True, 5.0)
    assert [line.split(" raised")[0].split(": ")[-1] for line in world.complaints] == [
        "settle",
        "probed",
    ]
    assert world.balancer.updates == [["a"]]


@pytest.mark.parametrize("state", [None, "ajar", []], ids=repr)
def test_a_breaker_whose_state_is_nonsense_takes_no_node_out(state):
    world = World(breakers=True)
    world.apply(node("a"))
    told = []
    world.set.on_breaker_change = lambda *news: told.append(news)
    world.change("a", state)
    assert world.balancer.updates[-1] == ["a"]
    assert told == []
    assert "state is none of closed, open, half-open" in world.complaints[0]


class Bounded(Switches):
    """Switches that know how many nodes there are, and why each was switched off."""

    def __init__(self):
        super().__init__()
        self.sizes = []
        self.raises = False

    def node(self, node):
        made = super().node(node)
        made.why = self.why
        return made

    def resize(self, nodes):
        self.sizes.append((nodes, list(self.left)))
        if self.raises:
            raise ZeroDivisionError
        due, self.due = self.due, []
        return due

    def why(self, now):
        if self.raises:
            raise ZeroDivisionError
        return f"it failed before {now}"


def bounded_world():
    world = World(breakers=True)
    switches = Bounded()
    faults = PluginFaults(world.complaints.append, lambda: 1.0)
    world.set = NodeSet("calc", Directory(), world.balancer, Channel, switches, world.drop, faults)
    world.switches = switches
    return world


def test_breakers_hear_how_many_nodes_there_are_after_those_that_left():
    world = bounded_world()
    world.apply(node("a"), node("b"))
    world.channel("b")
    world.apply(node("a"))
    assert world.switches.sizes == [(2, []), (1, ["b"])]


def test_nodes_that_come_back_because_others_left_are_ready_at_once():
    world = bounded_world()
    world.apply(node("a"), node("b"))
    world.change("a", "open")
    assert world.balancer.updates[-1] == ["b"]
    breaker = world.breaker("a")
    breaker.state = "closed"
    world.switches.due = [Change(node("a"), "open", "closed")]
    world.apply(node("a"))
    assert world.balancer.updates[-1] == ["a"]


def test_what_a_node_was_cut_off_for_is_said_while_it_is():
    world = bounded_world()
    world.apply(node("a"), node("b"))
    assert world.set.why_cut_off("a", 5.0) == ""
    world.change("a", "open")
    assert world.set.why_cut_off("a", 5.0) == "it failed before 5.0"
    assert world.set.why_cut_off("c", 5.0) == ""
    world.breaker("b").state, world.breaker("b").why = "open", None
    assert world.set.why_cut_off("b", 5.0) == ""


def test_breakers_that_raise_when_they_are_resized_or_asked_why_cost_nothing():
    world = bounded_world()
    world.apply(node("a"))
    world.change("a", "open")
    world.switches.raises = True
    world.apply(node("a"), node("b"))
    assert world.balancer.updates[-1] == ["b"]
    assert world.set.why_cut_off("a", 5.0) == ""
    assert ["resize" in line or "why" in line for line in world.complaints] == [True, True]
