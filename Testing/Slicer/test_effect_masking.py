"""Apply under the masking of the Segment Editor writes what Slicer's own function for effects would write."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Scene.Labelmaps import arrayOf

MODES = (
    "EditAllowedEverywhere",
    "EditAllowedInsideAllSegments",
    "EditAllowedInsideVisibleSegments",
    "EditAllowedOutsideAllSegments",
    "EditAllowedOutsideVisibleSegments",
    "EditAllowedInsideSingleSegment",
)
OVERWRITING = ("OverwriteNone", "OverwriteVisibleSegments", "OverwriteAllSegments")
INTENSITIES = (None, (40, 60))


@pytest.fixture
def crowded(effect):
    """A visible and a hidden neighbor, each half in the object, and an image of two intensities."""
    bench, masks = effect.bench, np.zeros((2, *effect.bench.truth.shape), bool)
    masks[0, 2:11, 4:16, 12:17] = True
    masks[1, 2:11, 4:16, 7:12] = True
    effect.visible, effect.hidden = (bench.addSegment(name, mask) for name, mask in zip("VH", masks, strict=True))
    bench.segmentation.GetDisplayNode().SetSegmentVisibility(effect.hidden, False)
    return effect


def setMasking(node, segmentation, mode, overwrite, intensities, segmentId):
    node.SetMaskMode(getattr(segmentation, mode))
    node.SetMaskSegmentID(segmentId)
    node.SetOverwriteMode(getattr(node, overwrite))
    node.SetSourceVolumeIntensityMask(intensities is not None)
    node.SetSourceVolumeIntensityMaskRange(*(intensities or (0, 0)))


def slicersOwn(effect, added, *masking):
    """What every segment holds when Slicer itself adds voxels to the propagated one, in a copy of the segmentation."""
    slicer, bench = effect.slicer, effect.bench
    copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Copy")
    copy.CreateDefaultDisplayNodes()
    copy.GetSegmentation().DeepCopy(bench.segmentation.GetSegmentation())
    copy.GetDisplayNode().SetSegmentVisibility(effect.hidden, False)
    node, logic = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"), slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.SetSegmentEditorNode(node)
    logic.SetSegmentationNode(copy)
    logic.SetSourceVolumeNode(bench.volume)
    node.SetSelectedSegmentID(bench.segment)
    setMasking(node, copy, *masking)
    image = slicer.vtkOrientedImageData()
    logic.UpdateReferenceGeometryImage()
    image.DeepCopy(logic.GetReferenceGeometryImage())
    image.AllocateScalars(3, 1)
    arrayOf(image)[...] = added
    logic.ModifySegmentByLabelmap(copy, bench.segment, image, logic.ModificationModeAdd, True, False)
    return contents(effect, copy)


def contents(effect, segmentation):
    found = {}
    for segmentId in segmentation.GetSegmentation().GetSegmentIDs():
        array = effect.slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, effect.bench.volume)
        found[segmentId] = np.zeros(effect.bench.truth.shape, bool) if array is None else array > 0
    return found


@pytest.mark.parametrize("intensities", INTENSITIES, ids=["any intensity", "some intensities"])
@pytest.mark.parametrize("overwrite", OVERWRITING)
@pytest.mark.parametrize("mode", MODES)
def test_apply_obeys_masking_as_other_effects_do(crowded, mode, overwrite, intensities):
    masking = mode, overwrite, intensities, crowded.visible
    crowded.run()
    voxels = crowded.slicer.util.arrayFromVolume(crowded.bench.volume)
    voxels[:, :, ::2] = 50  # after the run, so that the proposal is the same under every masking
    crowded.slicer.util.arrayFromVolumeModified(crowded.bench.volume)
    setMasking(crowded.node, crowded.bench.segmentation, *masking)
    added = crowded.bench.truth & (np.arange(12) != 5)[:, None, None]
    expected = slicersOwn(crowded, added, *masking)
    before = crowded.bench.fingerprint()
    crowded.press("apply")
    found = contents(crowded, crowded.bench.segmentation)
    for segmentId, mask in expected.items():
        assert np.array_equal(found[segmentId], mask), segmentId
    crowded.editor.undo()
    assert crowded.bench.fingerprint() == before


def test_the_tables_of_masking_differ_from_each_other(crowded):
    """Else the comparison above would be one of nothing with nothing."""
    seen = set()
    for mode in MODES:
        for overwrite in OVERWRITING:
            found = slicersOwn(crowded, crowded.bench.truth, mode, overwrite, None, crowded.visible)
            seen.add(b"".join(mask.tobytes() for mask in found.values()))
    assert len(seen) > len(MODES)
