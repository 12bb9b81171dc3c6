"""What Slicer makes of a segment's labelmap, surfaces above all, made beside the segmentation."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import slicer
import vtk

from SegmentPropagateSlicer.Scene.Labelmaps import LABELMAP, Labelmap
from SegmentPropagateSlicer.Scene.Surfaces import Surfaces

SURFACE = "Closed surface"
"""vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()"""


def derivedNames(segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Representations that are made of the labelmaps."""
    names = list[str]()
    segmentationNode.GetSegmentation().GetContainedRepresentationNames(names)
    return [name for name in names if name != LABELMAP]


class Derivation:
    """Makes representations of labelmaps as Slicer would in a segmentation.

    Args:
        segmentationNode: vtkMRMLSegmentationNode, whose conversion parameters count.
        names: of the representations.
    """

    def __init__(self, segmentationNode: slicer.vtkMRMLSegmentationNode, names: Sequence[str]) -> None:
        self._segmentation, self.names = segmentationNode.GetSegmentation(), names
        self._surfaces = Surfaces(
            self._segmentation, lambda few: _derivedBySlicer(self._segmentation, [SURFACE], few).get(SURFACE)
        )

    @property
    def isJoint(self) -> bool:
        """Whether it takes a whole labelmap to make what belongs to one of the segments that share it."""
        return SURFACE in self.names and self._surfaces.isJoint

    def making(self, labelmap: Labelmap) -> Generator[float, None, Mapping[str, vtk.vtkDataObject]]:
        """Make them of a labelmap; see `Surfaces.building`.

        Surfaces are made in a thread, which is waited for in pieces of some milliseconds. Others are one call of
        Slicer's filters each, which cannot be left off midway, and lets no other thread run. How far either is cannot
        be told: 0 is yielded.
        """
        made = dict[str, vtk.vtkDataObject]()
        if SURFACE in self.names:
            surface = yield from self._surfaces.building(labelmap)
            if surface is not None:
                made[SURFACE] = surface
        others = [name for name in self.names if name not in made]
        return {**made, **_derivedBySlicer(self._segmentation, others, labelmap)}


def _derivedBySlicer(
    segmentation: slicer.vtkSegmentation, names: Sequence[str], labelmap: Labelmap
) -> Mapping[str, vtk.vtkDataObject]:
    """Have Slicer make these representations: a surface takes it 60 ms for 50,000 voxels, 0.8 s for 6 million."""
    if not names:
        return {}
    segment, scratch = slicer.vtkSegment(), slicer.vtkSegmentation()
    scratch.SetSourceRepresentationName(LABELMAP)
    scratch.CopyConversionParameters(segmentation)
    segment.AddRepresentation(LABELMAP, labelmap[0] or slicer.vtkOrientedImageData())
    segment.SetLabelValue(labelmap[1])
    scratch.AddSegment(segment, "0")
    for name in names:
        scratch.CreateRepresentation(name)
    return {name: data for name in names if (data := segment.GetRepresentation(name)) is not None}
