"""Values that are possible one by one and do not go together.

``bee check`` prints them; nothing refuses them.
"""

from __future__ import annotations

import attrs

from ..errors import ConfigError
from .client_contradictions import of_client
from .model import SERVER, Config
from .server_contradictions import of_server


@attrs.frozen
class Contradiction:
    """A warning.

    Attributes:
        path: The key that would have to change.
        message: What does not go together, and what to do.
        line: Where one of the values is stated, or None.
        source: The file, or None.
    """

    path: str
    message: str
    line: int | None = None
    source: str | None = None

    def __str__(self) -> str:
        """One line, in the form of a ``ConfigError``."""
        return str(ConfigError(self.message, path=self.path, line=self.line, source=self.source))


def warnings(config: Config) -> list[Contradiction]:
    """What in a configuration does not go together, services first, in the order of the file."""
    found = [one for client in config.clients.values() for one in of_client(config, client)]
    if config.server is not None:
        found += [
            (f"{SERVER}.{field}", message, None)
            for field, message in of_server(config, config.server)
        ]
    return [
        Contradiction(path, message, config.origin(stated or path), config.file(stated or path))
        for path, message, stated in found
    ]
