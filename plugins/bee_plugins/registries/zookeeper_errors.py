"""What ZooKeeper's and kazoo's errors mean: a fact to deal with, a session that is gone, a registry out of reach, or a refusal."""

from __future__ import annotations

from kazoo.exceptions import (  # type: ignore[import-untyped]
    AuthFailedError,
    BadVersionError,
    ConnectionLoss,
    NewConfigNoQuorumError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    RequestTimeoutError,
    SessionClosedRequireSaslError,
    SessionExpiredError,
    SessionMovedError,
    ThrottledOpError,
    UnknownSessionError,
)

from bee_core.errors import RegistryError

GONE = (SessionExpiredError, UnknownSessionError)
"""The session is over, and all that it owned."""

_ANSWERS = (BadVersionError, NoNodeError, NodeExistsError, TimeoutError)
_OUT_OF_REACH = (
    ConnectionLoss,
    NewConfigNoQuorumError,
    OperationTimeoutError,
    RequestTimeoutError,
    SessionMovedError,
    ThrottledOpError,
)
_REFUSED = (AuthFailedError, NoAuthError, SessionClosedRequireSaslError)
_ADVICE = "username and password in bee.rpc.registry.options"


def raised(error: Exception, servers: str) -> Exception:
    """What a request raises: the error itself where its caller deals with it, else a ConnectionError or a RegistryError.

    Args:
        error: As kazoo has it.
        servers: Their names, for the message.
    """
    if isinstance(error, (*_ANSWERS, *GONE)):
        return error
    name = type(error).__name__
    if isinstance(error, _OUT_OF_REACH):
        return ConnectionError(f"the connection to ZooKeeper at {servers} was lost ({name})")
    if isinstance(error, _REFUSED):
        return RegistryError(f"ZooKeeper at {servers} does not permit it ({name}); see {_ADVICE}")
    return RegistryError(f"ZooKeeper at {servers} refuses: {name} {error}".rstrip())


def why_ended(error: BaseException | None, servers: str) -> Exception:
    """What whoever asks a session that cannot go on is told.

    Args:
        error: What ended it; None where it was closed.
        servers: Their names, for the message.
    """
    if error is None:
        return RegistryError(f"the session with ZooKeeper at {servers} was closed")
    if isinstance(error, _REFUSED):
        return RegistryError(f"ZooKeeper at {servers} refuses the credentials; correct {_ADVICE}")
    return ConnectionError(
        f"the session with ZooKeeper at {servers} broke off: {type(error).__name__}: {error}"
    )
