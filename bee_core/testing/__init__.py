"""What authors of plugins and users of bee test with. ``pip install 'bee-rpc[test]'`` for pytest.

**Contract suites.** There is one for each kind of plugin. A plugin's own tests
inherit the suite of its kind and say how to make the plugin. They get the tests that bee's own
plugins pass::

    from bee_core.testing import CompressorContract

    class TestSnappy(CompressorContract):
        def make_compressor(self):
            return SnappyCompressor()

**Fakes.** These need no pytest. :class:`FakeClock`, ``seeded_random`` and ``seeded_bytes`` stand in
for time and randomness. :class:`ScriptedChannel` and :class:`AsyncScriptedChannel` answer calls
without a network. :class:`MemoryRegistry` is a registry that a test fills, empties and puts out of
reach.

**Simulator.** ``bee_core.testing.simulation`` runs the call flow and the plugins of a configuration
in virtual time against simulated nodes; ``bee simulate`` is its command.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .balancer_contract import BalancerContract
    from .breaker_contract import BreakerContract
    from .codec_contract import CodecContract
    from .compressor_contract import CompressorContract
    from .failure_contracts import FallbackContract, FaultToleranceContract
    from .fakes import (
        AnyCall,
        AsyncScriptedChannel,
        FakeClock,
        ScriptedChannel,
        Silence,
        seeded_bytes,
        seeded_random,
    )
    from .limiter_contract import LimiterContract
    from .memory_registry import MemoryRegistry
    from .observing_contracts import InterceptorContract, ObserverContract
    from .registry_contract import RegistryContract
    from .transport_contract import TransportContract

__all__ = [
    "AnyCall",
    "AsyncScriptedChannel",
    "BalancerContract",
    "BreakerContract",
    "CodecContract",
    "CompressorContract",
    "FakeClock",
    "FallbackContract",
    "FaultToleranceContract",
    "InterceptorContract",
    "LimiterContract",
    "MemoryRegistry",
    "ObserverContract",
    "RegistryContract",
    "ScriptedChannel",
    "Silence",
    "TransportContract",
    "seeded_bytes",
    "seeded_random",
]

_WHERE = {
    "AnyCall": "fakes",
    "AsyncScriptedChannel": "fakes",
    "BalancerContract": "balancer_contract",
    "BreakerContract": "breaker_contract",
    "CodecContract": "codec_contract",
    "CompressorContract": "compressor_contract",
    "FakeClock": "fakes",
    "FallbackContract": "failure_contracts",
    "FaultToleranceContract": "failure_contracts",
    "InterceptorContract": "observing_contracts",
    "LimiterContract": "limiter_contract",
    "MemoryRegistry": "memory_registry",
    "ObserverContract": "observing_contracts",
    "RegistryContract": "registry_contract",
    "ScriptedChannel": "fakes",
    "Silence": "fakes",
    "TransportContract": "transport_contract",
    "seeded_bytes": "fakes",
    "seeded_random": "fakes",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the suites need pytest, the fakes do not."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
