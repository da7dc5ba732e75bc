"""What :mod:`.client_contradictions` and :mod:`.server_contradictions` look at alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terms.addresses import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def in_clear(url: str) -> bool:
    """Whether others on the network can read what goes to an address."""
    address = parse(url)
    return address.scheme == "tcp" and not address.is_loopback


def of_faults(faults: Sequence[object]) -> Iterator[tuple[str, str]]:
    """Faults are for trials."""
    if faults:
        told = "; ".join(map(str, faults))
        yield "faults", f"FAULTS ARE INJECTED: {told}; remove them where this is no trial"


def of_sizes(
    max_size: int, max_inflated: int, compress_above: int | None
) -> Iterator[tuple[str, str]]:
    """Bounds of bodies that make each other useless. Bytes."""
    if max_inflated < max_size:
        yield (
            "max_inflated",
            (
                f"max_inflated ({max_inflated} bytes) is below max_size ({max_size} bytes): bodies "
                "that may be sent as they are would be refused compressed"
            ),
        )
    if compress_above is not None and compress_above > max_size:
        yield (
            "compress_above",
            (
                f"bodies above max_size ({max_size} bytes) are compressed anyway, so "
                f"compress_above ({compress_above} bytes) has no effect; lower it"
            ),
        )


def unused_transport(name: str, url: str) -> str:
    """The warning of a transport that no address uses."""
    return (
        f"the scheme of an address decides its transport, and {url} has {parse(url).scheme}://, "
        f"so {name} is not used; write {name}:// in the address, or remove it here"
    )
