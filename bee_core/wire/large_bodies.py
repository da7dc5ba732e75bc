"""Memory for large bodies stays with the process from one call to the next.

A call with a body of 1 MB needs buffers of some megabytes: what is read, the body, the value. After
the call glibc gives them back to the system, since it keeps no more than 128 kB to 2 MB at the end
of its heap. The next call gets them again as fresh pages, zeroed by the system one by one: 900 page
faults, which took more time than all copies together.

glibc follows the program: once it has freed a block that was mapped by itself, it keeps blocks of
up to that size on its heap, and twice that size at the heap's end (``mallopt(3)``, "dynamic mmap
threshold"). One block is enough. Where the C library is another one, nothing happens.
"""

from __future__ import annotations

KEPT = 8 << 20
"""Bytes of the block: glibc keeps up to twice as much. Four times the default ``max_size``, since a
call has about that many copies of its body at once."""

_done = False


def keep_memory() -> None:
    """Let the process keep memory for large bodies. It takes effect once."""
    global _done  # noqa: PLW0603  # a process has one heap
    if not _done:
        _done = True
        bytes(KEPT)  # mapped, freed, and never touched, so it takes microseconds
