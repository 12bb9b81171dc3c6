"""What is being outlined, told to the worker before anybody presses Propagate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from SegmentPropagateLib.worker.requests import GetAhead
from SegmentPropagateSlicer.Review.Keys import Keys
from SegmentPropagateSlicer.Runs.Run import Run
from SegmentPropagateSlicer.Runs.Runner import Runner
from SegmentPropagateSlicer.Scene.SliceGrid import Ends, SliceGrid
from SegmentPropagateSlicer.Values.RunSettings import RunSettings

if TYPE_CHECKING:
    import slicer


class Ahead:
    """Has the worker get ready for the run that follows from an outline. Nothing of it shows, nobody waits for it.

    Args:
        runner: `Runner`.
        keys: `Keys`.
    """

    def __init__(self, runner: Runner, keys: Keys) -> None:
        self._runner, self._keys = runner, keys

    def tell(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        grid: SliceGrid,
        settings: RunSettings,
        place: tuple[str, int],
        asked: tuple[Ends, Run | None],
    ) -> None:
        """Tell what a segment holds on a slice, finished or not, and on its key slices.

        Args:
            volumeNode: the image.
            grid: `SliceGrid`.
            settings: `RunSettings` of the run that may follow.
            place: `(segmentId, slice)`.
            asked: first and last slice of the range, and the `Run` in review that would be corrected, or None.
        """
        (segmentId, index), (ends, review) = place, asked
        number = 1
        if review is not None:
            number, ends = review.segmentIds.index(segmentId) + 1, review.given
        masks = {index: proposal.mask for index, proposal in self._keys.drawn(grid, segmentId, index).items()}
        setup, keys = self._runner.setup(volumeNode, grid, settings), tuple((number, index) for index in masks)
        self._runner.getAhead(volumeNode, GetAhead(setup, keys, np.stack(list(masks.values())), *ends))
