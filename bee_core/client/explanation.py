"""What would happen to a call now, and why.

It tells which nodes there are, which of them can be picked, and the value of each setting with the
line that states it. :func:`explain` is pure: it picks on a copy of the balancer, so the calls of
the service see no effect.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ..contracts.balancer_parts import remark
from .explained_settings import Setting, marks_of, registry_setting, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from random import Random

    from ..calls.service import Service
    from ..config.model import Config
    from ..contracts.policies import Balancer, BreakerState
    from ..nodes.node_state import NodeState
    from ..nodes.report import KnownNode, NodesReport
    from ..terms.node import Node

Standing = Literal["ready", "not serving", "half-open", "cut off", "weight 0", "filtered"]

_AHEAD = 5  # picks that are told where the order is certain
_SAMPLE = 1000  # picks of one copy
# Seeds of the copies. A balancer may start at a random one of two nodes and then take turns. With
# eight copies the chance to see a fixed order there is 1 in 128.
_SEEDS = range(1, 9)


@attrs.frozen
class NodeStanding:
    """One node as a call would find it.

    Attributes:
        node: The node.
        standing: ``ready``, ``not serving`` (so it answered a ping, or it did not answer; the
            balancer does not know that, and may still pick it), ``half-open`` (one call at a time
            shows whether it works), ``cut off`` (its breaker is open), ``weight 0``, ``filtered``.
        reason: Why it is not simply ready; empty when it is.
        breaker: The state of its breaker, or None where there is none.
        health: What it answered to a ping just now: ``serving``, ``draining``, or why there was no
            answer; empty when it was not asked.
        doubt: Why it is in doubt; empty when it is listed. Nodes in doubt are picked like others.
        remark: What the balancer says of it, if anything.
    """

    node: Node
    standing: Standing
    reason: str = ""
    breaker: BreakerState | None = None
    health: str = ""
    doubt: str = ""
    remark: str = ""


@attrs.frozen
class NextPick:
    """What the balancer would do for the next calls.

    Attributes:
        order: The nodes of the next calls, if the balancer has a fixed order; empty if it picks at
            random.
        shares: Each node that can be picked with its share of the calls, the largest first; shares
            add up to 1.
    """

    order: tuple[Node, ...] = ()
    shares: tuple[tuple[Node, float], ...] = ()


@attrs.frozen
class Explanation:
    """The answer of ``client.explain`` and ``bee explain``.

    Attributes:
        service: The service's name.
        method: The method's name, or None for the service as a whole.
        known: The nodes known, their source, and the state of the registry.
        nodes: Every node known as a call would find it, in the order of ``known``.
        next: What the balancer would pick; empty where there is an obstacle.
        obstacle: Why no node can be picked, or that all were asked and none serves, and what to do;
            empty otherwise.
        settings: What holds for the call.
        retries_left: Retries that the service's budget would pay for now.
        file: The configuration's file, or None.
    """

    service: str
    method: str | None
    known: NodesReport
    nodes: tuple[NodeStanding, ...]
    next: NextPick
    obstacle: str
    settings: tuple[Setting, ...]
    retries_left: int
    file: str | None

    def setting(self, name: str) -> Setting:
        """One of ``settings``.

        Raises:
            KeyError: There is none of this name.
        """
        return {one.name: one for one in self.settings}[name]


def explain(
    service: Service[Any],
    config: Config,
    known: NodesReport,
    method: str | None,
    *,
    key: str | None,
    make_balancer: Callable[[], Balancer],
    make_rng: Callable[[int], Random],
    health: Mapping[str, str],
    interface: Any = None,
) -> Explanation:
    """Put an explanation together. Any thread; calls go on meanwhile.

    Args:
        service: The service.
        config: The whole configuration.
        known: What is known of its nodes.
        method: The method, or None.
        key: The routing key of the call, or None.
        make_balancer: Makes a balancer like the service's.
        make_rng: Makes a source of randomness from a seed.
        health: What nodes said when they were asked, by id.
        interface: The interface whose marks the call would have, or None.

    Raises:
        TypeError: The interface cannot be used, or does not declare the method.
        PluginFault: The balancer broke its contract.
    """
    states = service.nodes.states
    nodes = tuple(
        _standing(one, states.get(one.node.id), health.get(one.node.id, "")) for one in known.nodes
    )
    # A node of weight 0 is in the ready set too: the balancer knows what that means.
    ready = tuple(one.node for one in nodes if one.standing not in {"cut off", "filtered"})
    try:
        ahead = _look_ahead(service.balancer, ready, key, make_balancer, make_rng, service.clock())
    except Exception as error:  # whatever a balancer does, the error names it
        raise service.faults.fault(service.balancer, "pick", error) from error
    nodes = tuple(_remarked(one, service) for one in nodes)
    obstacle = _silence(ready, health) if ahead.shares else service.nodes.explain_none()[1]
    return Explanation(
        service.name,
        method,
        known,
        nodes,
        NextPick() if obstacle else ahead,
        obstacle,
        (
            registry_setting(config),
            *settings_of(service, config, method, marks_of(interface, method)),
        ),
        service.budget.balance(service.clock()),
        config.source,
    )


def _silence(ready: tuple[Node, ...], health: Mapping[str, str]) -> str:
    """That nodes were asked and none of them serves; empty if one does, or was not asked."""
    answers = [(node, health.get(node.id, "serving")) for node in ready if node.weight > 0]
    if any(answer == "serving" for _, answer in answers):
        return ""
    node, answer = answers[0]
    which = "the one node" if len(answers) == 1 else f"none of the {len(answers)} nodes"
    verb = "does not serve" if len(answers) == 1 else "serves"
    return f"{which} that can be picked {verb}: {node.url}: {answer}"


def _remarked(one: NodeStanding, service: Service[Any]) -> NodeStanding:
    if one.standing in {"cut off", "filtered", "weight 0"}:
        return one
    try:
        return attrs.evolve(one, remark=remark(service.balancer, one.node, service.clock()))
    except Exception as error:
        raise service.faults.fault(service.balancer, "remark", error) from error


def _standing(known: KnownNode, state: NodeState[Any] | None, health: str) -> NodeStanding:
    node = known.node
    if not known.fitting:
        return NodeStanding(node, "filtered", known.reason, doubt=known.doubt)
    breaker = None if state is None or state.breaker is None else state.breaker.state
    standing: Standing = "ready"
    reason = ""
    if breaker == "open":
        standing, reason = "cut off", "its breaker is open; it is pinged, and comes back by itself"
        if known.cut_off:
            reason += f"; why: {known.cut_off}"
    elif not node.weight > 0:
        standing, reason = "weight 0", "takes no calls"
    elif health == "draining":
        standing, reason = "not serving", "it is draining: its calls are sent on to others"
    elif health not in {"", "serving"}:
        standing, reason = "not serving", "a call that meets it fails there"
    elif breaker == "half-open":
        standing, reason = (
            "half-open",
            "it answers pings again; one call at a time shows whether it works",
        )
        if known.cut_off:
            reason += f"; it was cut off for: {known.cut_off}"
    return NodeStanding(node, standing, reason, breaker, health, known.doubt)


def _look_ahead(
    balancer: Balancer,
    ready: tuple[Node, ...],
    key: str | None,
    make_balancer: Callable[[], Balancer],
    make_rng: Callable[[int], Random],
    now: float,
) -> NextPick:
    """Pick many times on copies with different seeds.

    A balancer that picks at random gives different runs. Then only the shares can be told.
    """
    twin: Callable[[], Balancer] = getattr(balancer, "twin", None) or make_balancer
    runs: list[list[Node]] = []
    for seed in _SEEDS:
        copy, rng = twin(), make_rng(seed)
        copy.update(ready)
        runs.append(list(_picks(copy, key, now, rng, max(_SAMPLE, 2 * len(ready)))))
    counts = Counter(node.id for run in runs for node in run)
    total = counts.total()
    by_id = {node.id: node for node in ready}
    shares = tuple(
        (by_id[node_id], count / total)
        for node_id, count in counts.most_common()
        if node_id in by_id
    )
    return NextPick(tuple(runs[0][:_AHEAD]) if all(run == runs[0] for run in runs) else (), shares)


def _picks(
    balancer: Balancer, key: str | None, now: float, rng: Random, number: int
) -> Iterator[Node]:
    for _ in range(number):
        node = balancer.pick(key, (), now, rng)
        if node is None:
            return
        if balancer.settle is not None:
            # The copy may count the calls that run. Without this none of them would end.
            balancer.settle(node, None, 0.0, now)
        yield node
