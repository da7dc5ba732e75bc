from __future__ import annotations

import pytest

import bee_core


@pytest.mark.parametrize("base", [StopIteration, StopAsyncIteration])
def test_what_no_coroutine_can_raise_is_not_declared(base):
    with pytest.raises(TypeError, match="no coroutine can raise it"):
        bee_core.raises(type("Mine", (base,), {}))
