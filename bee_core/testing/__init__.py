"""What authors of plugins and users of bee test with. Needs pytest: ``pip install 'bee-rpc[test]'``.

Contract suites: a plugin's own tests inherit the suite of its kind, say how to make the plugin, and get the tests that bee's plugins pass::

    from bee_core.testing import CompressorContract

    class TestSnappy(CompressorContract):
        def make_compressor(self):
            return SnappyCompressor()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .balancer_contract import BalancerContract
    from .codec_contract import CodecContract
    from .compressor_contract import CompressorContract
    from .fault_tolerance_contract import FaultToleranceContract
    from .registry_contract import RegistryContract

__all__ = ["BalancerContract", "CodecContract", "CompressorContract", "FaultToleranceContract", "RegistryContract"]

_WHERE = {
    "BalancerContract": "balancer_contract",
    "CodecContract": "codec_contract",
    "CompressorContract": "compressor_contract",
    "FaultToleranceContract": "fault_tolerance_contract",
    "RegistryContract": "registry_contract",
}


def __getattr__(name: str) -> Any:
    """Import a suite when it is asked for: each needs other packages."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
