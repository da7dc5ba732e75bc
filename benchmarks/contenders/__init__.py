"""Who takes part: bee, its peers, and floors. One module a library, one shape for all.

``contender.py`` says what the shape is. A new peer is a module beside the others and a line here.
"""

from __future__ import annotations

from . import bee, capnp, connect, floors, grpcio, http_json, pyro, rpyc, thrift
from .contender import Contender

BEE: dict[str, Contender] = {
    "bee": bee.Bee(),
    "bee-pure": bee.Bee(
        "bee, pure path",
        "the same without the native exchange (`BEE_NATIVE=0`)",
        environment={"BEE_NATIVE": "0"},
    ),
    "bee-sleeping": bee.Bee(
        "bee, `busy_poll: 0`",
        "the same, and a lone thread sleeps while it waits, as all others here do",
        transport={"busy_poll": 0},
    ),
}
PEERS: dict[str, Contender] = {
    "thriftpy2": thrift.Thrift(),
    "thriftpy2-aio": thrift.ThriftAio(),
    "grpcio": grpcio.Grpcio(),
    "grpc.aio": grpcio.GrpcAio(),
    "pycapnp": capnp.Capnp(),
    "connectrpc": connect.Connect(),
    "http-json": http_json.HttpJson(),
    "rpyc": rpyc.Rpyc(),
    "pyro5": pyro.Pyro(),
}
FLOORS: dict[str, Contender] = {
    "raw-socket": floors.RawSocket(),
    "bare-blocking": floors.BareProtocolBlocking(),
    "uvloop-echo": floors.UvloopEcho(),
    "bare": floors.BareProtocol(),
}
HANDLERS: dict[str, Contender] = {
    "bee-nonblocking": bee.Bee(
        "bee, `@nonblocking`", "a handler that runs on the loop", method="echo_nonblocking"
    ),
    "bee-threaded": bee.Bee(
        "bee, `def`", "a handler that runs on the service's threads", method="echo_threaded"
    ),
}
GOVERNANCE: dict[str, Contender] = {
    "bee-none": bee.Bee("bee, no governance", "no part of it", service=bee.UNGOVERNED),
    **{
        f"bee-without-{part}": bee.Bee(f"bee, no {part}", f"all but the {part}", service=settings)
        for part, settings in bee.WITHOUT.items()
    },
    "bee-limited": bee.Bee(
        "bee, a limiter too",
        "all, and the limiter `fixed`",
        service={"limiter": {"name": "fixed", "options": {"max_in_flight": 1000}}},
    ),
}
WORKERS: dict[str, Contender] = {
    "bee-workers-2": bee.Bee("bee, `workers: 2`", "two server processes", server={"workers": 2}),
}
CONTENDERS: dict[str, Contender] = {
    **BEE, **PEERS, **FLOORS, **HANDLERS, **GOVERNANCE, **WORKERS
}  # fmt: skip

__all__ = ["BEE", "CONTENDERS", "FLOORS", "GOVERNANCE", "HANDLERS", "PEERS", "WORKERS", "Contender"]
