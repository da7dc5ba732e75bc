"""bee's own scenarios. All begin well, so that the figures before the trouble are there too."""

from __future__ import annotations

from .scenario import Cache, CallKind, Latency, Scenario, Trouble

_ALL = (
    Scenario(
        name="slow-node",
        about="one node is 50 times as slow from 10 s on",
        troubles=(Trouble(kind="slow", at=10, count=1, times=50),),
    ),
    Scenario(
        name="gray-node",
        about="one of 20 nodes loses 15 % of its calls from 10 s on, the others 1 %",
        troubles=(
            Trouble(kind="fail", failure="reset", rate=0.01),
            Trouble(kind="fail", at=10, count=1, failure="reset", rate=0.15),
        ),
    ),
    Scenario(
        name="lost-answers",
        about="every node loses the answers of 5 % of its calls from 10 s on: the call has run",
        troubles=(Trouble(kind="fail", at=10, failure="reset", rate=0.05),),
    ),
    Scenario(
        name="invalidate",
        about="every node must hear of each call; from 10 s on a fifth of them rejects 30 %",
        rate=20,
        calls=(CallKind(method="invalidate", idempotent=True, everyone=True),),
        troubles=(Trouble(kind="fail", at=10, share=0.2, failure="overloaded", rate=0.3),),
    ),
    Scenario(
        name="dead-nodes",
        about="10 % of the nodes are killed at 10 s, and listed until their lease ends",
        troubles=(Trouble(kind="dead", at=10, share=0.1),),
    ),
    Scenario(
        name="rolling-deploy",
        about="every node is restarted, one after another, and is slow for its first 5 s",
        load=0.5,
        troubles=(Trouble(kind="deploy", at=10, every=2, down=2, warm_up=5, warm_times=5),),
    ),
    Scenario(
        name="flapping",
        about="10 % of the nodes are gone for 5 s and back for 5 s, by turns",
        troubles=(Trouble(kind="flap", at=10, until=50, share=0.1, period=5),),
    ),
    Scenario(
        name="zone-cut",
        about="the network to one of three zones is cut from 10 s to 40 s",
        nodes=21,
        zones=("a", "b", "c"),
        troubles=(Trouble(kind="unreachable", at=10, until=40, zone="c"),),
    ),
    Scenario(
        name="overload",
        about="from 10 s to 40 s 4 times as many calls, by default twice what the nodes can handle",
        load=0.5,
        troubles=(Trouble(kind="surge", at=10, until=40, times=4),),
    ),
    Scenario(
        name="cold-start",
        about="a quarter of the nodes starts at 10 s and is 20 times as slow at first, for 20 s",
        load=0.5,
        troubles=(Trouble(kind="join", at=10, share=0.25, warm_up=20, warm_times=20),),
    ),
    Scenario(
        name="retry-storm",
        about="from 10 s to 20 s every node answers 80 % of its calls with `unavailable`",
        load=0.7,
        troubles=(
            Trouble(kind="fail", at=10, until=20, failure="unavailable", rate=0.8),
        ),
    ),
    Scenario(
        name="caches",
        about="nodes remember the last 1,000 of 10,000 keys; one node is killed at 20 s",
        load=0.9,
        workers=2,
        cache=Cache(size=1000, hit=0.1),
        calls=(CallKind(method="read", idempotent=True, keys=10_000, skew=0.8),),
        troubles=(Trouble(kind="dead", at=20, count=1),),
    ),
    Scenario(
        name="zones",
        about="three zones 10 ms apart, each with clients; one loses its nodes at 20 s",
        nodes=21,
        zones=("a", "b", "c"),
        clients=21,
        workers=2,
        between_zones=0.01,
        troubles=(Trouble(kind="unreachable", at=20, zone="c"),),
    ),
    Scenario(
        name="many-clients",
        about="100 clients with few calls each; from 10 s on 85 % of what the nodes can handle",
        load=0.5,
        clients=100,
        workers=4,
        seconds=30,
        troubles=(Trouble(kind="surge", at=10, times=1.7),),
    ),
    Scenario(
        name="methods",
        about="one method takes 1 ms, another 1 s; one node is 10 times as slow from 10 s on",
        workers=4,
        calls=(
            CallKind(
                method="quick", share=95.0, idempotent=True, latency=Latency(median=0.001)
            ),
            CallKind(method="slow", share=5.0, idempotent=True, latency=Latency(median=1.0)),
        ),
        troubles=(Trouble(kind="slow", at=10, count=1, times=10),),
    ),
)  # fmt: skip

SCENARIOS: dict[str, Scenario] = {one.name: one for one in _ALL}
"""By name."""
