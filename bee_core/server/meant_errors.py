"""Errors that a handler or an interceptor means: ``ServiceError``, and what a method declares."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import InvalidArgument, ServiceError
from ..terms.failures import Failure
from ..terms.printable import brief, name_of, printable, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..contracts.codec import MethodCodec
    from ..errors import Executed
    from ..methods.declared_errors import DeclaredError

MAX_DETAILS = 64 * 1024
"""Bytes of an error's details. What is larger belongs into a result."""
_LONGEST = 6 * 1024  # characters of a message that is followed by a note, so that the note is sent


@attrs.frozen(eq=False)
class MeantErrors:
    """Makes failures of the errors that one method means, for one codec. From any thread.

    Args:
        details: Encodes details of any type; None where nothing can.
        declared: By class: what the method declares, and what encodes its fields.
    """

    _details: MethodCodec | None = None
    _declared: Mapping[type, tuple[DeclaredError, MethodCodec]] = MappingProxyType({})

    def failure_of(
        self, error: BaseException, executed: Executed, max_body: int | None
    ) -> tuple[Failure, BaseException | None] | None:
        """The failure for an error that was meant; None for any other exception. Never raises.

        Args:
            error: What was raised.
            executed: Whether the handler ran.
            max_body: Bytes that the caller takes in a body, or None for no word on it.

        Returns:
            The failure, and why its details could not be encoded: a bug at this side.
        """
        for cls in type(error).__mro__:
            if cls in self._declared:
                declared, codec = self._declared[cls]
                return self._declared_failure(declared, codec, error, executed, max_body)
        if isinstance(error, ServiceError):
            return self._service_failure(error, executed, max_body)
        return None

    def _declared_failure(
        self,
        declared: DeclaredError,
        codec: MethodCodec,
        error: Any,
        executed: Executed,
        max_body: int | None,
    ) -> tuple[Failure, BaseException | None]:
        failure = Failure("remote_error", "", executed, "never", "none", error_type=declared.name)
        failure.code = declared.name
        try:  # properties of the class may raise anything
            failure.message = declared.text_of(error)
            failure.code = declared.code_of(error)
            encoded = codec.encode_result(declared.values(error))
        except BaseException as problem:
            failure.message = failure.message or text_of(error)
            return _noted(failure, _reason(problem)), problem
        return _packed(failure, encoded, max_body), None

    def _service_failure(
        self, error: ServiceError, executed: Executed, max_body: int | None
    ) -> tuple[Failure, BaseException | None]:
        failure = Failure("remote_error", "", executed, "never", "none", error_type=name_of(error))
        try:  # a subclass may have set anything
            failure.message = str.__str__(str(error.message))
            failure.code = printable(error.code)
            failure.retry_after = None if error.retry_after is None else float(error.retry_after)
            if error.details is None or self._details is None:
                return failure, None
            encoded = self._details.encode_result(error.details)
        except BaseException as problem:
            failure.message = failure.message or text_of(error)
            return _noted(failure, _reason(problem)), problem
        return _packed(failure, encoded, max_body), None


NO_DETAILS = MeantErrors()
"""For a handler that no codec is bound to: it has codes, and no details."""


def _packed(failure: Failure, encoded: Any, max_body: int | None) -> Failure:
    most = MAX_DETAILS if max_body is None else min(MAX_DETAILS, max_body)
    if type(encoded) is not bytes:
        return _noted(failure, f"the codec made a {name_of(encoded)} of them")
    if len(encoded) > most:
        return _noted(failure, f"they have {len(encoded)} bytes, and at most {most} are sent")
    failure.details = encoded
    return failure


def _reason(problem: BaseException) -> str:
    return problem.message if isinstance(problem, InvalidArgument) else brief(problem)


def _noted(failure: Failure, why: str) -> Failure:
    failure.message = f"{failure.message[:_LONGEST]} (without its details: {why})"
    return failure
