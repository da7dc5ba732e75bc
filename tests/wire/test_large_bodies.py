from __future__ import annotations

import os
import platform
import sys

import pytest

from support import processes

PROGRAM = """
import resource
from bee_core.wire.frames import REQUEST, FrameDecoder, encode

raw = encode(REQUEST, 1, b"", bytes(1_000_000))
decoder = FrameDecoder(1 << 21)

def receive():
    for start in range(0, len(raw), 256_000):
        frames = decoder.feed(raw[start : start + 256_000])
    return bytes(bytearray(frames[0].body))  # and some buffers, as a codec makes them

for _ in range(3):
    receive()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    receive()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep memory as they like")
def test_memory_of_large_bodies_is_not_given_back_after_each_call():
    environment = {name: text for name, text in os.environ.items() if "MALLOC" not in name}
    result = processes.run([sys.executable, "-c", PROGRAM], check=True, env=environment)
    # Page faults for each body. They are some hundreds when the memory is given back.
    assert float(result.stdout) < 50
