"""A token that a function of the application gives: ``token: {function: module:callable}``."""

from __future__ import annotations

import inspect
import pkgutil
from typing import TYPE_CHECKING, Any

from ..config.secret import checked_token
from ..errors import ConfigError
from ..terms.failures import HandshakeError
from ..terms.printable import name_of, text_of
from ..terms.tracebacks import raised_at
from .interruptions import is_interruption

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import ClientConfig
    from ..config.secret import Secret


class TokenFunction:
    """Asks the function for the token of each connection that is made.

    Called on the thread that makes the connection, or on the loop of an asyncio client, of futures
    and of the control plane. It is as thread-safe as the function. What the function raises or
    returns never shows: it may hold the secret.

    Args:
        target: ``package.module:function``, for messages.
        function: Takes nothing and returns the token, at once.
    """

    __slots__ = ("_function", "_target")

    def __init__(self, target: str, function: Callable[[], Any]) -> None:
        self._target = target
        self._function = function

    def __call__(self) -> str:
        """The token of this moment.

        Raises:
            HandshakeError: The function gave none: the call ends as Unauthenticated.
        """
        try:
            token = self._function()
        except (Exception, SystemExit) as error:
            if is_interruption(error):
                raise
            where = raised_at(error)
            raised = f"raised {name_of(error)}{f' at {where}' if where else ''}"
            problem = raised
        else:
            if type(token) is str:
                try:
                    return checked_token(token)
                except ValueError as error:
                    problem = f"returned no token: {text_of(error)}"
            else:
                if inspect.iscoroutine(token):
                    token.close()  # else Python warns that it was never awaited
                problem = f"returned a {name_of(token)}, and a token is text"
        # Outside of the handler: no traceback of the function's error goes along.
        raise HandshakeError(
            f"the function of the client's token, {self._target}, {problem}", rejected=True
        )


def token_of(client: ClientConfig, source: str | None) -> Callable[[], str] | None:
    """What gives the token for a connection to a service, or None without one.

    Args:
        client: The service's section.
        source: The file of the configuration, for messages.

    Raises:
        ConfigError: The function cannot be imported, or is none that takes nothing.
    """
    secret = client.token
    if secret is None:
        return None
    if secret.function is None:
        return secret.first
    try:
        return TokenFunction(secret.function, _find(secret))
    except ValueError as error:
        raise ConfigError(
            text_of(error),
            path=f"bee.rpc.client.{client.name}.token",
            value=secret.function,
            expected="package.module:function, a def that takes nothing and returns the token",
            source=source,
        ) from error


def _find(secret: Secret) -> Callable[[], Any]:
    target = secret.function or ""
    try:
        found: Any = pkgutil.resolve_name(target)
    except Exception as error:  # a module may raise anything as it is imported
        raise ValueError(
            f"the function {target!r} cannot be imported: {name_of(error)}: {text_of(error)}; it "
            "must be on the import path of this program"
        ) from error
    if not callable(found):
        raise ValueError(f"{target!r} is not a function but a {name_of(found)}")  # noqa: TRY004
    call = getattr(found, "__call__", None)  # noqa: B004  # the method itself is wanted
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(call):
        raise ValueError(
            f"the function {target!r} is async; a token is asked for while a connection is made: "
            "write a plain def that does not wait, and renew the token elsewhere"
        )
    try:
        inspect.signature(found).bind()
    except TypeError:
        raise ValueError(f"the function {target!r} must take no argument") from None
    except ValueError:
        pass  # a function in C may have no signature: a call will show
    return found  # type: ignore[no-any-return]
