"""The reserved method of a server that says what its other methods are."""

from __future__ import annotations

from difflib import get_close_matches
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..errors import MessageTooLarge, MethodNotFound
from ..methods.signatures import Parameter, Signature
from ..terms.request import DESCRIBE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..config.server_model import ServerConfig
    from ..contracts.description import ServiceDescription
    from ..contracts.endpoint import ServedMethod

SIGNATURE = Signature(
    DESCRIBE,
    (
        Parameter("method", hint=str | None, required=False, default=None),
        Parameter("brief", hint=bool, required=False, default=False),
    ),
)


class SelfDescription:
    """Describes the methods of a server. Thread-safe; made at the first question, and then kept.

    The faults that the configuration injects are told as they are at each question.

    Args:
        settings: Gives the server section, as it is now.
        codecs: The codecs that are offered, by name.
        methods: Gives the methods in the order of their names.
    """

    def __init__(
        self,
        settings: Callable[[], ServerConfig],
        codecs: Mapping[str, object],
        methods: Callable[[], Sequence[ServedMethod]],
    ) -> None:
        self._settings = settings
        self._codecs = codecs
        self._methods = methods
        self._lock = Lock()
        self._made: ServiceDescription | None = None

    def describe(self, method: str | None = None, brief: bool = False) -> dict[str, Any]:
        """The description of all methods, or of one; the handler of the reserved method.

        Args:
            method: The full name of one method, or None.
            brief: Leave parameters, types and all but the first line of docs out.

        Raises:
            MethodNotFound: There is no such method.
            MessageTooLarge: The description is too large; the message says what to ask instead.
        """
        from ..contracts.description import LARGEST, too_large

        with self._lock:
            found = self._made = self._made or self._make()
        if method is not None:
            found = self._only(found, method)
        if brief:
            found = found.brief
        faults = self._settings().faults
        if faults:
            found = found.with_faults([fault.told_to_callers for fault in faults])
        size = too_large(found)
        if size:
            advice = (
                "ask with brief=true, or for one method"
                if method is None and not brief
                else "make its types or its docs smaller"
            )
            raise MessageTooLarge(
                f"the description has {size:,} bytes, and at most {LARGEST:,} are sent; {advice}"
            )
        return found.plain

    def _make(self) -> ServiceDescription:
        from importlib.metadata import version

        from ..contracts.describing import About, describe

        settings = self._settings()
        teller = next((one for one in self._codecs.values() if hasattr(one, "json_schemas")), None)
        about = About(
            settings.name, settings.version, settings.desc, version("bee-rpc"), tuple(self._codecs)
        )
        return describe(about, self._methods(), teller)

    def _only(self, found: ServiceDescription, name: str) -> ServiceDescription:
        method = found.method(name)
        if method is not None:
            return found.only(method)
        names = [one.name for one in found.methods]
        near = get_close_matches(name[:128], names, n=3)
        hint = f"did you mean {' or '.join(near)}?"
        there = hint if near else f"there are: {', '.join(names[:20])}"
        raise MethodNotFound(f"the service {found.service} has no method {name[:128]!r}; {there}")
