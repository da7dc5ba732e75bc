"""A process with green threads is refused. gevent and eventlet are not installed for it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from bee_core.control.monkey_patching import refuse_patched_threads
from bee_core.errors import BeeError

PATCHERS = [
    ("gevent", "gevent.monkey", "is_module_patched"),
    ("eventlet", "eventlet.patcher", "is_monkey_patched"),
]


@pytest.mark.parametrize(("name", "module", "asks"), PATCHERS)
@pytest.mark.parametrize("patched", ["threading", "socket", "select"])
def test_a_patched_process_is_refused_by_one_sentence(monkeypatch, name, module, asks, patched):
    patcher = SimpleNamespace(**{asks: lambda one: one == patched})
    monkeypatch.setitem(sys.modules, module, patcher)
    with pytest.raises(BeeError, match=f"in a process that {name} has monkey-patched"):
        refuse_patched_threads()


@pytest.mark.parametrize(("name", "module", "asks"), PATCHERS)
def test_one_that_is_loaded_and_has_patched_nothing_is_no_obstacle(monkeypatch, name, module, asks):
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{asks: lambda _: False}))
    refuse_patched_threads()
