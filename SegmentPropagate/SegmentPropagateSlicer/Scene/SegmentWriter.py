"""Writing slices into segments: the segments' own grid, masking and overwrite mode obeyed, one undo step."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from SegmentPropagateSlicer.Scene.PromptReader import arrayOf, indexFromWorld, labelmapOf, nearestPlaces
from SegmentPropagateSlicer.Scene.VolumeReader import VolumeReader, worldFromLocal

EDIT_EVERYWHERE = 0
"""vtkMRMLSegmentationNode.EditAllowedEverywhere"""


@dataclass(frozen=True, eq=False)
class _Lattice:
    """A labelmap's grid in the coordinates of the segmentation node: matrix and a box of voxels."""

    worldFromIndex: np.ndarray
    matrix: vtk.vtkMatrix4x4
    extent: tuple

    @property
    def shape(self):
        i0, i1, j0, j1, k0, k1 = self.extent
        return k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1

    def image(self, mask):
        """The mask `(k, j, i)` as a vtkOrientedImageData of zeros and ones, cut to its bounding box."""
        extent, cut = [], []
        for axis, start in zip((2, 1, 0), self.extent[::2], strict=True):
            used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            extent += [start + int(used[0]), start + int(used[-1])]
            cut.insert(0, slice(used[0], used[-1] + 1))
        image = slicer.vtkOrientedImageData()
        image.SetExtent(extent)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.SetImageToWorldMatrix(self.matrix)
        arrayOf(image)[...] = mask[tuple(cut)]
        return image


class SegmentWriter:
    """The only place that changes the user's segments.

    What changes is written as voxels to add and voxels to remove. The Segment Editor's own
    `ModifySegmentByLabelmap` would not do: setting with an extent replaces the whole segment, overwriting would cut
    other segments where this one has voxels outside the range, and removing under a mask "inside single segment"
    ignores the mask and adds to the mask segment.
    """

    def __init__(self):
        self._history = slicer.vtkSegmentationHistory()
        self._editorNode = None
        self._saveState = None

    def setEditor(self, editorNode, saveStateForUndo=None):
        """Whose masking and overwrite mode to obey, and who keeps the undo history; see `SegmentPropagateLogic`."""
        self._editorNode, self._saveState = editorNode, saveStateForUndo

    @property
    def allowsOverlap(self):
        """Whether the editor lets segments overlap."""
        node = self._editorNode
        return node is not None and node.GetOverwriteMode() == node.OverwriteNone

    def write(self, segmentationNode, volumeNode, grid, slices, locked=None):
        """Give segments these slices; every other voxel of theirs stays as it is.

        Args:
            segmentationNode: the segmentation.
            volumeNode: the volume that the slices belong to, whose intensities masking by intensity asks.
            grid: its `SliceGrid`.
            slices: segmentId -> slice index -> `Proposal`.
            locked: segmentId -> list of `(SliceGrid, slice indices)` that neither this segment's slices nor another
                segment that overwrites may change.

        Returns:
            dict: segmentId -> number of voxels changed. Where it is 0 for all, no undo step is made.

        Raises:
            InputError: before anything is changed.
        """
        changes = {}
        for segmentId, proposals in slices.items():
            lattice, added, removed = self._changes(segmentationNode, volumeNode, grid, segmentId, proposals)
            if lattice is not None and locked:
                fixed = _voxelsOf(lattice, locked.get(segmentId, ()))
                added &= ~(fixed | self._lockedByOthers(segmentationNode, segmentId, lattice, locked))
                removed &= ~fixed
            changes[segmentId] = lattice, added, removed
        counts = {segmentId: sum(int(mask.sum()) for mask in change[1:]) for segmentId, change in changes.items()}
        if any(counts.values()):
            with self._oneStep(segmentationNode):
                for segmentId, (lattice, added, removed) in changes.items():
                    _remove(segmentationNode, segmentId, lattice, removed)
                    for other in self._overwritten(segmentationNode, segmentId):
                        _remove(segmentationNode, other, lattice, added)
                    _add(segmentationNode, segmentId, lattice, added)
        return counts

    def snapshot(self, segmentationNode, volumeNode, grid, sliceIndex):
        """What all segments hold on one slice, in their own grids, for `restore`."""
        kept = {}
        for segmentId in segmentationNode.GetSegmentation().GetSegmentIDs():
            image, label = labelmapOf(segmentationNode, segmentId)
            world, matrix = self._matrices(segmentationNode, volumeNode, image)
            extent = _extentOfSlab(world, grid, sliceIndex, sliceIndex)
            kept[segmentId] = _Lattice(world, matrix, extent), _read(image, label, extent)
        return kept

    def restore(self, segmentationNode, snapshots):
        """Bring snapshots back, voxel by voxel, whatever the masking; one undo step."""
        present = set(segmentationNode.GetSegmentation().GetSegmentIDs())
        kept = [(i, *rest) for snapshot in snapshots for i, rest in snapshot.items() if i in present]
        now = [_read(*labelmapOf(segmentationNode, i), lattice.extent) for i, lattice, _old in kept]
        if all(np.array_equal(is_, was) for is_, (_i, _lattice, was) in zip(now, kept, strict=True)):
            return
        with self._oneStep(segmentationNode):
            for is_, (segmentId, lattice, was) in zip(now, kept, strict=True):
                _remove(segmentationNode, segmentId, lattice, is_ & ~was)
            for is_, (segmentId, lattice, was) in zip(now, kept, strict=True):
                _add(segmentationNode, segmentId, lattice, was & ~is_)

    @contextmanager
    def _oneStep(self, segmentationNode):
        """One entry in the undo history, one event for the views."""
        if self._saveState is not None:
            self._saveState()
        else:
            self._history.SetSegmentation(segmentationNode.GetSegmentation())
            self._history.SaveState()
        modifying = segmentationNode.StartModify()
        try:
            yield
        finally:
            segmentationNode.EndModify(modifying)

    def undo(self):
        """Take back the last write, where this writer keeps the history itself."""
        self._history.RestorePreviousState()

    def redo(self):
        """Repeat what was taken back."""
        self._history.RestoreNextState()

    def _changes(self, segmentationNode, volumeNode, grid, segmentId, proposals):
        """Where the segment would grow and shrink: its lattice, and bool `(k, j, i)` twice."""
        lattice, old = self._present(segmentationNode, volumeNode, grid, segmentId, proposals)
        if lattice is None:
            return None, np.zeros(0, bool), np.zeros(0, bool)
        new, inSlices = _sample(lattice, grid, proposals)
        editable = inSlices & self._editable(segmentationNode, volumeNode, grid, segmentId, lattice)
        return lattice, new & ~old & editable, old & ~new & editable

    def _present(self, segmentationNode, volumeNode, grid, segmentId, proposals):
        """The lattice around everything that may change, and what the segment holds there."""
        image, label = labelmapOf(segmentationNode, segmentId)
        world, matrix = self._matrices(segmentationNode, volumeNode, image)
        extent = _extentOf(world, grid, proposals)
        if image is not None:
            slab = _extentOfSlab(world, grid, min(proposals), max(proposals))
            extent = _union(extent, _effectiveExtent(image, label, _intersection(image.GetExtent(), slab)))
        if extent is None:
            return None, None
        return _Lattice(world, matrix, extent), _read(image, label, extent)

    def _matrices(self, segmentationNode, volumeNode, image):
        """From a labelmap's index to the world (numpy), and to the segmentation node's own coordinates (VTK)."""
        matrix = vtk.vtkMatrix4x4()
        if image is None:
            image, segmentation = slicer.vtkOrientedImageData(), segmentationNode.GetSegmentation()
            parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
            if not segmentation.GetConversionParameter(parameter):
                segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
            geometry = segmentation.GetConversionParameter(parameter)
            slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, image, False)
        image.GetImageToWorldMatrix(matrix)
        return worldFromLocal(segmentationNode, "segmentation") @ slicer.util.arrayFromVTKMatrix(matrix), matrix

    def _editable(self, segmentationNode, volumeNode, grid, segmentId, lattice):
        """Where the editor's masking allows a change: bool, True everywhere when there is no masking."""
        node, editable = self._editorNode, np.ones(lattice.shape, dtype=bool)
        if node is None:
            return editable
        if node.GetMaskMode() != EDIT_EVERYWHERE:
            geometry = slicer.vtkOrientedImageData()
            geometry.SetExtent(lattice.extent)
            geometry.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
            geometry.SetImageToWorldMatrix(lattice.matrix)
            forbidden = slicer.vtkOrientedImageData()
            segmentationNode.GenerateEditMask(
                forbidden, node.GetMaskMode(), geometry, segmentId, node.GetMaskSegmentID() or ""
            )
            editable &= arrayOf(forbidden) == 0
        if node.GetSourceVolumeIntensityMask():
            low, high = node.GetSourceVolumeIntensityMaskRange()
            stack = np.moveaxis(VolumeReader(node.GetSourceVolumeNode() or volumeNode).voxels, grid.axis, 0)
            for k, (places, _inside) in enumerate(_places(lattice, grid)):
                values = stack[tuple(places)]
                editable[k] &= (values >= low) & (values <= high)
        return editable

    def _lockedByOthers(self, segmentationNode, segmentId, lattice, locked):
        """Voxels that other segments hold on their locked slices and would lose to this one."""
        found = np.zeros(lattice.shape, dtype=bool)
        for other in self._overwritten(segmentationNode, segmentId):
            if other in locked:
                fixed = _voxelsOf(lattice, locked[other])
                if fixed.any():
                    found |= fixed & _heldBy(segmentationNode, other, lattice)
        return found

    def _overwritten(self, segmentationNode, segmentId):
        """The other segments that give way to this one."""
        node = self._editorNode
        others = [i for i in segmentationNode.GetSegmentation().GetSegmentIDs() if i != segmentId]
        if node is None or node.GetOverwriteMode() == node.OverwriteAllSegments:
            return others
        if node.GetOverwriteMode() == node.OverwriteNone:
            return []
        display = segmentationNode.GetDisplayNode()
        return [i for i in others if display is None or display.GetSegmentVisibility(i)]


def _add(segmentationNode, segmentId, lattice, added):
    if added.any():
        image, module = lattice.image(added), slicer.vtkSlicerSegmentationsModuleLogic
        module.SetBinaryLabelmapToSegment(  # MODE_MERGE_MAX would write 1, which is another segment's value
            image, segmentationNode, segmentId, module.MODE_MERGE_MASK, image.GetExtent(), False, []
        )


def _remove(segmentationNode, segmentId, lattice, removed):
    if removed.any():
        keep, module = lattice.image(removed), slicer.vtkSlicerSegmentationsModuleLogic
        arrayOf(keep)[...] = 1 - arrayOf(keep)
        module.SetBinaryLabelmapToSegment(
            keep, segmentationNode, segmentId, module.MODE_MERGE_MIN, keep.GetExtent(), False, []
        )


def _read(image, label, extent):
    """Which voxels of an extent carry the label: bool `(k, j, i)`."""
    found = np.zeros([extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0)], dtype=bool)
    common = _intersection(extent, image.GetExtent()) if image is not None else None
    if common is not None:
        found[_index(common, extent)] = arrayOf(image)[_index(common, image.GetExtent())] == label
    return found


def _voxelsOf(lattice, stacks):
    """Which voxels of the lattice lie on slices, given as `(SliceGrid, slice indices)`: bool `(k, j, i)`."""
    found = np.zeros(lattice.shape, dtype=bool)
    for grid, indices in stacks:
        wanted = np.zeros(grid.count, dtype=bool)
        wanted[indices] = True
        for k, ((s, _row, _column), inside) in enumerate(_places(lattice, grid)):
            found[k] |= inside & wanted[s]
    return found


def _heldBy(segmentationNode, segmentId, lattice):
    """What a segment, maybe with a grid of its own, holds on the lattice: bool `(k, j, i)`, nearest voxel."""
    image, label = labelmapOf(segmentationNode, segmentId)
    found = np.zeros(lattice.shape, dtype=bool)
    if image is None:
        return found
    values = arrayOf(image)
    matrix = indexFromWorld(segmentationNode, image) @ lattice.worldFromIndex
    matrix[:3, 3] -= image.GetExtent()[::2]
    i0, i1, j0, j1, k0, k1 = lattice.extent
    axes = np.arange(j0, j1 + 1)[:, None], np.arange(i0, i1 + 1)[None, :]
    for k in range(k0, k1 + 1):
        steps = np.c_[matrix[:3, 1], matrix[:3, 0], matrix[:3, 2] * k + matrix[:3, 3]]
        (i, j, slab), inside = nearestPlaces(steps, axes, values.shape[::-1])
        found[k - k0] = (values[slab, j, i] == label) & inside
    return found


def _places(lattice, grid):
    """Per k of the lattice: slice, row and column, broadcasting to `(j, i)`, and where these are in the volume."""
    matrix = np.linalg.inv(grid.worldFromSlice) @ lattice.worldFromIndex
    i0, i1, j0, j1, k0, k1 = lattice.extent
    axes = np.arange(j0, j1 + 1)[:, None], np.arange(i0, i1 + 1)[None, :]
    for k in range(k0, k1 + 1):
        steps = np.c_[matrix[:3, 1], matrix[:3, 0], matrix[:3, 2] * k + matrix[:3, 3]]
        yield nearestPlaces(steps, axes, (grid.count, *grid.shape))


def _sample(lattice, grid, proposals):
    """The proposals on the lattice, nearest voxel: the mask, and where there is a proposal at all."""
    first = min(proposals)
    stack = np.zeros((max(proposals) + 1 - first, *grid.shape), dtype=bool)
    known = np.zeros(grid.count, dtype=bool)
    for index, proposal in proposals.items():
        stack[index - first][proposal.place] = proposal.box
        known[index] = True
    new, inSlices = np.zeros(lattice.shape, dtype=bool), np.zeros(lattice.shape, dtype=bool)
    for k, ((s, row, column), inside) in enumerate(_places(lattice, grid)):
        inSlices[k] = inside & known[s]
        new[k] = stack[np.clip(s - first, 0, len(stack) - 1), row, column] & inSlices[k]
    return new, inSlices


def _extentOf(world, grid, proposals):
    """Extent around all proposed pixels; None when every proposal is empty."""
    full = {index: proposal for index, proposal in proposals.items() if proposal.area}
    if not full:
        return None
    places = [proposal.place for proposal in full.values()]
    bounds = [(min(full), max(full))]
    bounds += [(min(p[axis].start for p in places), max(p[axis].stop for p in places) - 1) for axis in (0, 1)]
    return _extentOfBounds(world, grid, bounds)


def _extentOfSlab(world, grid, first, last):
    return _extentOfBounds(world, grid, [(first, last), (0, grid.shape[0] - 1), (0, grid.shape[1] - 1)])


def _extentOfBounds(world, grid, bounds):
    """Extent on a lattice of a box of `(slice, row, column)` voxels, borders included."""
    corners = np.stack(np.meshgrid(*[(low - 0.5, high + 0.5) for low, high in bounds]), -1).reshape(-1, 3)
    matrix = np.linalg.inv(world) @ grid.worldFromSlice
    index = (np.c_[corners, np.ones(8)] @ matrix.T)[:, :3]
    low, high = np.ceil(index.min(axis=0) - 1e-6), np.floor(index.max(axis=0) + 1e-6)
    return tuple(int(value) for pair in zip(low, high, strict=True) for value in pair)


def _effectiveExtent(image, label, within):
    """Extent of the voxels that carry the label, looking within an extent; None when there are none."""
    if within is None:
        return None
    values = arrayOf(image)[_index(within, image.GetExtent())]
    flat, planes = np.zeros(values.shape[1:], dtype=bool), np.zeros(len(values), dtype=bool)
    for k, plane in enumerate(values):  # a plane at a time: no second copy of a whole labelmap
        found = plane == label
        planes[k] = found.any()
        flat |= found
    used = [np.flatnonzero(axis) for axis in (flat.any(axis=0), flat.any(axis=1), planes)]  # i, j, k
    if not planes.any():
        return None
    return tuple(int(start + edge) for start, u in zip(within[::2], used, strict=True) for edge in (u[0], u[-1]))


def _union(one, other):
    if one is None or other is None:
        return one or other
    return tuple(f(a, b) for a, b, f in zip(one, other, (min, max) * 3, strict=True))


def _intersection(one, other):
    if one is None or other is None:
        return None
    both = tuple(f(a, b) for a, b, f in zip(one, other, (max, min) * 3, strict=True))
    return both if all(both[2 * axis] <= both[2 * axis + 1] for axis in range(3)) else None


def _index(extent, within):
    """Index `(k, j, i)` of an extent in an array that starts at the beginning of another."""
    return tuple(slice(extent[2 * a] - within[2 * a], extent[2 * a + 1] - within[2 * a] + 1) for a in (2, 1, 0))
