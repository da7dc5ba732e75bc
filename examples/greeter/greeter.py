"""What is served: a class that implements the service of ``greeter.proto``."""

from __future__ import annotations

from collections import Counter

from greeter_pb2 import CHEERFUL, CountReply, CountRequest, HelloReply, HelloRequest


class Greeter:
    """Methods have the names of the proto; each takes its message and gives one."""

    def SayHello(self, request: HelloRequest) -> HelloReply:  # noqa: N802  # the proto's name
        """A greeting."""
        return HelloReply(text=f"Hello, {request.name}{'!' if request.mood == CHEERFUL else '.'}")

    async def Count(self, request: CountRequest) -> CountReply:  # noqa: N802
        """How often each word is there."""
        return CountReply(times=Counter(request.words))
