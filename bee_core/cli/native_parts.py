"""Which of bee's native parts this installation uses."""

from __future__ import annotations

from ..errors import PluginError
from ..plugins.hub import PluginHub
from ..streams.client.native import PATH  # an error where it is wanted and not there


def native_parts() -> str:
    """Each part that may be native, with ``native`` or ``pure``.

    The exchange of blocking calls is bee's own. The look at plain values belongs to the codec
    ``json``, which says so by its attribute ``native``. Another codec of that name may have none.
    """
    parts = [f"blocking calls: {PATH}"]
    try:
        native = getattr(PluginHub().load("codec", "json").factory, "native", None)
    except PluginError:  # it is blocked
        native = None
    if native is not None:
        parts.append(f"plain JSON: {'native' if native else 'pure'}")
    return ", ".join(parts)
