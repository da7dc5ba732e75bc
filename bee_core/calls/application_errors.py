"""What a client makes of an error that the server's application meant: details and exceptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, final

from ..errors import CallError, RemoteError
from ..methods.declared_errors import DETAILS
from ..methods.signatures import Signature
from ..terms.printable import brief

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..contracts.codec import MethodCodec
    from ..methods.declared_errors import DeclaredError
    from ..terms.failures import Failure
    from .service import Service

_DETAILS = Signature.dynamic(DETAILS)


@final
class Declared(NamedTuple):
    """An exception that a method declares, and the codec of its fields."""

    error: DeclaredError
    codec: MethodCodec


def bind_errors(
    service: Service[Any], method: str, errors: Iterable[DeclaredError]
) -> Mapping[str, Declared]:
    """What a plan knows of the exceptions of its method, by their names on the wire.

    Raises:
        TypeError: The codec cannot carry a field.
    """
    return {error.name: Declared(error, service.bind(error.signature(method))) for error in errors}


def read_details(service: Service[Any], failure: Failure, error: CallError) -> None:
    """Decode what came with an error. Details that cannot be decoded are said in its message."""
    if not failure.details or not isinstance(error, RemoteError):
        return
    try:
        error.details = service.bind(_DETAILS).decode_result(failure.details)
    except Exception as problem:
        service.faults.let_pass(problem)
        _note(error, f"its details cannot be decoded: {brief(problem)}")


def as_declared(
    service: Service[Any], errors: Mapping[str, Declared], failure: Failure, error: CallError
) -> Exception:
    """The exception that the method declares, raised from the ``RemoteError``; else that itself.

    Args:
        service: The call's.
        errors: What its method declares.
        failure: What the server said.
        error: The error that was made of it.
    """
    declared = errors.get(failure.error_type)
    # An exception of the same name that nobody meant has no code.
    if declared is None or not failure.code or not isinstance(error, RemoteError):
        return error
    try:
        made = declared.error.make(declared.codec.decode_result(failure.details), failure.message)
    except Exception as problem:  # the constructor of the application's class may raise anything
        service.faults.let_pass(problem)
        _note(error, f"no {declared.error.name} can be made of it: {brief(problem)}")
        return error
    made.__cause__ = error
    return made


def call_error_of(raised: Exception) -> CallError:
    """The ``CallError`` of a call that raised: what an interface declares is raised from it.

    Raises:
        Exception: ``raised`` itself, where it is no error of a call.
    """
    error = raised if isinstance(raised, CallError) else raised.__cause__
    if isinstance(error, CallError):
        return error
    raise raised


def _note(error: RemoteError, note: str) -> None:
    error.message = f"{error.message} ({note})"
    error.args = (error.message,)
