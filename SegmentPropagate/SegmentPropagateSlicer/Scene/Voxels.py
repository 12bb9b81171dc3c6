"""Voxels put into segments and taken out of them, with the segments' shared labelmaps kept right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from SegmentPropagateLib.volumes.boxes import bounding_box
from SegmentPropagateSlicer.Scene.Derived import derivedNames
from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf, labelmapOf
from SegmentPropagateSlicer.Scene.Lattice import (
    Extent,
    Lattice,
    indexOfExtent,
    intersectionOfExtents,
    isOnGrid,
    unionOfExtents,
)


class Voxels:
    """Changes the segments of a segmentation within a `with`; whoever shows them is told at its end.

    Here voxels go straight into the labelmap, which is marked as changed at the end. Only where it may be larger than
    what it holds, Slicer is asked to crop it, as its `SetBinaryLabelmapToSegment` does: that takes 70 ms for 600
    slices. What does not fit into the labelmap, as it has another grid or another segment is there that may be
    overlapped, is left to Slicer altogether, and so are segments that are shown in 3-D: their surfaces have to follow.

    Args:
        segmentationNode: vtkMRMLSegmentationNode, stored as labelmaps.
    """

    def __init__(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        self._node = segmentationNode
        self._untold: dict[str, None] = {}  # segment IDs, in the order they were changed
        self._loose: list[slicer.vtkOrientedImageData] = []  # labelmaps that may be larger than what they hold

    def __enter__(self) -> Voxels:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        segmentation = self._node.GetSegmentation()
        cropped: list[slicer.vtkOrientedImageData] = []
        for segmentId in self._untold:
            image, _label = labelmapOf(self._node, segmentId)
            if image is not None and image not in cropped:
                cropped.append(image)
                if image in self._loose:
                    self._crop(image)
                else:
                    image.Modified()
            for event in (segmentation.SourceRepresentationModified, segmentation.RepresentationModified):
                segmentation.InvokeEvent(event, segmentId)

    def _crop(self, image: slicer.vtkOrientedImageData) -> None:
        """Slicer crops a labelmap that a voxel is added to, and marks it as changed: give it one that is there."""
        values = arrayOf(image)
        place = np.unravel_index(values.argmax(), values.shape)
        labelmap = image, int(values[place])
        owners = [i for i in self._node.GetSegmentation().GetSegmentIDs() if labelmapOf(self._node, i) == labelmap]
        if not labelmap[1] or not owners:
            image.Modified()
            return
        whole = Lattice(np.eye(4), _matrixOf(image), image.GetExtent())
        voxel = whole.part(tuple(slice(int(index), int(index) + 1) for index in place))
        self._merge(owners[0], voxel.image(np.ones((1, 1, 1), dtype=bool)), _module().MODE_MERGE_MASK)

    @property
    def _hasSurfaces(self) -> bool:
        """Whether there is something that is made of the labelmaps, to be kept up to date."""
        return derivedNames(self._node) != []

    def makeRoom(self, places: Mapping[str, Lattice]) -> None:
        """Make labelmaps as large as what is going to be added, each once: that copies them.

        Args:
            places: segmentId -> around what it is going to get.
        """
        if self._hasSurfaces:
            return
        wanted: dict[slicer.vtkOrientedImageData, Extent] = {}
        for segmentId, lattice in places.items():
            image, label = labelmapOf(self._node, segmentId)
            if image is not None and isOnGrid((image, label), lattice):
                wanted[image] = unionOfExtents(wanted.get(image, image.GetExtent()), lattice.extent) or lattice.extent
        for image, extent in wanted.items():
            if extent != image.GetExtent():
                self._loose.append(image)
                room = slicer.vtkOrientedImageData()
                room.SetExtent(extent)
                room.SetImageToWorldMatrix(_matrixOf(image))
                slicer.vtkOrientedImageDataResample.PadImageToContainImage(image, room, image, extent)

    def add(self, segmentId: str, lattice: Lattice, added: NDArray[np.bool_]) -> None:
        """Add voxels of a lattice, bool `(k, j, i)`, to a segment; no other segment loses them."""
        box = bounding_box(added)
        if box is None:
            return
        part, where = lattice.part(box), added[box]
        self.makeRoom({segmentId: part})
        label, found = self._valuesWithin(segmentId, part)
        if found is None or not _isFree(found[0], where, label):
            self._merge(segmentId, part.image(where), _module().MODE_MERGE_MASK)  # MAX would write 1: another's value
            return
        np.copyto(found[0], label, where=where)
        self._untold[segmentId] = None

    def remove(self, segmentId: str, lattice: Lattice, removed: NDArray[np.bool_]) -> None:
        """Take voxels of a lattice, bool `(k, j, i)`, from a segment."""
        box = bounding_box(removed)
        if box is None:
            return
        part, where = lattice.part(box), removed[box]
        if isOnGrid(labelmapOf(self._node, segmentId), part) and not self._hasSurfaces:
            label, found = self._valuesWithin(segmentId, part, whole=False)
            if found is not None:
                values, index = found
                for layer, off in zip(values, where[index], strict=True):  # in the processor's cache
                    np.copyto(layer, 0, where=off & (layer == label))
                self._untold[segmentId] = None
                image, _label = labelmapOf(self._node, segmentId)
                if image is not None and any(map(_meet, part.extent, image.GetExtent(), (min, max) * 3)):
                    self._loose.append(image)
            return
        keep = part.image(where)
        arrayOf(keep)[...] = 1 - arrayOf(keep)
        self._merge(segmentId, keep, _module().MODE_MERGE_MIN)

    def _valuesWithin(
        self, segmentId: str, part: Lattice, whole: bool = True
    ) -> tuple[int, tuple[NDArray[Any], tuple[slice, slice, slice]] | None]:
        """A segment's label; its labelmap's values within a box, with their index in the box, to be changed.

        None where the labelmap has none there, has another grid or, if that is asked for, not the whole box.
        """
        image, label = labelmapOf(self._node, segmentId)
        if image is None or not isOnGrid((image, label), part) or self._hasSurfaces:
            return label, None
        common = intersectionOfExtents(part.extent, image.GetExtent())
        if common is None or (whole and common != part.extent):
            return label, None
        return label, (arrayOf(image)[indexOfExtent(common, image.GetExtent())], indexOfExtent(common, part.extent))

    def _merge(self, segmentId: str, image: slicer.vtkOrientedImageData, mode: int) -> None:
        _module().SetBinaryLabelmapToSegment(image, self._node, segmentId, mode, image.GetExtent(), False, [])


def _module() -> type[slicer.vtkSlicerSegmentationsModuleLogic]:
    return slicer.vtkSlicerSegmentationsModuleLogic


def _matrixOf(image: slicer.vtkOrientedImageData) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return matrix


def _meet(end: int, border: int, further: Callable[[int, int], int]) -> bool:
    """Whether one end of a box reaches that of a labelmap, or lies beyond it."""
    return further(end, border) == end


def _isFree(values: NDArray[Any], where: NDArray[np.bool_], label: int) -> bool:
    """Whether no other segment of a labelmap has one of the voxels, `(k, j, i)` both."""
    return not any((on & (layer != 0) & (layer != label)).any() for layer, on in zip(values, where, strict=True))
