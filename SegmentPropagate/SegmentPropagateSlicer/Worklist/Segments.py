"""The next segment to outline, from a template or a new one, and what is known of segments apart from their voxels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import slicer
from slicer.i18n import tr as _

from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf, labelmapOf, segmentOf, stampOf

TERMINOLOGY = "TerminologyEntry"
REFERENCE = "referenceImageGeometryRef"
"""vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole(): the image that a segmentation was made on"""
GIVEN_BY_SLICER = re.compile(r"Segment(_\d+)?|\d+")
"""Names that a segment has before anybody has named it."""


def infosOf(segmentationNode: slicer.vtkMRMLSegmentationNode) -> tuple[SegmentInfo, ...]:
    """Names, colors and terminology of all segments, as a template has them."""
    segments = [segmentOf(segmentationNode, i) for i in segmentationNode.GetSegmentation().GetSegmentIDs()]
    return tuple(
        SegmentInfo(number, segment.GetName(), segment.GetColor(), _tagOf(segment))
        for number, segment in enumerate(segments, 1)
    )


def isFree(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> bool:
    """Whether a segment holds no voxel."""
    image, label = labelmapOf(segmentationNode, segmentId)
    if image is None:
        return True
    values = arrayOf(image)
    found = np.empty(values.shape[1:], dtype=bool)  # one for all planes: new memory for each takes as long as looking
    return not any(np.equal(plane, label, out=found).any() for plane in values)


def nextSegment(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    selected: str,
    template: Sequence[SegmentInfo],
    taken: Collection[str] = (),
) -> str:
    """Choose the segment to outline after the selected one, and make it where there is none.

    The template's segments come first, in its order, then empty ones after the selected one, then new ones. A segment
    that is empty and has no name yet is used up before another is made.

    Args:
        segmentationNode: the segmentation.
        selected: ID of the segment that is selected; may be empty.
        template: what segments a case has; may be empty.
        taken: IDs of segments that are not empty although they hold no voxel: something is proposed for them.

    Returns:
        str: its ID; the selected one where that is empty and there is nothing else to go on to.
    """
    segmentation = segmentationNode.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    names = {segmentOf(segmentationNode, segmentId).GetName(): segmentId for segmentId in ids}
    free = [segmentId for segmentId in ids if segmentId not in taken and isFree(segmentationNode, segmentId)]
    nameless = [names[name] for name in names if names[name] in free and GIVEN_BY_SLICER.fullmatch(name)]
    for info in _after(template, segmentation.GetSegment(selected) if selected in ids else None):
        if info.name not in names:
            return makeSegment(segmentationNode, info, nameless)
        if names[info.name] in free and names[info.name] != selected:
            return names[info.name]
    later = [segmentId for segmentId in free if selected in ids and ids.index(segmentId) > ids.index(selected)]
    if later or selected in free:
        return (later or [selected])[0]
    return nameless[0] if nameless else segmentation.AddEmptySegment()


def makeSegment(segmentationNode: slicer.vtkMRMLSegmentationNode, info: SegmentInfo, nameless: Sequence[str]) -> str:
    """Give an empty segment that has no name yet, or a new one, what is known of it; returns its ID."""
    if nameless:
        _give(segmentOf(segmentationNode, nameless[0]), info)
        return nameless[0]
    segment, segmentation = slicer.vtkSegment(), segmentationNode.GetSegmentation()
    _give(segment, info)  # before it is added: whoever lists segments hears of it once
    segmentId = segmentation.GenerateUniqueSegmentID(info.name)
    segmentation.AddSegment(segment, segmentId)
    return segmentId


def namelessSegments(segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """IDs of the empty segments that nobody has named."""
    ids = segmentationNode.GetSegmentation().GetSegmentIDs()
    unnamed = [i for i in ids if GIVEN_BY_SLICER.fullmatch(segmentOf(segmentationNode, i).GetName())]
    return [i for i in unnamed if isFree(segmentationNode, i)]


class Nameless:
    """The empty segments that nobody has named, to be taken one after another.

    Args:
        segmentationNode: stored as labelmaps.
    """

    def __init__(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        self._node = segmentationNode
        self._stamps = {i: self._stampOf(i) for i in namelessSegments(segmentationNode)}

    def take(self) -> str | None:
        """ID of the next one that is empty still; None where there is none left.

        Only one that may have been drawn upon is looked through again: with 600 slices that takes 15 ms.
        """
        for segmentId in tuple(self._stamps):
            stamp = self._stamps.pop(segmentId)
            if self._node.GetSegmentation().GetSegment(segmentId) is not None and (
                self._stampOf(segmentId) == stamp or isFree(self._node, segmentId)
            ):
                return segmentId
        return None

    def _stampOf(self, segmentId: str) -> tuple[object, ...]:
        return stampOf(labelmapOf(self._node, segmentId))


def segmentsByName(segmentationNode: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """Name in small letters -> ID of the first segment that is called so."""
    ids = segmentationNode.GetSegmentation().GetSegmentIDs()
    return {segmentOf(segmentationNode, i).GetName().casefold(): i for i in reversed(ids)}


def complete(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentIds: Iterable[str]) -> None:
    """Set Slicer's status of segments to *Completed*; whoever lists segments hears of it once."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    modifying = segmentationNode.StartModify()
    for segmentId in segmentIds:
        segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
        if segment is not None:
            logic.SetSegmentStatus(segment, logic.Completed)
    segmentationNode.EndModify(modifying)


def segmentationOf(
    volume: slicer.vtkMRMLScalarVolumeNode | None, orFirst: bool = False
) -> slicer.vtkMRMLSegmentationNode | None:
    """The segmentation that was made on a volume; `orFirst` takes the first one where there is none. Or None."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    shown = [node for node in nodes if not node.GetHideFromEditors()]
    own = [node for node in shown if volume and node.GetNodeReference(REFERENCE) is volume]
    return next(iter([*own, *(shown if orFirst else ())]), None)


def newSegmentation(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, name: str = "", template: Sequence[SegmentInfo] = ()
) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation on the grid of a volume, with one empty segment: the first of the template, or a nameless one."""
    name = slicer.mrmlScene.GenerateUniqueName(name or _("Segmentation"))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    nextSegment(node, "", template)
    return node


def _after(template: Sequence[SegmentInfo], segment: slicer.vtkSegment | None) -> list[SegmentInfo]:
    """The template from behind a segment on, and then from its start."""
    names = [info.name for info in template]
    start = names.index(segment.GetName()) + 1 if segment is not None and segment.GetName() in names else 0
    return [*template[start:], *template[:start]]


def _give(segment: slicer.vtkSegment, info: SegmentInfo) -> None:
    segment.SetName(info.name)
    segment.SetColor(*info.color_rgb)
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    for tag in info.tags.split("|"):
        key, mark, value = tag.partition(":")
        if mark and key == TERMINOLOGY:  # a status or another tag belongs to the segment that it was read from
            segment.SetTag(key, value)


def _tagOf(segment: slicer.vtkSegment) -> str:
    found = segment.GetTerminology()
    return f"{TERMINOLOGY}:{found}|" if found else ""
