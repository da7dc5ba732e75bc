"""The server that the contract suite for transports calls: an endpoint, and a loop on a thread."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from bee_core.contracts.connection_numbers import ConnectionNumbers
from bee_core.contracts.memory_bound import MemoryBound
from bee_core.contracts.transport import Listener, ListenSettings
from bee_core.terms.failures import Failure, Load
from bee_core.wire.messages import Hello, HelloAck

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from typing_extensions import Self  # type checkers bring it

    from bee_core.contracts.endpoint import InboundCall, Running, ServedMethod
    from bee_core.contracts.transport import Transport

T = TypeVar("T")

BOUND = 20.0
"""Seconds after which something that does not happen has failed."""
SERVICE = "contract"
MAX_BODY = 1 << 20


class Held:
    """A request of the method ``hold`` that is not answered yet."""

    def __init__(self, rig: TransportRig, call: InboundCall) -> None:
        self.call = call
        self.cancelled = False
        self._rig = rig

    def cancel(self) -> None:
        """See :class:`bee_core.interfaces.Running`."""
        self.cancelled = True
        self._rig.noted()


class ContractEndpoint:
    """Answers by the method's name, on the loop's thread.

    ``echo`` gives the arguments back, ``fail`` an error, both with metadata. ``hold`` waits for
    the test, ``log`` is for oneway requests.

    Attributes:
        refusal: What each hello is refused with, or None.
        begun: The requests that have come.
        held: Those of ``hold``.
    """

    clock = staticmethod(time.monotonic)

    def __init__(self, rig: TransportRig) -> None:
        self.ack = HelloAck(SERVICE, "1.0.0", b"epoch", MAX_BODY)
        self.numbers = ConnectionNumbers(bytes, self.clock)
        self.draining = False
        self.refusal: Failure | None = None
        self.begun: list[InboundCall] = []
        self.held: list[Held] = []
        self._rig = rig

    def admit(self, hello: Hello) -> Failure | None:
        """See :class:`bee_core.interfaces.Endpoint`."""
        return self.refusal

    def identity(self, hello: Hello) -> str | None:
        """One for every token."""
        return None if hello.token is None else "somebody"

    def methods(self) -> Sequence[ServedMethod]:
        """None that are described."""
        return ()

    def load(self) -> Load:
        """A load that the suite recognizes."""
        return Load(7, 0.03)

    def begin(self, call: InboundCall) -> Running | None:
        """See :class:`bee_core.interfaces.Endpoint`."""
        self.begun.append(call)
        running = None
        if call.method == "hold":
            running = Held(self._rig, call)
            self.held.append(running)
        elif call.method == "fail":
            call.reply_metadata["why"] = b"\xff"
            call.fail(Failure("remote_error", "no", "yes", "never", "none", error_type="Oops"))
        elif call.method == "described":
            call.reply_metadata["text"] = "é"
            call.reply_metadata["raw"] = b"\x00\xff"
            call.reply(call.body, False)
        else:
            call.reply(call.body, False)
        self._rig.noted()
        return running


class TransportRig:
    """A listener on a loop of its own thread, for one test.

    Args:
        transport: The transport under test.
        url: Where to listen.
        bounds: Replace single bounds of the listener.
    """

    def __init__(self, transport: Transport, url: str, **bounds: Any) -> None:
        self._transport = transport
        self._asked = url
        self._settings = ListenSettings(
            **{
                "backlog": 64,
                "max_connections": 64,
                "read_timeout": BOUND,
                "write_timeout": BOUND,
                "max_body": MAX_BODY,
                "memory": MemoryBound(256 * MAX_BODY, MAX_BODY),
                **bounds,
            }
        )
        self._changed = Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self.endpoint = ContractEndpoint(self)
        self.listener: Listener

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self.listener = self.run(self._transport.listen(self._asked, self.endpoint, self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        """Close, and end the thread."""
        try:
            self.run(self.listener.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(BOUND)
            self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(BOUND)

    def do(self, action: Callable[[], object]) -> None:
        """Do something on the server's loop, and wait for its end."""

        async def done() -> None:
            action()

        self.run(done())

    def noted(self) -> None:
        """Something has happened at the endpoint."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, happened: Callable[[], object], what: str) -> None:
        """Wait until something has happened at the endpoint."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(happened()), BOUND), f"never: {what}"

    def held(self, number: int = 0) -> Held:
        """A request that is held, once it has come."""
        self.wait(lambda: len(self.endpoint.held) > number, "the request reaches the server")
        return self.endpoint.held[number]

    def answer(self, held: Held, body: bytes = b"late") -> None:
        """Answer a request that is held."""
        self.do(lambda: held.call.reply(body, False))


def open_descriptors() -> set[str]:
    """The sockets of this process, where the system tells."""
    found = set()
    folder = Path("/proc/self/fd")
    for entry in folder.iterdir() if folder.is_dir() else ():
        try:
            name = str(entry.readlink())
        except OSError:  # closed meanwhile
            continue
        if name.startswith("socket:"):
            found.add(name)
    return found


def settles(holds: Callable[[], bool]) -> bool:
    """Whether something becomes so within the bound. For what sends no event."""
    until = time.monotonic() + BOUND
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
