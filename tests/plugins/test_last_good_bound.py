"""How much memory the fallback ``last-good`` takes."""

from __future__ import annotations

import pytest

from bee_core.interfaces import POSITIONAL, PastResult, Request, RequestHead
from bee_core.testing import FakeClock
from bee_plugins.fallbacks.last_good import LastGood, LastGoodOptions


@pytest.mark.parametrize("where", ["metadata", "baggage"])
def test_metadata_that_differs_from_call_to_call_is_within_the_bound(where):
    clock, fallback = FakeClock(), LastGood(LastGoodOptions(max_bytes=100_000))
    for number in range(100):
        said = {"metadata": {}, "baggage": {}, where: {"tenant": f"{number:05} {'x' * 10_000}"}}
        head = RequestHead("calc", "add", said["metadata"], said["baggage"])
        request = Request(head, POSITIONAL, b"[1]", False, 10.0, 1.0, 1.0, 1.0)
        fallback.learn(request, PastResult(b"3", clock(), clock))
    entries, held = fallback.kept
    assert entries == 9
    assert held > 9 * 10_000
