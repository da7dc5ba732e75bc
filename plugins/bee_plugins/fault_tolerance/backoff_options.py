"""The options that ``failtry`` and ``failover`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bee_core.interfaces import BASE, CAP, Backoff
from bee_core.options import Seconds

if TYPE_CHECKING:
    from bee_core.options import Seconds


@attrs.frozen
class BackoffOptions:
    """How long to wait between retries; see :mod:`bee_core.terms.backoff` for the reasons of the defaults.

    Attributes:
        base: Seconds, the ceiling of the first delay; each next ceiling is twice as high.
        cap: Seconds that no delay exceeds.
    """

    base: Seconds = BASE
    cap: Seconds = CAP

    def __attrs_post_init__(self) -> None:
        """Refuse while the configuration is read what :class:`~bee_core.terms.backoff.Backoff` refuses."""
        self.backoff()

    def backoff(self) -> Backoff:
        """The policy that the options describe."""
        return Backoff(self.base, self.cap)
