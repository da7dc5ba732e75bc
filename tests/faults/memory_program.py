"""A server whose replies and arguments are large: ``memory_program.py CONFIG-AS-JSON LOG``."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time

import bee_core

MIB = 1 << 20
BIG = "x" * MIB


class Large:
    @bee_core.nonblocking
    def here(self) -> str:
        return BIG

    async def task(self) -> str:
        return BIG

    async def later(self) -> str:
        await asyncio.sleep(0.01)
        return BIG

    def thread(self) -> str:
        return BIG

    @bee_core.nonblocking
    def fresh(self) -> str:
        return "y" * MIB

    async def fresh_task(self) -> str:
        return "y" * MIB

    def fresh_thread(self) -> str:
        return "y" * MIB

    async def packed(self) -> str:
        """A result that is compressed before it is sent."""
        return "z" * (8 * MIB)

    async def hold(self, text: str) -> int:
        await asyncio.sleep(1.0)
        return len(text)

    def hold_thread(self, text: str) -> int:
        time.sleep(1.0)
        return len(text)

    @bee_core.nonblocking
    def size(self, text: str) -> int:
        return len(text)

    async def size_task(self, text: str) -> int:
        return len(text)

    def size_thread(self, text: str) -> int:
        return len(text)

    async def add(self, a: int, b: int) -> int:
        return a + b


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    server = bee_core.build_server(json.loads(sys.argv[1]))
    server.add(Large())
    with server.in_thread():
        os.write(1, f"listening on {server.address}\n".encode())
        sys.stdin.read()
