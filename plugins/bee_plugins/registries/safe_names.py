"""Names of services and instances as names of files and as parts of keys."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

# File systems allow 255 bytes; a temporary name is longer than the record's.
_LONGEST = 180


def safe_name(name: str) -> str:
    """A file name for any text, different for different texts: letters, digits, ``_``, ``-``, ``~`` and dots inside stay, the rest is percent-encoded."""
    text = quote(name, safe="", errors="surrogatepass")
    if text.startswith("."):
        text = "%2E" + text[1:]  # hidden files are those in the making, and . and .. are no files
    if len(text) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        text = (
            re.sub(r"%.?$", "", text[: _LONGEST - 33]) + "%" + digest
        )  # a lone percent sign: no encoded name looks like this
    return text or "%"


def plain_name(safe: str) -> str:
    """The text that a name stands for. One that :func:`safe_name` cut is not to be had back: it stands for itself."""
    return unquote(safe)
