"""Names of services and instances, written so that they can be file names and parts of keys."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

# File systems allow 255 bytes. A temporary file's name is longer than the record's name.
_LONGEST = 180


def safe_name(name: str) -> str:
    """A file name for any text; different texts get different names.

    Letters, digits, ``_``, ``-``, ``~`` and inner dots stay. All else is percent-encoded.
    """
    text = quote(name, safe="", errors="surrogatepass")
    if text.startswith("."):
        text = "%2E" + text[1:]  # hidden files are unfinished records; . and .. are folders
    if len(text) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        # A lone percent sign marks a name that was cut: no encoded name has one.
        text = re.sub(r"%.?$", "", text[: _LONGEST - 33]) + "%" + digest
    return text or "%"


def plain_name(safe: str) -> str:
    """The text behind a safe name. A name that was cut cannot be restored and stays as it is."""
    return unquote(safe)
