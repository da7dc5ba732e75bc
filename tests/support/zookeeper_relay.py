"""Stands between bee and ZooKeeper, and makes the answers late or garbled."""

from __future__ import annotations

import asyncio

from support.tcp_relay import TcpRelay


class AnswersRelay(TcpRelay):
    """Spoils what ZooKeeper answers.

    Attributes:
        late: Seconds by which answers are late.
        noise: What is sent in the place of an answer; None for the answer itself.
        spoilt: How many answers were replaced.
    """

    def __init__(self, port):
        super().__init__(port)
        self.late = 0.0
        self.noise = None
        self.spoilt = 0

    async def _pump(self, reader, writer, passing, *, heard=False):
        if heard:  # requests
            await super()._pump(reader, writer, passing, heard=heard)
            return
        answers = asyncio.StreamReader()
        pumping = asyncio.ensure_future(super()._pump(answers, writer, passing))
        waiting = []
        try:
            while data := await reader.read(65536):
                if self.noise is not None:
                    self.spoilt += 1
                    data = self.noise(data)
                waiting.append(
                    asyncio.get_running_loop().call_later(self.late, answers.feed_data, data)
                )
        except OSError:
            pass
        finally:
            for handle in waiting:
                handle.cancel()
            answers.feed_eof()
            await pumping
