"""The service that is deployed: it opens something at its start and closes it at its end."""

from __future__ import annotations

import logging

import bee_core

log = logging.getLogger("calc")


class Calculator:
    """Is entered before the server listens, and left after its last answer."""

    def __enter__(self) -> None:
        log.info("opened")

    def __exit__(self, *error: object) -> None:
        log.info("closed")

    def add(self, a: int, b: int) -> int:
        """The sum."""
        return a + b


def make_server() -> bee_core.Server:
    """What ``bee serve app.py:make_server`` runs."""
    server = bee_core.build_server("bee.yml")
    server.add(Calculator())

    @server.on_start
    def warm_up() -> None:
        log.info("warmed up")

    return server
