"""What a test does when a program that it needs is not installed."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test, or fail it where ``BEE_REQUIRE_SERVERS=1`` says that the program is there."""
    if os.environ.get("BEE_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{reason}, and BEE_REQUIRE_SERVERS=1 requires it")
    pytest.skip(reason)
