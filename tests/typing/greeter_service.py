"""The blocking form of greeter_pb2:Greeter.

Written by `bee stub greeter_pb2:Greeter`; do not edit.
"""

from __future__ import annotations

from typing import Protocol

import bee_core
from greeter_pb2 import CountReply, CountRequest, HelloReply, HelloRequest


class Greeter(Protocol):
    """The service greeter.Greeter of greeter.proto."""

    @bee_core.idempotent
    def SayHello(self, request: HelloRequest, /) -> HelloReply: ...

    def Count(self, request: CountRequest, /) -> CountReply: ...
