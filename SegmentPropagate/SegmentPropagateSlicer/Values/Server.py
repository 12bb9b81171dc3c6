"""A server that computes in place of this computer, and how Slicer's settings keep it."""

from __future__ import annotations

from dataclasses import dataclass, field

from SegmentPropagateLib.worker.remote.address import TOKEN
from SegmentPropagateSlicer.Values.Store import Store

CLIENT = "SegmentPropagateLib.worker.client"
TOLD_CODES = (2, 3, 4, 5)
"""With these the client ends its log with a sentence for the user."""
CHOSEN, ADDRESS, TOKEN_KEY = (f"SegmentPropagate/{name}" for name in ("computeOn", "serverAddress", "serverToken"))


@dataclass(frozen=True)
class Server:
    """Where it is and what lets one in.

    Args:
        address: as the user gave it: `wss://HOST`, `ws://localhost:8765`, `ssh://USER@HOST`.
        token: empty where the environment of Slicer has it, or none is needed.
    """

    address: str
    token: str = field(default="", repr=False)

    @property
    def arguments(self) -> list[str]:
        """Of Python, for the client that stands in for the worker; the token is not among them, as others see them."""
        return ["-m", CLIENT, self.address]

    @property
    def variables(self) -> dict[str, str]:
        """Of the client's environment."""
        return {TOKEN: self.token} if self.token else {}


def rememberedServer(store: Store) -> Server:
    """The server that was entered last, chosen or not."""
    return Server(str(store.value(ADDRESS, "") or ""), str(store.value(TOKEN_KEY, "") or ""))


def chosenServer(store: Store) -> Server | None:
    """The server to compute on; None for this computer."""
    return rememberedServer(store) if store.value(CHOSEN, "") == "server" else None


def remember(store: Store, server: Server, isChosen: bool) -> None:
    """Keep a server, and whether it is to compute."""
    store.setValue(CHOSEN, "server" if isChosen else "here")
    store.setValue(ADDRESS, server.address)
    store.setValue(TOKEN_KEY, server.token)
