"""What the users of a server share."""

from __future__ import annotations

from SegmentPropagateLib.server.settings import Settings
from SegmentPropagateLib.server.slots import Slots
from SegmentPropagateLib.server.volumes import Volumes


class House:
    """The slots of the GPU and the volumes that were sent.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.slots = Slots(settings.slots, settings.remind_s)
        self.volumes = Volumes(settings.kept_bytes)
