"""Which slices are meant: those that a segment is drawn on, those in the views, and the range it was given."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
from SegmentPropagateSlicer.Panel.Context import PLANES, VIEWS, sliceNodeOf
from SegmentPropagateSlicer.Scene.Labelmaps import indexFromWorld, labelmapOf, segmentOf
from SegmentPropagateSlicer.Scene.Lattice import Extent, effectiveExtent, readVoxels
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import Ends, SliceGrid

ATTRIBUTE = "SegmentPropagate.Range"
OPEN = "-"


@dataclass(frozen=True)
class Range:
    """First and last slice of a segment, as the user gave them.

    Args:
        plane: `axial`, `coronal` or `sagittal`; empty while nothing is given.
        first: first slice; None where it is open.
        last: last slice; None where it is open.
    """

    plane: str = ""
    first: int | None = None
    last: int | None = None

    @classmethod
    def read(cls, text: str | None) -> Range:
        """What `str` wrote; a range that is open on both sides for anything else."""
        with suppress(ValueError):
            plane, *ends = (text or "").split()
            first, last = (None if end == OPEN else int(end) for end in ends)
            if plane in PLANES:
                return cls(plane, first, last)
        return cls()

    def __str__(self) -> str:
        return " ".join([self.plane, *(OPEN if end is None else str(end) for end in self.ends)])

    @property
    def ends(self) -> Ends:
        """`(first, last)`."""
        return self.first, self.last

    def given(self, plane: str, first: int | None = None, last: int | None = None) -> Range:
        """With an end given too; the other is forgotten where it is along another plane, as slices are others there."""
        known = self if plane == self.plane else Range(plane)
        return Range(plane, known.first if first is None else first, known.last if last is None else last)


def rangeOf(
    segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentId: str
) -> Range:
    """The `Range` of a segment on an image; it is kept with the segmentation, and saved with the scene."""
    return Range.read(segmentationNode.GetAttribute(f"{ATTRIBUTE}.{volumeNode.GetID()}.{segmentId}"))


def giveRange(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    segmentId: str,
    given: Range,
) -> None:
    """Remember what `rangeOf` returns."""
    segmentationNode.SetAttribute(f"{ATTRIBUTE}.{volumeNode.GetID()}.{segmentId}", str(given))


def drawnSlices(
    geometry: Geometry, segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str
) -> tuple[str, list[int]]:
    """Plane that a segment was outlined in, and the slices that it holds something on.

    An outline fills one slice of the plane that it was drawn in and many of the other planes: the plane with the
    fewest slices is taken.

    Raises:
        InputError: an empty segment, or one that lies beside the image.
    """
    image, label = labelmapOf(segmentationNode, segmentId)
    extent = effectiveExtent(image, label, image.GetExtent()) if image else None
    found: list[tuple[str, list[int]]] = []
    if image is not None and extent is not None:
        world, mask = np.linalg.inv(indexFromWorld(segmentationNode, image)), readVoxels(image, label, extent)
        found = [(plane, _slicesHeld(SliceGrid(geometry, plane), world, extent, mask)) for plane in PLANES]
    plane, slices = min(((p, s) for p, s in found if s), key=lambda place: len(place[1]), default=(PLANES[0], []))
    reader = PromptReader(SliceGrid(geometry, plane))  # slices of another grid lie between those of the image
    drawn = [index for index in slices if reader.segmentMask(segmentationNode, segmentId, index).any()]
    if not drawn:
        name = segmentOf(segmentationNode, segmentId).GetName()
        raise InputError(_("Segment '{name}' is empty: outline the object on one slice first.").format(name=name))
    return plane, drawn


def sliceAlong(logic: SegmentPropagateLogic, plane: str) -> int:
    """Number of the slice in the first view that shows a plane; InputError where none does."""
    problem: InputError | None = None
    for node in filter(None, map(sliceNodeOf, VIEWS)):
        try:
            return logic.sliceIndexInView(node, plane)
        except InputError as error:
            problem = problem or error
    raise problem or InputError(_("There is no slice view in this layout."))


def _slicesHeld(grid: SliceGrid, worldFromIndex: np.ndarray, extent: Extent, mask: NDArray[np.bool_]) -> list[int]:
    """Slices on which a mask `(k, j, i)` of an extent has the center of a voxel, ascending."""
    numberFromIndex = (np.linalg.inv(grid.worldFromSlice) @ worldFromIndex)[0]
    number: NDArray[np.float64] = np.full((1, 1, 1), numberFromIndex[3] + 0.5)
    for axis, step in enumerate(numberFromIndex[2::-1]):
        if abs(step) * mask.shape[axis] > 1e-6:  # else the slices are parallel to it, as along two axes as a rule
            index = np.arange(mask.shape[axis]) + extent[4 - 2 * axis]
            number = number + step * index.reshape([-1 if other == axis else 1 for other in range(3)])
    parallel = tuple(axis for axis in range(3) if number.shape[axis] == 1)
    found = np.unique(np.floor(number[mask.any(axis=parallel, keepdims=True)]).astype(int)).tolist()
    return [index for index in found if 0 <= index < grid.count]
