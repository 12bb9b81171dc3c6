"""A finished segment keeps what it holds when another object is accepted beside it, but not around one within it."""

import numpy as np
import pytest

KEY = 5


@pytest.fixture
def complete(bench):
    def _complete(mask):
        segmentId = bench.addSegment("Finished", mask)
        logic = bench.slicer.vtkSlicerSegmentationsModuleLogic
        logic.SetSegmentStatus(bench.segmentation.GetSegmentation().GetSegment(segmentId), logic.Completed)
        return segmentId

    return _complete


def beside(bench):
    """Half of the object on slices that are no keys, as if it were a neighbor's."""
    mask = bench.truth.copy()
    mask[[KEY]], mask[:, :, :12] = False, False
    return mask


def test_a_finished_neighbor_keeps_its_voxels(bench, complete):
    mask = beside(bench)
    other = complete(mask)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(other), mask)
    assert np.array_equal(bench.get(), bench.truth & ~mask)
    bench.logic.undo()
    assert np.array_equal(bench.get(other), mask)


def test_a_neighbor_that_is_not_finished_gives_way(bench):
    other = bench.addSegment("Other", beside(bench))
    bench.run()
    bench.logic.accept()
    assert not bench.get(other).any()
    assert np.array_equal(bench.get(), bench.truth)


def test_a_finished_organ_gives_way_to_what_was_outlined_within_it(bench, complete):
    around = ~bench.truth  # all but the outline itself on the key slice
    around[[k for k in range(len(around)) if k != KEY]] = True
    other = complete(around)
    bench.run()
    bench.logic.accept()
    assert np.array_equal(bench.get(), bench.truth)
    assert np.array_equal(bench.get(other), around & ~bench.truth)


def test_segments_accepted_together_take_from_each_other_as_proposed(bench, complete):
    other = complete(beside(bench))
    bench.draw(other, KEY + 1)
    bench.run(segmentIds=[bench.segment, other])
    bench.logic.accept()
    assert np.array_equal(bench.get() | bench.get(other), bench.truth)
    assert not (bench.get() & bench.get(other)).any()


def test_a_box_is_told_of_the_segments_keys_and_of_finished_segments(bench, complete):
    mask = beside(bench)
    complete(mask)
    bench.addSegment("Not finished", bench.truth)
    corners = bench.grid().worldFromSlice[:3] @ np.array([[7, 2, 2, 1], [7, 17, 20, 1]]).T
    bench.logic.previewPrompt(bench.segment, 7, boxRas=corners.T)
    asked = bench.process.requests[-1]
    assert asked.outlined == (KEY,)
    assert np.array_equal(asked.masks, [bench.truth[KEY], mask[7]])
    bench.logic.previewPrompt(bench.segment, KEY, boxRas=corners.T)
    asked = bench.process.requests[-1]
    assert (asked.outlined, len(asked.masks)) == ((), 0)  # on the key slice itself, where the neighbor is not


def test_where_segments_may_overlap_finished_ones_are_no_border(bench, complete):
    complete(beside(bench))
    editor = bench.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.SetOverwriteMode(editor.OverwriteNone)
    bench.logic.setSegmentEditor(editor)
    bench.logic.previewPrompt(bench.segment, 7, boxRas=[bench.logic.slicePositionRas(7), [0, 0, 0]])
    assert len(bench.process.requests[-1].masks) == 1
