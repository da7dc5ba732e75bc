"""Serves the greeter. The interface checks that the class implements the whole proto."""

from __future__ import annotations

import logging

import bee_core
import greeter_pb2
from greeter import Greeter

logging.basicConfig(level=logging.INFO, format="%(message)s")  # says when the server listens
server = bee_core.build_server("bee.yml")
server.add(
    Greeter(), interface=bee_core.interface_of(greeter_pb2.DESCRIPTOR.services_by_name["Greeter"])
)
server.run()
