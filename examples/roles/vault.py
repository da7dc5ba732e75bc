"""Stands for what holds your secrets, and changes them."""

from __future__ import annotations

import os


def token() -> str:
    """The token of this moment. Quick: it is asked while a connection is made."""
    return os.environ["ACCOUNTS_TOKEN"]
