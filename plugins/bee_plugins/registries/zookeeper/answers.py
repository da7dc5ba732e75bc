"""What ZooKeeper's errors mean: an answer, a refusal, or nothing that can be relied on."""

from __future__ import annotations

from kazoo.exceptions import (  # type: ignore[import-untyped]
    AuthFailedError,
    BadVersionError,
    ConnectionLoss,
    DataInconsistency,
    MarshallingError,
    NewConfigNoQuorumError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotReadOnlyCallError,
    OperationTimeoutError,
    ReconfigInProcessError,
    RequestTimeoutError,
    RuntimeInconsistency,
    SessionClosedRequireSaslError,
    SessionExpiredError,
    SessionMovedError,
    ThrottledOpError,
    UnknownSessionError,
    ZookeeperError,
)

from bee_core.errors import RegistryError

GONE = (SessionExpiredError, UnknownSessionError)
"""The session is over, with everything that it owned."""
_ANSWERS = (BadVersionError, NoNodeError, NodeExistsError, TimeoutError)
_OUT_OF_REACH = (
    ConnectionLoss,
    DataInconsistency,
    MarshallingError,
    NewConfigNoQuorumError,
    NotReadOnlyCallError,
    OperationTimeoutError,
    ReconfigInProcessError,
    RequestTimeoutError,
    RuntimeInconsistency,
    SessionMovedError,
    ThrottledOpError,
)
REFUSED = (AuthFailedError, NoAuthError, SessionClosedRequireSaslError)
ADVICE = "username and password in bee.rpc.registry.options"


def classed(error: Exception, servers: str) -> Exception:
    """The error itself if callers deal with it, else a ConnectionError or RegistryError.

    Args:
        error: kazoo's.
        servers: What messages call the ensemble.
    """
    if isinstance(error, (*_ANSWERS, *GONE)):
        return error
    name = type(error).__name__
    if isinstance(error, _OUT_OF_REACH):
        return ConnectionError(f"the connection to ZooKeeper at {servers} was lost ({name})")
    if not isinstance(error, ZookeeperError):
        return ConnectionError(f"what ZooKeeper at {servers} answers cannot be read ({error!r})")
    if isinstance(error, REFUSED):
        return RegistryError(f"ZooKeeper at {servers} does not permit it ({name}); see {ADVICE}")
    return RegistryError(f"ZooKeeper at {servers} refuses: {name} {error}".rstrip())
