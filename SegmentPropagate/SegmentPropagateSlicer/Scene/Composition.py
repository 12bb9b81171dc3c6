"""What labelmaps hold after a write, composed beside them a piece at a time, and put in their place at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf, labelmapOf
from SegmentPropagateSlicer.Scene.Lattice import (
    Extent,
    Lattice,
    indexOfExtent,
    intersectionOfExtents,
    isOnGrid,
    unionOfExtents,
)

AT_ONCE = 1 << 22
"""Bytes that are copied between two turns of the event loop: new memory takes up to 8 ms."""

_Bits = NDArray[np.uint8]


class Change:
    """What a segment gets and loses, as bits: in bytes, that of twelve segments on 600 slices is 170 MB.

    Args:
        lattice: around all of it.
    """

    def __init__(self, lattice: Lattice) -> None:
        self.lattice, self.count = lattice, 0
        self._parts: list[tuple[Lattice, _Bits, _Bits]] = []

    def note(self, part: Lattice, added: NDArray[np.bool_], removed: NDArray[np.bool_]) -> None:
        """Keep a part of it, two masks `(k, j, i)`."""
        count = int(np.count_nonzero(added)) + int(np.count_nonzero(removed))
        if count:
            self._parts.append((part, np.packbits(added), np.packbits(removed)))
            self.count += count

    def pieces(self) -> Iterator[tuple[Lattice, NDArray[np.bool_], NDArray[np.bool_]]]:
        """The parts as they were noted: where, what is added, what is removed."""
        for part, *masks in self._parts:
            added, removed = (_unpacked(bits, part.shape) for bits in masks)
            yield part, added, removed

    @property
    def added(self) -> NDArray[np.bool_]:
        """Bool `(k, j, i)` on the lattice."""
        return self._whole(1)

    @property
    def removed(self) -> NDArray[np.bool_]:
        """Bool `(k, j, i)` on the lattice."""
        return self._whole(2)

    def _whole(self, which: int) -> NDArray[np.bool_]:
        mask = np.zeros(self.lattice.shape, dtype=bool)
        for found in self._parts:
            part, bits = found[0], found[which]
            mask[indexOfExtent(part.extent, self.lattice.extent)] = _unpacked(bits, part.shape)  # type: ignore[arg-type]
        return mask


def _unpacked(bits: _Bits, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=int(np.prod(shape))).view(bool).reshape(shape)


class NotHere(Exception):
    """What is to be written does not fit into the labelmaps as they are shared now."""


class _Sheet:
    """New content of one labelmap."""

    def __init__(self, image: slicer.vtkOrientedImageData, extent: Extent) -> None:
        self.image, self.extent = image, extent
        i0, i1, j0, j1, k0, k1 = extent
        self.values: NDArray[Any] = np.empty((k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1), dtype=arrayOf(image).dtype)

    def within(self, extent: Extent) -> NDArray[Any]:
        """View of the values of a box, which may be changed."""
        return self.values[indexOfExtent(extent, self.extent)]

    def _slabs(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        step = max(1, AT_ONCE // self.values[0].nbytes)
        for k in range(0, len(self.values), step):
            yield slice(k, k + step), self.values[k : k + step]

    def copy(self) -> Iterator[None]:
        """Take what the labelmap holds, and nothing beyond it."""
        old, (layers, rows, columns) = arrayOf(self.image), indexOfExtent(self.image.GetExtent(), self.extent)
        for where, slab in self._slabs():
            slab[...] = 0
            first, last = max(where.start, layers.start), min(where.stop, layers.stop)
            if first < last:
                own = old[first - layers.start : last - layers.start]
                slab[first - where.start : last - where.start, rows, columns] = own
            yield

    def crop(self) -> Iterator[None]:
        """Be no larger than what is held, as Slicer has it."""
        layers, flat = [], np.zeros(self.values.shape[1:], dtype=self.values.dtype)
        for _where, slab in self._slabs():
            layers.append(slab.max(axis=(1, 2)))
            np.maximum(flat, slab.max(axis=0), out=flat)
            yield
        used = [np.flatnonzero(found) for found in (np.concatenate(layers), flat.any(axis=1), flat.any(axis=0))]
        if not len(used[0]):
            return
        box = tuple(slice(int(found[0]), int(found[-1]) + 1) for found in used)
        tight = np.empty([s.stop - s.start for s in box], dtype=self.values.dtype)
        if tight.shape != self.values.shape:
            for where, _slab in self._slabs():
                first, last = max(where.start, box[0].start), min(where.stop, box[0].stop)
                if first < last:
                    tight[first - box[0].start : last - box[0].start] = self.values[(slice(first, last), *box[1:])]
                yield
            starts = zip(box[::-1], self.extent[::2], strict=True)
            self.extent = tuple(start + end for s, start in starts for end in (s.start, s.stop - 1))
            self.values = tight

    def put(self) -> None:
        """Have the labelmap hold this."""
        new, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
        self.image.GetImageToWorldMatrix(matrix)
        new.SetExtent(self.extent)
        new.SetImageToWorldMatrix(matrix)
        scalars = numpy_to_vtk(self.values.ravel())
        scalars.SetName(self.image.GetPointData().GetScalars().GetName())
        new.GetPointData().SetScalars(scalars)
        self.image.ShallowCopy(new)


class Composition:
    """Changes of segments, one after another, on copies of the labelmaps that they share.

    Slicer's `SetBinaryLabelmapToSegment` copies, crops and looks through a labelmap that is shared for each segment:
    12 segments on 600 slices took it 1 s, in which nothing else could be done.

    Args:
        segmentationNode: vtkMRMLSegmentationNode, stored as labelmaps.
        changes: segmentId -> `Change`, in the order in which they are written.
        overwritten: segmentId -> the others that lose what it gets.
    """

    def __init__(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        changes: Mapping[str, Change],
        overwritten: Mapping[str, Sequence[str]],
    ) -> None:
        self._node, self._changes, self._overwritten = segmentationNode, changes, overwritten
        self._labelmaps = {
            i: labelmapOf(segmentationNode, i) for i in segmentationNode.GetSegmentation().GetSegmentIDs()
        }
        self._sheets: dict[slicer.vtkOrientedImageData, _Sheet] = {}
        self._changed: dict[str, None] = {}  # segment IDs, in the order they were changed

    def compose(self) -> Iterator[float]:
        """Do it, a piece at a time, each of which yields how much of all is done, 0..1.

        Raises:
            NotHere: a segment has another grid, no labelmap yet, a surface that has to follow, or would share a voxel
                with one that does not give way. Slicer knows what is to be done then, see `Voxels`.
        """
        names: list[str] = []
        self._node.GetSegmentation().GetContainedRepresentationNames(names)
        if len(names) > 1:
            raise NotHere
        wanted: dict[slicer.vtkOrientedImageData, Extent] = {}
        for segmentId, change in self._changes.items():
            image, label = self._labelmaps[segmentId]
            if image is None or not isOnGrid((image, label), change.lattice):
                raise NotHere
            wanted[image] = unionOfExtents(wanted.get(image, image.GetExtent()), change.lattice.extent) or ()
        for image, extent in wanted.items():
            yield from self._open(image, extent)
        for number, (segmentId, change) in enumerate(self._changes.items(), start=1):
            for piece in change.pieces():
                yield from self._apply(segmentId, *piece)
                yield 0.9 * number / len(self._changes)
        for sheet in self._sheets.values():
            for _piece in sheet.crop():
                yield 0.9

    def put(self) -> None:
        """Have the labelmaps hold what was composed, and tell whoever shows them."""
        for sheet in self._sheets.values():
            sheet.put()
        segmentation = self._node.GetSegmentation()
        for segmentId in self._changed:
            for event in (segmentation.SourceRepresentationModified, segmentation.RepresentationModified):
                segmentation.InvokeEvent(event, segmentId)

    def _open(self, image: slicer.vtkOrientedImageData, extent: Extent) -> Iterator[float]:
        self._sheets[image] = _Sheet(image, extent)
        for _piece in self._sheets[image].copy():
            yield 0.0

    def _apply(
        self, segmentId: str, part: Lattice, added: NDArray[np.bool_], removed: NDArray[np.bool_]
    ) -> Iterator[float]:
        """Change a segment, and those that give way to it, on a part of a lattice."""
        own, label = self._labelmaps[segmentId]
        if own is None:
            raise NotHere
        values = self._sheets[own].within(part.extent)
        np.copyto(values, 0, where=removed & (values == label))
        if added.any():
            for image in {
                found for found, _label in self._labelmaps.values() if found is not None and found is not own
            }:
                yield from self._giveWay(segmentId, image, part, added)
            self._checkFree(segmentId, own, values[added])
            np.copyto(values, label, where=added)
        self._changed[segmentId] = None

    def _giving(self, segmentId: str, image: slicer.vtkOrientedImageData) -> dict[int, str]:
        """Labels of a labelmap that give way to a segment -> whose they are."""
        others = ((i, self._labelmaps[i]) for i in self._overwritten[segmentId])
        return {label: i for i, (found, label) in others if found is image}

    def _checkFree(self, segmentId: str, image: slicer.vtkOrientedImageData, values: NDArray[Any]) -> None:
        """NotHere where others hold values that a segment is to get, and do not give way; else note that they lose."""
        held = values[(values != 0) & (values != self._labelmaps[segmentId][1])]
        giving = self._giving(segmentId, image) if len(held) else {}
        for label in np.unique(held).tolist():
            if label not in giving:
                raise NotHere
            self._changed[giving[label]] = None

    def _giveWay(
        self, segmentId: str, image: slicer.vtkOrientedImageData, part: Lattice, added: NDArray[np.bool_]
    ) -> Iterator[float]:
        """Take from the segments of another labelmap what one gets."""
        giving = self._giving(segmentId, image)
        if not giving:
            return
        if not isOnGrid((image, 1), part):
            raise NotHere
        common = intersectionOfExtents(part.extent, image.GetExtent())
        if common is None:
            return
        where = added[indexOfExtent(common, part.extent)]
        sheet = self._sheets.get(image)
        values = arrayOf(image)[indexOfExtent(common, image.GetExtent())] if sheet is None else sheet.within(common)
        lost = where & np.isin(values, list(giving))
        if not lost.any():
            return
        if sheet is None:
            yield from self._open(image, image.GetExtent())
            values = self._sheets[image].within(common)
        self._changed.update(dict.fromkeys(giving[label] for label in np.unique(values[lost]).tolist()))
        np.copyto(values, 0, where=lost)
