"""*Propagate* in the Segment Editor: keys, range, run, proposal, Apply and Cancel."""

import numpy as np
import pytest
from SegmentPropagateSlicer.Effect.Registration import registerEffect
from SegmentPropagateSlicer.Runs.WorkerProcess import WorkerProcess
from SegmentPropagateSlicer.Values.Key import Key
from SegmentPropagateSlicer.Values.State import State
from slicer_harness.segment_editor import shownEffects


def test_slicer_loads_the_effect_by_its_path_and_lists_it(effect):
    assert effect.editor.mrmlSegmentEditorNode().GetActiveEffectName() == "Propagate"
    assert (effect.scripted.title, effect.scripted.perSegment) == ("Propagate", True)
    assert not effect.scripted.icon().isNull()
    assert "Apply" in effect.scripted.helpText()
    assert type(effect.effect).__module__ == "Effect"  # the folder of its file


def test_a_segment_outlined_on_one_slice_is_propagated_and_applied_in_one_undo_step(effect):
    before = effect.bench.fingerprint()
    effect.run()
    assert effect.bench.fingerprint() == before  # a proposal changes nothing
    assert effect.bench.logic.preview.node is not None
    effect.press("apply")
    assert np.array_equal(effect.bench.get(), effect.bench.truth)
    assert effect.bench.logic.preview.node is None
    count = effect.bench.truth.sum() - effect.bench.truth[5].sum()
    assert effect.sentence() == f"{count} voxels were changed."
    effect.editor.undo()
    assert effect.bench.fingerprint() == before


def test_cancel_in_review_leaves_all_as_it_was(effect):
    before = effect.bench.fingerprint()
    effect.run()
    effect.press("cancel")
    assert effect.bench.fingerprint() == before
    assert effect.bench.logic.preview.node is None
    assert effect.enabled() == ["first", "last", "open", "propagate"]


def test_cancel_in_mid_run_leaves_all_as_it_was(effect):
    before = effect.bench.fingerprint()
    effect.usePanel(model="slow")
    effect.press("propagate")
    effect.bench.until(lambda: effect.bench.logic.reviewScores(effect.bench.segment)[3:])
    assert effect.enabled() == ["cancel"]
    assert not effect.effect.progressBar.isHidden()
    effect.press("cancel")
    effect.bench.until(lambda: effect.bench.logic.state == State.IDLE)
    assert effect.bench.fingerprint() == before
    assert effect.sentence() == "Cancelled: everything is as it was before."
    assert effect.effect.progressBar.isHidden()
    assert effect.enabled() == ["first", "last", "open", "propagate"]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_keys_are_what_is_drawn_in_the_plane_that_it_was_drawn_in(makeEffect, plane):
    effect = makeEffect()
    effect.draw(5, 8, plane=plane)
    effect.run()
    assert effect.keys() == [(plane, 5), (plane, 8)]
    effect.press("apply")
    assert np.array_equal(effect.bench.get(), effect.bench.truth)


def test_the_slice_in_a_view_can_be_the_only_key(effect):
    effect.draw(7)
    effect.show(7)
    effect.effect.keysSelector.setCurrentIndex(effect.effect.keysSelector.findData("Red"))
    effect.effect.keysSelector.activated.emit(1)
    effect.run()
    assert effect.keys() == [("axial", 7)]


def test_first_and_last_slice_are_those_that_are_looked_at(effect):
    assert effect.effect.rangeLabel.text == "Open: the model finds where the object begins and ends."
    for index, name in ((3, "first"), (7, "last")):
        effect.show(index)
        effect.press(name)
    assert effect.effect.rangeLabel.text == "axial slices, first 3, last 7"
    effect.run()
    effect.press("apply")
    assert np.array_equal(effect.bench.get()[3:8], effect.bench.truth[3:8])
    assert not effect.bench.get()[[*range(3), *range(8, 12)]].any()
    effect.press("open")
    assert effect.effect.rangeLabel.text.startswith("Open")


def test_a_range_belongs_to_its_segment_and_image(effect):
    effect.show(3)
    effect.press("first")
    other = effect.bench.addSegment("Other")
    effect.editor.setCurrentSegmentID(other)  # Slicer tells an effect of it by the node only
    assert effect.effect.rangeLabel.text.startswith("Open")
    effect.editor.setCurrentSegmentID(effect.bench.segment)
    assert effect.effect.rangeLabel.text == "axial slices, first 3, last open"
    volume = effect.slicer.util.addVolumeFromArray(effect.bench.truth.astype(np.int16), name="MR")
    effect.editor.setSourceVolumeNode(volume)
    assert effect.effect.rangeLabel.text.startswith("Open")


def test_a_range_in_another_plane_than_the_keys_is_refused(effect):
    effect.show(3)
    effect.press("first")
    effect.bench.set(effect.bench.segment, np.zeros_like(effect.bench.truth))
    effect.draw(9, plane="sagittal")
    effect.press("propagate")
    assert effect.sentence() == (
        "The range is given in axial slices and the key is sagittal: give the range in sagittal slices."
    )


def test_an_end_that_is_given_again_in_another_plane_forgets_the_other_one(effect):
    effect.show(3)
    effect.press("first")
    effect.bench.set(effect.bench.segment, np.zeros_like(effect.bench.truth))
    effect.draw(9, plane="sagittal")
    effect.show(12, plane="sagittal")
    effect.press("last")
    assert effect.effect.rangeLabel.text == "sagittal slices, first open, last 12"


def test_model_and_device_are_those_of_the_panel(effect):
    effect.usePanel(model="slow", device="cpu", shortSlices=3)
    effect.press("propagate")
    settings = effect.bench.logic.settings
    assert (settings.model, settings.device, settings.shortSlices) == ("slow", "cpu", 3)
    effect.press("cancel")
    effect.bench.until(lambda: effect.bench.logic.state == State.IDLE)


def test_what_is_locked_in_the_panel_stays(effect):
    mask = np.zeros_like(effect.bench.truth)
    mask[7] = effect.bench.truth[7]
    other = effect.bench.addSegment("Other", mask)
    effect.node.SetOverwriteMode(effect.node.OverwriteAllSegments)
    lock = Key(other, "axial", 7, 1.0, True)
    effect.usePanel(volume=effect.bench.volume, segmentation=effect.bench.segmentation, keys=[lock])
    effect.run()
    effect.press("apply")
    assert np.array_equal(effect.bench.get(other), mask)
    assert effect.bench.get()[6].any()


def test_without_torch_the_classical_model_does_it(makeEffect):
    effect = makeEffect(process=WorkerProcess())  # of the library, not the drawn one
    effect.draw(5)
    effect.usePanel(model="classical", intensity="auto")
    effect.run()
    effect.press("apply")
    assert effect.bench.get().sum() > 3 * effect.bench.truth[5].sum()


def test_an_empty_segment_is_named(makeEffect):
    effect = makeEffect()
    effect.press("propagate")
    assert effect.sentence() == "Segment 'Organ' is empty: outline the object on one slice first."
    assert effect.bench.logic.state == State.IDLE


def test_what_is_drawn_on_the_waiting_proposal_is_kept_and_is_a_key_of_the_next_run(effect):
    effect.run()
    effect.choose("Paint")
    corrected = effect.bench.truth[8].copy()
    corrected[:, :12] = False
    mask = effect.bench.get()
    mask[8] = corrected
    effect.bench.set(effect.bench.segment, mask)
    effect.choose("Propagate")
    effect.run()
    assert effect.keys() == [("axial", 5), ("axial", 8)]
    effect.press("apply")
    assert np.array_equal(effect.bench.get()[8], corrected)
    assert np.array_equal(effect.bench.get()[[4, 6]], effect.bench.truth[[4, 6]])


def test_a_worker_that_fails_is_told_and_leaves_no_busy_state(effect):
    before = effect.bench.fingerprint()
    effect.usePanel(model="nosuchmodel")
    effect.run()
    assert "nosuchmodel" in effect.sentence()
    assert effect.enabled() == ["first", "last", "open", "propagate"]
    assert effect.bench.fingerprint() == before


def test_the_panels_own_editor_does_not_offer_the_effect_and_others_do(panel):
    registerEffect()
    panel.widget.exit()
    panel.widget.enter()
    assert shownEffects(panel.ui.segmentEditor) == ["Paint", "Erase"]
    assert "Propagate" in shownEffects(panel.app.qMRMLSegmentEditorWidget())
