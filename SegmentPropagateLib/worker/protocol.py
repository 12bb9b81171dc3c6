"""Which version of the requests and replies this is, and what is said to another one."""

from __future__ import annotations

from SegmentPropagateLib.worker.messages import MessageError

PROTOCOL = 5
"""Version of the requests and replies; the frames around them have one of their own."""


class ProtocolError(MessageError):
    """The other side speaks another version of the requests and replies."""


def check_protocol(panel: object, worker: object) -> None:
    """Raise ProtocolError where the two sides speak different protocols, saying which one is older."""
    panel, worker = (version if isinstance(version, int) else 0 for version in (panel, worker))
    if panel != worker:
        older = "panel" if panel < worker else "worker"
        raise ProtocolError(
            f"The panel speaks protocol {panel}, the worker protocol {worker}: the {older} is older, update it."
        )
