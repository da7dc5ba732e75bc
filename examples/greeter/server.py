"""Serves the greeter. The interface makes sure that the class implements the proto, all of it and as it stands there."""

from __future__ import annotations

import bee_core
import greeter_pb2
from greeter import Greeter

server = bee_core.build_server("bee.yml")
server.add(
    Greeter(), interface=bee_core.interface_of(greeter_pb2.DESCRIPTOR.services_by_name["Greeter"])
)
server.run()
