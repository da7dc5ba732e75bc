"""Where a registry's servers are: what ``address`` says, checked before anything is dialled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee_core.addresses import Address, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def read_addresses(
    written: Iterable[str], ports: Mapping[str, int], owner: str, forms: str
) -> tuple[Address, ...]:
    """The servers, each once, with their ports; without any address this machine's server.

    Args:
        written: ``host``, ``host:port`` or ``scheme://host:port``; several may stand in one text,
            separated by commas.
        ports: The usual port of each scheme. The first scheme is the default.
        owner: Whose addresses they are, for messages.
        forms: What to write, for messages.

    Raises:
        ValueError: An address is malformed. The message says what to write, and shows no secret.
    """
    usual = next(iter(ports))
    texts = [text.strip() for several in written for text in several.split(",")]
    found: dict[Address, None] = {}
    for text in texts or ["127.0.0.1"]:
        stated, _, rest = text.rpartition("://")
        scheme = stated.lower() or usual
        try:
            address = parse(f"{usual}://{rest}")
        except ValueError as error:
            # What stands before an @ is a secret.
            shown = "" if "@" in text else f" {text!r}"
            raise ValueError(f"address{shown}: {error}") from None
        if scheme not in ports or not address.host or address.path.strip("/"):
            raise ValueError(f"address {text!r} is not one of {owner}; write {forms}")
        if address.port == 0:
            raise ValueError(f"address {text!r}: nobody listens on port 0; write {forms}")
        found[Address(scheme, address.host, address.port or ports[scheme])] = None
    return tuple(found)
