"""How much a client's list of nodes is worth at present: a value for reports and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection

RegistryState = Literal["unheard", "answering", "silent", "refusing", "lying"]
"""What a registry is to a client.

``unheard``: it has not answered yet. ``answering``: it has, lately. ``silent``: it is out of reach,
or has said nothing for longer than it should. ``refusing``: it answers, and refuses. ``lying``: it
answers, and does not list nodes that say themselves that they serve.
"""


@attrs.frozen
class Doubt:
    """A node that the registry does not list, and that is not let go yet.

    Attributes:
        node_id: The node's id.
        reason: Why it is in doubt, to stand behind the node's name: ``the registry does not list
            it, and it answers pings``.
        seconds: For how long.
    """

    node_id: str
    reason: str
    seconds: float


@attrs.frozen
class Outlook:
    """What is known of a service's registry. Ages are in seconds, as of when this was made.

    Attributes:
        registry: The registry's name for messages: ``etcd3 at 10.0.0.1:2379``.
        state: What it is to this client.
        heard: How long ago it answered last; None if it never did.
        silent: For how long it has been out of reach or silent; None while it answers.
        trouble: Why it is not heard, in words; empty while it is.
        written: The age of the list that lay on disk at the start; None where there was none.
        doubts: The nodes in doubt.
    """

    registry: str
    state: RegistryState
    heard: float | None = None
    silent: float | None = None
    trouble: str = ""
    written: float | None = None
    doubts: tuple[Doubt, ...] = ()


def remark(outlook: Outlook | None, node_ids: Collection[str]) -> str:
    """What a message about nodes adds where their list is in doubt; empty where it is not.

    Args:
        outlook: What is known of the registry; None where none is watched.
        node_ids: The nodes that the message is about.
    """
    if outlook is None:
        return ""
    told = ""
    doubted = [doubt for doubt in outlook.doubts if doubt.node_id in node_ids]
    if doubted:
        which = "it is" if len(node_ids) == 1 else f"{len(doubted)} of them are"
        told = f"; {which} in doubt: {doubted[0].reason}"
    if outlook.silent is not None:
        verb = "refused to answer" if outlook.state == "refusing" else "been out of reach"
        told += (
            f"; the registry {outlook.registry} has {verb} for {outlook.silent:.0f} s "
            f"({outlook.trouble}), so this is what it listed before"
        )
    return told
