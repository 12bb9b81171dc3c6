"""Another effect, segment, image or scene while it computes or waits: nothing is lost, and it never stays busy."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Values.State import State


def begin(effect, state):
    """A run that goes on, or a proposal that waits."""
    effect.usePanel(model="slow" if state == "run" else "threshold")
    effect.press("propagate")
    if state == "run":
        effect.bench.until(lambda: effect.bench.logic.reviewScores(effect.bench.segment)[3:])
    else:
        effect.bench.until(lambda: effect.bench.logic.state == State.REVIEW)


def finish(effect):
    effect.bench.until(lambda: effect.bench.logic.state == State.REVIEW)


STATES = pytest.mark.parametrize("state", ["run", "review"])


@STATES
def test_another_effect_leaves_the_run_and_its_proposal(effect, state):
    begin(effect, state)
    effect.choose("Paint")
    finish(effect)
    effect.choose("Propagate")
    assert "apply" in effect.enabled()
    effect.press("apply")
    assert np.array_equal(effect.bench.get(), effect.bench.truth)


@STATES
def test_another_segment_does_not_get_the_proposal_of_the_first(effect, state):
    other = effect.bench.addSegment("Other")
    effect.draw(4, segmentId=other)
    before = effect.bench.get(other)
    begin(effect, state)
    effect.editor.setCurrentSegmentID(other)
    finish(effect)
    effect.press("propagate")
    assert effect.sentence() == "The proposal for 'Organ' waits for review: accept or discard it first."
    effect.press("apply")
    assert np.array_equal(effect.bench.get(), effect.bench.truth)
    assert np.array_equal(effect.bench.get(other), before)


def chooseAnotherImage(effect):
    effect.editor.setSourceVolumeNode(
        effect.slicer.util.addVolumeFromArray(np.ones((7, 9, 8), np.int16), name="Another image")
    )


def chooseAnotherSegmentation(effect):
    node = effect.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Another segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(effect.bench.volume)
    node.GetSegmentation().AddEmptySegment("", "Elsewhere")
    effect.editor.setSegmentationNode(node)
    effect.choose("Propagate")


@STATES
@pytest.mark.parametrize("change", [chooseAnotherImage, chooseAnotherSegmentation])
def test_a_proposal_waits_for_its_image_and_segmentation(effect, state, change):
    before = effect.bench.fingerprint()
    begin(effect, state)
    change(effect)
    finish(effect)
    for name in ("apply", "propagate"):
        effect.press(name)
        assert effect.sentence() == ("The proposal is for 'Segmentation' on 'CT': choose these again, or cancel it."), (
            name
        )
    assert effect.bench.fingerprint() == before
    effect.editor.setSegmentationNode(effect.bench.segmentation)
    effect.editor.setSourceVolumeNode(effect.bench.volume)
    effect.choose("Propagate")
    effect.press("apply")
    assert np.array_equal(effect.bench.get(), effect.bench.truth)


@STATES
@pytest.mark.parametrize("change", [chooseAnotherImage, chooseAnotherSegmentation])
def test_a_proposal_can_be_cancelled_from_elsewhere(effect, state, change):
    before = effect.bench.fingerprint()
    begin(effect, state)
    change(effect)
    effect.press("cancel")
    effect.bench.until(lambda: effect.bench.logic.state == State.IDLE)
    assert effect.bench.fingerprint() == before
    assert effect.bench.logic.volumeNode is effect.node.GetSourceVolumeNode()
    assert effect.bench.logic.segmentationNode is effect.node.GetSegmentationNode()


def removeImage(effect):
    effect.slicer.mrmlScene.RemoveNode(effect.bench.volume)


def removeSegmentation(effect):
    effect.slicer.mrmlScene.RemoveNode(effect.bench.segmentation)


def closeScene(effect):
    effect.slicer.mrmlScene.Clear(False)


@STATES
@pytest.mark.parametrize("change", [removeImage, removeSegmentation, closeScene])
@pytest.mark.parametrize("isChosen", [True, False], ids=["chosen", "another effect"])
def test_what_is_removed_ends_the_run_and_says_so(effect, state, change, isChosen):
    begin(effect, state)
    if not isChosen:
        effect.choose("Paint")
    change(effect)
    effect.slicer.app.processEvents()
    assert effect.bench.logic.state == State.IDLE
    assert effect.bench.logic.preview.node is None
    assert effect.effect.progressBar.isHidden()
    assert not {"apply", "cancel"} & set(effect.enabled())
    assert ("nothing was written" if state == "run" else "no segment was changed") in effect.sentence()


@STATES
def test_a_segment_that_was_removed_is_left_out_at_apply(effect, state):
    begin(effect, state)
    effect.bench.segmentation.GetSegmentation().RemoveSegment(effect.bench.segment)
    finish(effect)
    effect.press("apply")
    assert effect.sentence() == "0 voxels were changed."


def test_the_worker_ends_with_the_segment_editor(makeEffect):
    effect = makeEffect(process=None)
    effect.draw(5)
    begin(effect, "run")
    process = effect.bench.process
    effect.host.close()
    effect.bench.until(lambda: not process.isRunning)


def test_a_segment_editor_in_which_the_effect_is_never_chosen_has_no_logic(slicer, effect):
    before = effect.bench.process.generation
    from slicer_harness.effects import EffectHost

    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editors = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    host = EffectHost(editor)
    host.editor.setSourceVolumeNode(effect.bench.volume)
    host.close()
    assert effect.bench.process.generation == before
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode") == editors + 1
