"""The module's self test: runs in Slicer (Reload and Test, ctest) and on the stand-ins of Testing/Harness."""

from __future__ import annotations

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from SegmentPropagateSlicer.Effect.Places import Range, giveRange
from SegmentPropagateSlicer.Logic import SegmentPropagateLogic
from SegmentPropagateSlicer.Panel.Context import EFFECT
from SegmentPropagateSlicer.Scene.Parameters import Parameters
from SegmentPropagateSlicer.Tutorial import STEPS, Tutorial, waitUntil
from SegmentPropagateSlicer.Values.State import State

KEY, FIRST, LAST = 18, 8, 28


class SegmentPropagateTest(ScriptedLoadableModuleTest):
    """From a drawn volume to an accepted segment, by script, by panel and by effect, without torch."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Run every test of the class."""
        for name in sorted(name for name in dir(self) if name.startswith("test_")):
            self.setUp()
            getattr(self, name)()

    def test_a_script_propagates_one_slice_and_undo_takes_it_back(self) -> None:
        """README's example."""
        volume, segmentation, segmentId, organ = drawScene()
        before = voxels(segmentation, segmentId, volume)
        logic = SegmentPropagateLogic()
        try:
            changed = logic.propagate(volume, segmentation, [segmentId], keys=[KEY], first=FIRST, last=LAST)
            after = voxels(segmentation, segmentId, volume)
            self.assertGreater(changed[segmentId], 0)
            self.check(before, after, organ)
            logic.undo()
            np.testing.assert_array_equal(voxels(segmentation, segmentId, volume), before)
        finally:
            logic.shutdown()

    def test_the_tutorial_can_be_done_step_by_step(self) -> None:
        """The annotator's way, by the panel's own widgets."""
        slicer.modules.segmentpropagate.widgetRepresentation()  # Slicer makes the panel when it is first asked for
        widget = slicer.modules.SegmentPropagateWidget
        widget.enter()
        tutorial = Tutorial(widget, self)
        for _heading, step in STEPS:
            step(tutorial)
        widget.exit()

    def test_the_effect_propagates_applies_and_the_editor_undoes(self) -> None:
        """The way of those who stay in the Segment Editor."""
        volume, segmentation, segmentId, organ = drawScene()
        before = voxels(segmentation, segmentId, volume)
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(volume)
        editor.setCurrentSegmentID(segmentId)
        editor.setActiveEffectByName(EFFECT)
        effect = editor.effectByName(EFFECT).self()
        Parameters(effect.logic.getParameterNode()).model = "classical"
        giveRange(segmentation, volume, segmentId, Range("axial", FIRST, LAST))
        effect.propagateButton.click()
        waitUntil(lambda: effect.logic.state == State.REVIEW or effect.logic.state == State.IDLE)
        self.assertEqual(effect.logic.state, State.REVIEW, effect.status.label.text)
        np.testing.assert_array_equal(voxels(segmentation, segmentId, volume), before)
        effect.applyButton.click()
        self.check(before, voxels(segmentation, segmentId, volume), organ)
        editor.undo()
        np.testing.assert_array_equal(voxels(segmentation, segmentId, volume), before)
        editor.setActiveEffect(None)
        editor.deleteLater()

    def check(self, before: NDArray[np.bool_], after: NDArray[np.bool_], organ: NDArray[np.bool_]) -> None:
        """The key is kept, the range is filled with the organ, the rest is untouched."""
        np.testing.assert_array_equal(after[KEY], before[KEY])
        self.assertFalse(after[:FIRST].any() or after[LAST + 1 :].any())
        inside = slice(FIRST, LAST + 1)
        overlap = np.count_nonzero(after[inside] & organ[inside])
        dice = 2 * overlap / (np.count_nonzero(after[inside]) + np.count_nonzero(organ[inside]))
        self.assertGreater(dice, 0.9)


def drawScene() -> tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode, str, NDArray[np.bool_]]:
    """A drawn organ, outlined on the key slice: volume, segmentation, segment ID, the whole organ (bool)."""
    k, j, i = np.indices((40, 64, 64))
    organ = ((i - 36) / 9) ** 2 + ((j - 30) / 7) ** 2 + ((k - KEY) / 16) ** 2 < 1
    values = (40 + 90 * organ + np.random.default_rng(0).normal(0, 8, organ.shape)).astype(np.int16)
    volume = slicer.util.addVolumeFromArray(values, ijkToRAS=np.diag([1.5, 1.5, 3.0, 1.0]), name="Drawn CT")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentId = segmentation.GetSegmentation().AddEmptySegment("", "Organ")
    outline = np.zeros(organ.shape, np.uint8)
    outline[KEY] = organ[KEY]
    slicer.util.updateSegmentBinaryLabelmapFromArray(outline, segmentation, segmentId, volume)
    return volume, segmentation, segmentId, organ


def voxels(
    segmentation: slicer.vtkMRMLSegmentationNode, segmentId: str, volume: slicer.vtkMRMLScalarVolumeNode
) -> NDArray[np.bool_]:
    """The segment on the volume's grid, bool (k, j, i)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentId, volume) > 0
