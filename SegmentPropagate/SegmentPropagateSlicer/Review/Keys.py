"""The key slices: which they are, what is drawn on them, and which are locked."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.volumes.geometry import Geometry
from SegmentPropagateLib.volumes.stack import slice_of
from SegmentPropagateSlicer.Review import KeyPicture
from SegmentPropagateSlicer.Scene.Labelmaps import labelmapOf, segmentOf, stampOf
from SegmentPropagateSlicer.Scene.PromptReader import PromptReader
from SegmentPropagateSlicer.Scene.SliceGrid import SliceGrid
from SegmentPropagateSlicer.Values.Key import Key
from SegmentPropagateSlicer.Values.Proposal import Proposal, proposalOfMask
from SegmentPropagateSlicer.Values.Signal import Signal
from SegmentPropagateSlicer.Values.Words import tr as _

if TYPE_CHECKING:
    import slicer

Place = tuple[str, str, int]

NEAREST = 8
"""Slices that `Keys.drawn` reads: each takes some milliseconds."""


class Keys:
    """An ordered set of `Key`, one per segment, plane and slice.

    The outline of a key is what its segment holds there, read when it is needed. Only a slice that was confirmed in
    review keeps its outline here (`pinned`) until Accept writes it. A key whose outline has gone, as by Undo, is
    asleep: it is a key again as soon as something is drawn there, by Redo or anew.
    """

    def __init__(self) -> None:
        self.changed = Signal()
        self.segmentationNode: slicer.vtkMRMLSegmentationNode | None = None
        self.pinned: dict[Place, Proposal] = {}
        self._keys: dict[Place, Key] = {}
        self._inOrder: tuple[Key, ...] | None = ()  # of them; None where that is to be found out
        self._asleep: dict[Place, Key] = {}
        self._stamps: dict[Place, tuple[object, ...]] = {}  # what was read, of keys that are up to date
        self._isHeldBack = self._isUntold = False  # whether `changed` waits, and is to come

    def __iter__(self) -> Iterator[Key]:
        if self._inOrder is None:  # they are asked for 6 times in a refresh
            self._inOrder = tuple(sorted(self._keys.values(), key=lambda key: key.place))
        return iter(self._inOrder)

    def find(self, segmentId: str, plane: str, sliceIndex: int) -> Key | None:
        """The `Key` of that place, or None."""
        return self._keys.get((segmentId, plane, sliceIndex))

    def confirmed(self, segmentId: str, plane: str) -> list[int]:
        """Locked slices of a segment, ascending."""
        return [key.sliceIndex for key in self if (key.segmentId, key.plane, key.confirmed) == (segmentId, plane, True)]

    def picture(self, grid: SliceGrid, voxels: NDArray[Any], key: Key, size: int) -> NDArray[np.uint8]:
        """What a key has now, maybe nothing, on its slice of the voxels `(k, j, i)`: uint8 `(size, size, 3)`."""
        outline = self.pinned.get(key.place) or self._read(PromptReader(grid), key.segmentId, key.sliceIndex)
        color = segmentOf(self._node(), key.segmentId).GetColor()
        return KeyPicture.draw(grid, slice_of(voxels, grid.axis, key.sliceIndex), outline, color, size)

    def slices(self, geometry: Geometry, lockedOnly: bool = False) -> dict[str, list[tuple[SliceGrid, list[int]]]]:
        """segmentId -> list of `(SliceGrid, slices)` of its keys; not what Accept has yet to write.

        Args:
            geometry: `Geometry` of the volume.
            lockedOnly: leave out those that are not locked.
        """
        found: dict[str, dict[str, list[int]]] = {}
        for key in self:
            if (key.confirmed or not lockedOnly) and key.place not in self.pinned:
                found.setdefault(key.segmentId, {}).setdefault(key.plane, []).append(key.sliceIndex)
        return {
            segmentId: [(SliceGrid(geometry, plane), indices) for plane, indices in planes.items()]
            for segmentId, planes in found.items()
        }

    def absent(self, plane: str) -> set[tuple[str, int]]:
        """Set of `(segmentId, slice)` that were locked as holding nothing."""
        return {(k.segmentId, k.sliceIndex) for k in self if k.confirmed and k.plane == plane and not k.areaMm2}

    def replaceAll(self, keys: Iterable[Key]) -> None:
        """Forget all keys and take these; keys of segments that do not exist are dropped."""
        known = self.segmentationNode.GetSegmentation().GetSegmentIDs() if self.segmentationNode else ()
        for kept in (self.pinned, self._asleep, self._stamps):
            kept.clear()
        taken = {key.place: key for key in keys if key.segmentId in known}
        if taken != self._keys:
            self._keys = taken
            self._tell()

    def remove(self, place: Place) -> None:
        """Forget the key of a place, if there is one."""
        self.pinned.pop(place, None)
        self._asleep.pop(place, None)
        if self._keys.pop(place, None) is not None:
            self._tell()

    def sleep(self, place: Place) -> None:
        """The outline of a key has gone; the key comes back with it."""
        key = self._keys.get(place)
        if key is not None:
            self.remove(place)
            self._asleep[place] = key

    def following(self, geometry: Geometry) -> Generator[None, None, bool]:
        """Find out which outlines have gone, come back or changed; a slice at a time, where it may have. Returns True.

        Not during a review, in which what segments hold may be lent to them.
        """
        node, readers = self.segmentationNode, dict[str, PromptReader]()
        present = set(node.GetSegmentation().GetSegmentIDs()) if node is not None else set()
        for key in [k for k in (*self, *self._asleep.values()) if k.segmentId in present]:
            stamp = stampOf(labelmapOf(self._node(), key.segmentId))
            if key.place in self.pinned or self._stamps.get(key.place) == stamp:
                continue
            if key.plane not in readers:
                readers[key.plane] = PromptReader(SliceGrid(geometry, key.plane))
            self._note(readers[key.plane], key, self._read(readers[key.plane], key.segmentId, key.sliceIndex))
            self._stamps[key.place] = stamp
            yield
        return True

    def add(self, grid: SliceGrid, segmentId: str, sliceIndex: int, confirmed: bool = False) -> None:
        """Make what is drawn on a slice a key; InputError where nothing is."""
        outline = self._drawn(PromptReader(grid), segmentId, sliceIndex)
        known = self.find(segmentId, grid.plane, sliceIndex)
        self._put(grid, segmentId, sliceIndex, outline, confirmed or bool(known and known.confirmed))

    def addAll(self, grid: SliceGrid, places: Iterable[tuple[str, int]]) -> None:
        """The same for `(segmentId, slice)` places; `changed` is told once."""
        with self.together():
            for place in places:
                self.add(grid, *place)

    def takeAll(self, grid: SliceGrid, outlines: Mapping[tuple[str, int], Proposal]) -> None:
        """Make `(segmentId, slice)` places keys whose outlines are known; `changed` is told once."""
        with self.together():
            for (segmentId, index), outline in outlines.items():
                self._put(grid, segmentId, index, outline, False)

    def lock(self, grid: SliceGrid, segmentId: str, sliceIndex: int, proposal: Proposal | None = None) -> None:
        """Confirm a slice: as the proposal has it where one is given, else as it is drawn, empty or not."""
        known = self.find(segmentId, grid.plane, sliceIndex)
        if known is not None:
            self._replace(replace(known, confirmed=True))
            return
        outline = proposal or self._read(PromptReader(grid), segmentId, sliceIndex)
        self._put(grid, segmentId, sliceIndex, outline, True)
        if proposal is not None:
            self.pinned[segmentId, grid.plane, sliceIndex] = proposal

    def unlock(self, place: Place) -> None:
        """Take a confirmation back; a slice that was no key before is none any more."""
        known = self._keys.get(place)
        if known is not None and (place in self.pinned or not known.areaMm2):
            self.remove(place)
        elif known is not None:
            self._replace(replace(known, confirmed=False))

    def settle(self, geometry: Geometry) -> None:
        """A proposal has been written, and the pinned outlines with it; where it fills a slice, no key is asleep."""
        self.pinned.clear()
        present = self._node().GetSegmentation().GetSegmentIDs()
        for key in [key for key in self._asleep.values() if key.segmentId in present]:
            if self._read(PromptReader(SliceGrid(geometry, key.plane)), key.segmentId, key.sliceIndex).area:
                del self._asleep[key.place]

    def unpin(self) -> None:
        """The pinned outlines will never be written: forget their keys."""
        for place in tuple(self.pinned):
            self.remove(place)

    def outlines(self, grid: SliceGrid, ranges: Mapping[str, tuple[int, int]]) -> Mapping[tuple[str, int], Proposal]:
        """`(segmentId, slice)` -> `Proposal` of the keys in each segment's range, areas brought up to date.

        Args:
            grid: `SliceGrid`.
            ranges: segmentId -> first and last slice.

        Raises:
            InputError: a segment without a key in the range.
        """
        found: dict[tuple[str, int], Proposal] = {}
        reader = PromptReader(grid)
        for segmentId, (first, last) in ranges.items():
            for key in [k for k in self if (k.segmentId, k.plane) == (segmentId, grid.plane)]:
                if first <= key.sliceIndex <= last:
                    outline = self._outline(reader, key)
                    if outline.area:
                        found[segmentId, key.sliceIndex] = outline
            if not any(owner == segmentId for owner, _index in found):
                raise InputError(
                    _(
                        "Segment '{name}' has no {plane} key slice from {first} to {last}: add one, or widen the range."
                    ).format(name=self._name(segmentId), plane=grid.plane, first=first, last=last)
                )
        if not found:
            raise InputError(_("Choose a segment that has a key slice first."))
        return found

    def drawn(self, grid: SliceGrid, segmentId: str, sliceIndex: int) -> dict[int, Proposal]:
        """Slice -> `Proposal` of what a segment holds on a slice and the keys next to it; if nothing, an empty one."""
        reader = PromptReader(grid)
        slices = {key.sliceIndex for key in self if (key.segmentId, key.plane) == (segmentId, grid.plane)}
        nearest = sorted({*slices, sliceIndex}, key=lambda index: abs(index - sliceIndex))[:NEAREST]
        found = {
            index: self.pinned.get((segmentId, grid.plane, index)) or self._read(reader, segmentId, index)
            for index in nearest
        }
        return {i: outline for i, outline in found.items() if outline.area} or {sliceIndex: found[sliceIndex]}

    def _outline(self, reader: PromptReader, key: Key) -> Proposal:
        if key.place in self.pinned:
            return self.pinned[key.place]
        outline = self._read(reader, key.segmentId, key.sliceIndex)
        self._note(reader, key, outline)
        return outline

    def _note(self, reader: PromptReader, key: Key, outline: Proposal) -> None:
        """What a key holds has been read; what is locked may hold nothing."""
        area = outline.area * reader.grid.pixelAreaMm2
        if not area and not key.confirmed:
            self.sleep(key.place)
        elif abs(area - key.areaMm2) > 1e-6 or key.place in self._asleep:
            self._replace(replace(key, areaMm2=area))

    def _read(self, reader: PromptReader, segmentId: str, sliceIndex: int) -> Proposal:
        return proposalOfMask(reader.segmentMask(self._node(), segmentId, sliceIndex))

    def _node(self) -> slicer.vtkMRMLSegmentationNode:
        if self.segmentationNode is None:
            raise InputError(_("Choose a segmentation first."))
        return self.segmentationNode

    def _drawn(self, reader: PromptReader, segmentId: str, sliceIndex: int) -> Proposal:
        outline = self._read(reader, segmentId, sliceIndex)
        if not outline.area:
            raise InputError(
                _("Segment '{name}' is empty on {plane} slice {index}: outline the object there first.").format(
                    name=self._name(segmentId), plane=reader.grid.plane, index=sliceIndex
                )
            )
        return outline

    def _name(self, segmentId: str) -> str:
        segment = self.segmentationNode.GetSegmentation().GetSegment(segmentId) if self.segmentationNode else None
        return segment.GetName() if segment else segmentId

    def _put(self, grid: SliceGrid, segmentId: str, sliceIndex: int, outline: Proposal, confirmed: bool) -> None:
        key = Key(segmentId, grid.plane, sliceIndex, outline.area * grid.pixelAreaMm2, confirmed)
        self._stamps[key.place] = stampOf(labelmapOf(self._node(), segmentId))
        self._replace(key)

    def _replace(self, key: Key) -> None:
        self._asleep.pop(key.place, None)
        if self._keys.get(key.place) != key:
            self._keys[key.place] = key
            self._tell()

    def _tell(self) -> None:
        self._inOrder, self._isUntold = None, True
        if not self._isHeldBack:
            self._isUntold = False
            self.changed.emit()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Whoever follows the keys saves and shows all of them: that is done once."""
        self._isHeldBack = True
        try:
            yield
        finally:
            self._isHeldBack = False
            if self._isUntold:
                self._tell()
