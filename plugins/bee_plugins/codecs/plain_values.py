"""The native look at a value that JSON carries as it is, where there is one.

Most values are plain, and nothing of a plain value is lost on the way. The native function says so
in a thousandth of a millisecond. Where it is missing, or says no, :mod:`.json_losses` looks closer,
with the same result.

It is compiled and chosen like the native exchange: see ``docs/decisions/native-exchange.md``.
``BEE_NATIVE`` is read when this module is imported, that is with the first codec that asks.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_API = 1  # as in _plain.c


def load(wanted: str) -> Callable[[Any], bool] | None:
    """The native function, or None where it is not wanted or not there.

    Args:
        wanted: ``0`` for no, ``1`` for an error without it, anything else for what there is.

    Raises:
        ImportError: It is wanted and cannot be used. The message says what to do.
    """
    if wanted == "0":
        return None
    try:
        module: Any = import_module(f"{__package__}._plain")
        if getattr(module, "API", 0) != _API:
            raise ImportError("it was built from other sources")
    except ImportError as error:
        if wanted == "1":
            raise ImportError(
                f"BEE_NATIVE=1 asks for bee's native parts, and _plain is missing ({error}):"
                " install a C compiler and Python's headers, and then bee again, or unset"
                " BEE_NATIVE"
            ) from error
        return None
    found: Callable[[Any], bool] = module.is_plain
    return found


is_plain = load(os.environ.get("BEE_NATIVE", ""))
"""Whether JSON carries a value as it is; None where nobody native can say. The head of ``_plain.c``
says what is plain."""
