"""Errors that bee raises.

The tree::

    BeeError
    ├── ConfigError            a configuration that cannot be used
    ├── PluginError            a plugin that is unknown, cannot be loaded, or is there twice
    ├── RegistryError          a registry that refuses
    │   ├── LeaseLost          a registration that has gone, as the registry says
    │   └── IdTaken            another server that lives has the id
    ├── ServiceError           a handler's own error, with a code: raised there, RemoteError here
    └── CallError              a call that did not give a result
        ├── RemoteError        the handler raised
        ├── PluginFault        a plugin broke its contract in the middle of a call
        ├── MethodNotFound     the server has no such method
        ├── InvalidArgument    arguments or a result that do not fit the signature
        ├── Unavailable        no node, or none could be reached
        ├── DeadlineExceeded   the time ran out (also a TimeoutError)
        ├── CircuitOpen        every fitting node is cut off by its breaker
        ├── Overloaded         a limit was reached, here or at the server
        ├── MessageTooLarge    a body over max_size, also when compressed
        ├── CallCancelled      the call was given up, or its client was closed
        ├── Unauthenticated    the server did not accept the token or the certificate
        └── ProtocolError      bytes that are not bee's protocol, or a peer that breaks its rules

Every ``CallError`` says whether the handler ran: ``executed`` is ``"no"``, ``"maybe"`` or
``"yes"``. A write may be repeated by hand only after a ``"no"``. All errors can be pickled, so they
cross process pools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .terms.codes import checked_meaning
from .terms.metadata import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .terms.metadata import Metadata
    from .terms.node import Node

Executed = Literal["no", "maybe", "yes"]
"""Whether the handler of a failed call ran."""


class BeeError(Exception):
    """The root of all errors that bee raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by state, whatever a subclass's constructor takes."""
        return _remade, (type(self), self.args), self.__dict__


def _remade(cls: type[BeeError], args: tuple[Any, ...]) -> BeeError:
    error = cls.__new__(cls, *args)
    error.args = args  # one that is an OSError too leaves them to its constructor
    return error


class ConfigError(BeeError):
    """A configuration that cannot be used.

    Attributes:
        path: The key, dotted from the root: ``bee.rpc.client.calc.balancer``. Empty when the file
            as a whole is unusable.
        value: The value there, if any.
        expected: What would have been right.
        line: The line in the file, from 1, or None for a configuration that is not a file.
        files: The files that were read until then, by their absolute paths, with a digest of each.
    """

    files: Mapping[str, bytes] = {}

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        value: object = None,
        expected: str = "",
        line: int | None = None,
        source: str | None = None,
        problems: Sequence[ConfigError] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.value = value
        self.expected = expected
        self.line = line
        self.source = source
        self._problems = tuple(problems)

    @property
    def problems(self) -> tuple[ConfigError, ...]:
        """All problems found, this one first. Each is a ``ConfigError`` without further ones."""
        return self._problems or (self,)

    def __str__(self) -> str:
        """Where, what, and what to do, on one line for each problem."""
        if len(self.problems) > 1:
            return "\n".join(str(problem) for problem in self.problems)
        place = ":".join(str(part) for part in (self.source, self.line) if part)
        return ": ".join(part for part in (place, self.path, self.message) if part)


class PluginError(BeeError):
    """A plugin that is unknown, cannot be loaded, or whose name is taken twice."""


class RegistryError(BeeError):
    """A registry that refuses. One that is out of reach or garbled is an ``OSError``."""


class LeaseLost(RegistryError):
    """The registry says that a registration has gone: the server must register again."""


class IdTaken(RegistryError):
    """Another server that lives has registered the id. The message says which one."""


class ServiceError(BeeError):
    """An error that a handler means, with a code that its callers can act on.

    It reaches the client as a :class:`RemoteError`, executed ``yes``. It says nothing against the
    node and is not logged. An interceptor refuses a call by it, executed ``no``.

    Args:
        code: Your own text or one of gRPC's 16 codes, ``NOT_FOUND``; 1 to 64 printable characters.
        message: One sentence for a person.
        details: Any value that the codec of the call carries, up to 64 KiB encoded; None for none.
        retry_after: Seconds after which another try may help. bee itself does not try again.

    Raises:
        TypeError, ValueError: The code or ``retry_after`` cannot be used.
    """

    def __init__(
        self, code: str, message: str, *, details: Any = None, retry_after: float | None = None
    ) -> None:
        checked_meaning(code, retry_after)
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Code and message."""
        return f"{self.code}: {self.message}"


class CallError(BeeError):
    """A call that gave no result.

    Attributes:
        service: The service's name, as in the configuration.
        method: The method's name, ``Stats.mean`` for a method of a named object.
        node: The node of the last attempt, or None when there was none.
        attempts: How many attempts were made. A redial is not counted when it is certain that the
            request had not been sent.
        executed: Whether the handler ran: the most that any attempt may have done. One ``maybe``
            makes the call ``maybe``.
        metadata: Texts and bytes that the handler sent along with its error, by name.
    """

    kind = "call_error"
    metadata: Metadata = NOTHING

    def __init__(
        self,
        message: str,
        *,
        service: str = "",
        method: str = "",
        node: Node | None = None,
        attempts: int = 0,
        executed: Executed = "no",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.service = service
        self.method = method
        self.node = node
        self.attempts = attempts
        self.executed: Executed = executed

    def __str__(self) -> str:
        """The method, what went wrong, where, after how many attempts, and whether it ran."""
        if not self.service:
            return self.message
        name = f"{self.service}.{self.method}" if self.method else self.service
        details = [f"executed: {self.executed}"]
        if self.attempts:
            details.insert(0, f"{self.attempts} attempt{'s' if self.attempts != 1 else ''}")
        if self.node is not None:
            details.insert(0, f"node {self.node.url}")
        return f"{name}: {self._said()} ({', '.join(details)})"

    def _said(self) -> str:
        return self.message


class RemoteError(CallError):
    """The handler raised. The node is fine: it is the application's answer.

    Attributes:
        type: The name of the exception's class at the server, ``ValueError``.
        code: Of a :class:`ServiceError` or a declared error; else empty: nobody meant it.
        details: Of a :class:`ServiceError`; the fields of a declared error by name; or None.
        retry_after: Seconds after which another try may help, or None. bee does not act on it.
        traceback: The server's traceback, only where the server is told to send it.
    """

    kind = "remote_error"
    type: str = ""
    code: str = ""
    details: Any = None
    retry_after: float | None = None
    traceback: str | None = None

    def _said(self) -> str:
        if not self.type:
            return self.message
        code = f" ({self.code})" if self.code not in {"", self.type} else ""
        did = "refused with" if self.executed == "no" else "the handler raised"
        return f"{did} {self.type}{code}: {self.message}"


class PluginFault(CallError):
    """A plugin broke its contract in the middle of a call.

    The plugin's own exception is the ``__cause__``, where it was raised on this side.

    Attributes:
        plugin: The plugin, as ``balancer 'p2c'``.
        distribution: The distribution that brought it, or the empty string.
    """

    kind = "plugin_fault"
    plugin: str = ""
    distribution: str = ""


class MethodNotFound(CallError):
    """The server has no such method. The message lists similar names."""

    kind = "method_not_found"


class InvalidArgument(CallError):
    """Arguments or a result that do not fit the signature.

    Attributes:
        path: Where, from the argument on: ``$.order.lines[2].qty``.
    """

    kind = "invalid_argument"
    path: str = ""


class Unavailable(CallError):
    """There is no node that fits, or none could be reached."""

    kind = "unavailable"


class DeadlineExceeded(CallError, TimeoutError):
    """The time for the call, or for its last permitted attempt, ran out."""

    kind = "deadline_exceeded"


class CircuitOpen(CallError):
    """Every node that fits is cut off by its breaker."""

    kind = "circuit_open"


class Overloaded(CallError):
    """A limit was reached, at the client or at the server, before any work began.

    Attributes:
        retry_after: Seconds after which the server suggests another try, or None.
    """

    kind = "overloaded"
    retry_after: float | None = None


class MessageTooLarge(CallError):
    """A body over ``max_size``, also when compressed. Nothing was sent.

    Split the interface, or page the result.
    """

    kind = "message_too_large"


class CallCancelled(CallError):
    """The call was given up, or its client was closed."""

    kind = "cancelled"


class Unauthenticated(CallError):
    """The server did not accept the token, or the client's TLS certificate.

    It stays so until the configuration changes, so bee retries only where a function gives tokens.
    """

    kind = "unauthenticated"


class ProtocolError(CallError):
    """Bytes that are not bee's protocol, or a peer that breaks its rules."""

    kind = "protocol_error"


CALL_ERRORS: dict[str, type[CallError]] = {
    cls.kind: cls
    for cls in (
        RemoteError,
        PluginFault,
        MethodNotFound,
        InvalidArgument,
        Unavailable,
        DeadlineExceeded,
        CircuitOpen,
        Overloaded,
        MessageTooLarge,
        CallCancelled,
        Unauthenticated,
        ProtocolError,
    )
}
"""The class for each kind of failure."""
