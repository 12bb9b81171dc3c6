"""What labelmaps hold after a write, composed beside them a piece at a time, and put in their place at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

from SegmentPropagateSlicer.Scene.Derived import Derivation, derivedNames
from SegmentPropagateSlicer.Scene.Labelmaps import LABELMAP, Labelmap, arrayOf, distinct, hasVoxels
from SegmentPropagateSlicer.Scene.Lattice import (
    Extent,
    Lattice,
    effectiveExtent,
    indexOfExtent,
    intersectionOfExtents,
    maskOn,
    unionOfExtents,
)
from SegmentPropagateSlicer.Values.Pieces import asPart

SAMPLES = 16
"""Voxels of a change by which can be told whether it was undone."""
AT_ONCE = 1 << 22
"""Bytes that are copied between two turns of the event loop: new memory takes up to 8 ms."""
SCALARS = "ImageScalars"
"""What VTK calls the values of an image."""

_Bits = NDArray[np.uint8]


class Change:
    """What a segment gets and loses, as bits: in bytes, that of twelve segments on 600 slices is 170 MB.

    Args:
        lattice: around all of it.
    """

    def __init__(self, lattice: Lattice) -> None:
        self.lattice, self.count = lattice, 0
        self.samples: list[tuple[Lattice, bool]] = []  # lattice of one voxel, and whether it is added
        self._parts: list[tuple[Lattice, _Bits, _Bits]] = []

    def note(self, part: Lattice, added: NDArray[np.bool_], removed: NDArray[np.bool_]) -> None:
        """Keep a part of it, two masks `(k, j, i)`."""
        count = int(np.count_nonzero(added)) + int(np.count_nonzero(removed))
        if count:
            self._parts.append((part, np.packbits(added), np.packbits(removed)))
            self.count += count
            if len(self.samples) < SAMPLES:
                changed = added if added.any() else removed
                voxel = np.unravel_index(int(changed.argmax()), changed.shape)
                box = tuple(slice(int(index), int(index) + 1) for index in voxel)
                self.samples.append((part.part(box), changed is added))

    def pieces(self) -> Iterator[tuple[Lattice, NDArray[np.bool_], NDArray[np.bool_]]]:
        """The parts as they were noted: where, what is added, what is removed."""
        for part, *masks in self._parts:
            added, removed = (_unpacked(bits, part.shape) for bits in masks)
            yield part, added, removed


def _unpacked(bits: _Bits, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=int(np.prod(shape))).view(bool).reshape(shape)


class _Sheet:
    """New content of one labelmap.

    Args:
        image: the labelmap; None, or an empty one, where nothing is held yet.
        lattice: has its grid.
        extent: of the new content.
        highest: label that it may get.
    """

    def __init__(
        self, image: slicer.vtkOrientedImageData | None, lattice: Lattice, extent: Extent, highest: int
    ) -> None:
        self._old = image if hasVoxels(image) else None
        self._matrix, self.extent = lattice.matrix, extent
        dtype = np.min_scalar_type(highest) if self._old is None else arrayOf(self._old).dtype
        i0, i1, j0, j1, k0, k1 = extent
        self.values: NDArray[Any] = np.empty((k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1), dtype=dtype)

    def within(self, extent: Extent) -> NDArray[Any]:
        """View of the values of a box, which may be changed."""
        return self.values[indexOfExtent(extent, self.extent)]

    def _slabs(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        step = max(1, AT_ONCE // self.values[0].nbytes)
        for k in range(0, len(self.values), step):
            yield slice(k, k + step), self.values[k : k + step]

    def copy(self) -> Iterator[None]:
        """Take what the labelmap holds, and nothing beyond it."""
        old, (layers, rows, columns) = self.values[:0], (slice(0, 0), slice(0, 0), slice(0, 0))
        if self._old is not None:
            old, (layers, rows, columns) = arrayOf(self._old), indexOfExtent(self._old.GetExtent(), self.extent)
        for where, slab in self._slabs():
            slab[...] = 0
            first, last = max(where.start, layers.start), min(where.stop, layers.stop)
            if first < last:
                own = old[first - layers.start : last - layers.start]
                slab[first - where.start : last - where.start, rows, columns] = own
            yield

    def take(self, other: _Sheet, label: int) -> Iterator[None]:
        """Get the voxels that carry a label in another sheet, which loses them, with the label 1."""
        common = intersectionOfExtents(self.extent, other.extent)
        if common is None:
            return
        own, its = self.within(common), other.within(common)
        step = max(1, AT_ONCE // its[0].nbytes)
        for k in range(0, len(its), step):
            found = its[k : k + step] == label
            np.copyto(own[k : k + step], 1, where=found)
            np.copyto(its[k : k + step], 0, where=found)
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

    def image(self, extent: Extent | None = None) -> slicer.vtkOrientedImageData:
        """The labelmap that this makes, or a part of it with memory of its own."""
        values = self.values if extent is None else np.ascontiguousarray(self.within(extent))
        image = slicer.vtkOrientedImageData()
        image.SetExtent(extent or self.extent)
        image.SetImageToWorldMatrix(self._matrix)
        scalars = numpy_to_vtk(values.ravel())
        scalars.SetName(SCALARS if self._old is None else self._old.GetPointData().GetScalars().GetName())
        image.GetPointData().SetScalars(scalars)
        return image


_Owner = Union["slicer.vtkOrientedImageData", str]
"""The labelmap that segments share, empty or not; the ID of a segment that has none."""


class Composition:
    """Changes of segments, one after another, on copies of the labelmaps that they share.

    Slicer's `SetBinaryLabelmapToSegment` copies, crops and looks through a labelmap that is shared for each segment:
    12 segments on 600 slices took it 1 s, in which nothing else could be done.

    Args:
        segmentationNode: vtkMRMLSegmentationNode, stored as labelmaps.
        changes: segmentId -> `Change`, in the order in which they are written; an ID that there is no segment of
            stands for one that is yet to be made.
        overwritten: segmentId -> the others that lose what it gets.
    """

    def __init__(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        changes: Mapping[str, Change],
        overwritten: Mapping[str, Sequence[str]],
    ) -> None:
        self._node, self._changes, self._overwritten = segmentationNode, changes, overwritten
        segmentation = segmentationNode.GetSegmentation()
        self._owners: dict[str, tuple[_Owner, int]] = {segmentId: (segmentId, 1) for segmentId in changes}
        for segmentId in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segmentId)
            image = segment.GetRepresentation(LABELMAP) if segment is not None else None
            if segment is not None and image is not None:
                self._owners[segmentId] = image, segment.GetLabelValue()
        self._sheets: dict[_Owner, _Sheet] = {}
        self._changed: dict[str, None] = {}  # segment IDs, in the order they were changed
        self._derived: dict[str, Mapping[str, vtk.vtkDataObject]] = {}  # segmentId -> what is made of its labelmap
        self._wholes: dict[_Owner, slicer.vtkOrientedImageData] = {}  # labelmaps, where surfaces are made jointly

    def compose(self) -> Iterator[float]:
        """Do it, a piece at a time, each of which yields how much of all is done, 0..1."""
        derivation = Derivation(self._node, derivedNames(self._node))
        yield from self._openAll()
        for number, (segmentId, change) in enumerate(self._changes.items()):
            for piece in change.pieces():
                for _step in self._apply(segmentId, *piece):
                    yield 0.8 * number / len(self._changes)
                yield 0.8 * number / len(self._changes)
        for sheet in self._sheets.values():
            for _piece in sheet.crop():
                yield 0.8
        for number, segmentId in enumerate(self._changed if derivation.names else (), start=1):
            yield from self._derive(segmentId, derivation, 0.8 + 0.2 * (number - 1) / len(self._changed))
            yield 0.8 + 0.2 * number / len(self._changed)

    def labelmap(self, segmentId: str) -> Labelmap:
        """What a segment that is changed will have."""
        owner, label = self._owners[segmentId]
        return self._sheets[owner].image(), label

    def put(self, made: Mapping[str, str]) -> None:
        """Have the segments hold what was composed, and tell whoever shows them.

        Args:
            made: IDs of the changes that stood for segments -> IDs of these segments.
        """
        segmentation = self._node.GetSegmentation()
        images = {owner: sheet.image() for owner, sheet in self._sheets.items()}
        for owner, image in images.items():
            if isinstance(owner, str):
                self._replace(segmentation.GetSegment(made.get(owner, owner)), image, owner)
            elif not self._derived and hasVoxels(owner):
                owner.ShallowCopy(image)
            else:  # changed in place, surfaces of all segments would be forgotten; an empty one is not listened to
                for segmentId in [i for i, (found, _label) in self._owners.items() if found is owner]:
                    self._replace(segmentation.GetSegment(segmentId), image, segmentId)
        for segmentId in self._changed:
            for event in (segmentation.SourceRepresentationModified, segmentation.RepresentationModified):
                segmentation.InvokeEvent(event, made.get(segmentId, segmentId))

    def _replace(self, segment: slicer.vtkSegment | None, image: slicer.vtkOrientedImageData, segmentId: str) -> None:
        if segment is not None:
            segment.AddRepresentation(LABELMAP, image)
            segment.SetLabelValue(self._owners[segmentId][1])
            for name, data in self._derived.get(segmentId, {}).items():
                segment.AddRepresentation(name, data)

    def _derive(self, segmentId: str, derivation: Derivation, share: float) -> Iterator[float]:
        """Make what is made of a segment's labelmap; of no more of that than it takes, as one may be shared by all."""
        owner, label = self._owners[segmentId]
        sheet = self._sheets[owner]
        extent = effectiveExtent(sheet.image(), label, sheet.extent)
        yield share
        if derivation.isJoint and owner not in self._wholes:
            self._wholes[owner] = sheet.image()
        image = None if extent is None else self._wholes[owner] if derivation.isJoint else sheet.image(extent)
        self._derived[segmentId] = yield from asPart(derivation.making((image, label)), share, share)

    def _openAll(self) -> Iterator[float]:
        wanted: dict[_Owner, tuple[Lattice, Extent]] = {}
        for segmentId, change in self._changes.items():
            owner = self._owners[segmentId][0]
            held = _held(owner)
            before = wanted[owner][1] if owner in wanted else held.GetExtent() if held is not None else None
            wanted[owner] = change.lattice, unionOfExtents(before, change.lattice.extent) or ()
        for owner, (lattice, extent) in wanted.items():
            yield from self._open(owner, lattice, extent)

    def _open(self, owner: _Owner, lattice: Lattice, extent: Extent) -> Iterator[float]:
        highest = max(label for other, label in self._owners.values() if other is owner)
        image = None if isinstance(owner, str) else owner
        self._sheets[owner] = _Sheet(image, lattice, extent, highest)
        for _piece in self._sheets[owner].copy():
            yield 0.0

    def _apply(
        self, segmentId: str, part: Lattice, added: NDArray[np.bool_], removed: NDArray[np.bool_]
    ) -> Iterator[float | None]:
        """Change a segment, and those that give way to it, on a part of a lattice."""
        own, label = self._owners[segmentId]
        values = self._sheets[own].within(part.extent)
        np.copyto(values, 0, where=removed & (values == label))
        if added.any():
            if not self._isFree(segmentId, own, values[added]):
                yield from self._separate(segmentId)
                own, label = self._owners[segmentId]
                values = self._sheets[own].within(part.extent)
            for owner in {found for found, _label in self._owners.values() if found is not own}:
                yield from self._giveWay(segmentId, owner, part, added)
            np.copyto(values, label, where=added)
        self._changed[segmentId] = None

    def _giving(self, segmentId: str, owner: _Owner) -> dict[int, str]:
        """Labels of a labelmap that give way to a segment -> whose they are."""
        others = ((i, self._owners[i]) for i in self._overwritten[segmentId] if i in self._owners)
        return {label: i for i, (found, label) in others if found is owner}

    def _isFree(self, segmentId: str, owner: _Owner, values: NDArray[Any]) -> bool:
        """Whether all values that a segment is to get are of segments that give way; then note that these lose."""
        held = distinct(values[(values != 0) & (values != self._owners[segmentId][1])])
        giving = self._giving(segmentId, owner) if held else {}
        if not all(label in giving for label in held):
            return False
        self._changed.update(dict.fromkeys(giving[label] for label in held))
        return True

    def _separate(self, segmentId: str) -> Iterator[None]:
        """Give a segment a labelmap of its own, as Slicer does where one is to overlap another."""
        owner, label = self._owners[segmentId]
        sheet, lattice = self._sheets[owner], self._changes[segmentId].lattice
        held = effectiveExtent(sheet.image(), label, sheet.extent)
        yield
        self._sheets[segmentId] = own = _Sheet(None, lattice, unionOfExtents(held, lattice.extent) or (), 1)
        yield from own.copy()
        yield from own.take(sheet, label)
        self._owners[segmentId] = segmentId, 1

    def _giveWay(
        self, segmentId: str, owner: _Owner, part: Lattice, added: NDArray[np.bool_]
    ) -> Iterator[float | None]:
        """Take from the segments of another labelmap, maybe with a grid of its own, what one gets."""
        giving, sheet = self._giving(segmentId, owner), self._sheets.get(owner)
        stored = sheet.image() if sheet is not None else _held(owner)
        found = maskOn(self._node, stored, part, added) if giving and stored is not None else None
        if found is None or stored is None:
            return
        lattice, where = found
        values = arrayOf(stored)[indexOfExtent(lattice.extent, stored.GetExtent())]
        lost = where & np.isin(values, list(giving))
        if not lost.any():
            return
        if sheet is None:
            yield from self._open(owner, lattice, stored.GetExtent())
            values = self._sheets[owner].within(lattice.extent)
        self._changed.update(dict.fromkeys(giving[label] for label in distinct(values[lost])))
        np.copyto(values, 0, where=lost)


def _held(owner: _Owner) -> slicer.vtkOrientedImageData | None:
    """A labelmap that holds something; else None."""
    return None if isinstance(owner, str) or not hasVoxels(owner) else owner
