"""A key goes with its outline and comes back with it; what she has locked or set herself stays."""

import numpy as np
import pytest
from day import SLICE, dayOf, drawFolder
from SegmentPropagateSlicer.Logic import State


@pytest.fixture
def day(slicer, tmp_path, warmWorker):
    """An opened case; nothing is outlined yet."""
    with dayOf(slicer, warmWorker) as found:
        found.open(drawFolder(tmp_path / "scans", "a"))
        yield found


def paint(day, rows, index=SLICE):
    """A stroke that Undo takes back."""
    day.ui.segmentEditor.saveStateForUndo()
    mask = day.mask()
    mask[index, rows, 6:12] = True
    day.draw(mask)


def press(day, *actions):
    """Undo and Redo of the Segment Editor."""
    for action in actions:
        getattr(day.ui.segmentEditor, action)()
        day.settle()


def numbers(day):
    return [key.sliceIndex for key in day.logic.keys]


def test_an_outline_that_is_undone_takes_its_key_with_it_and_redo_brings_both_back(day):
    paint(day, slice(6, 12))
    day.press("addKeyButton")
    (key,) = day.logic.keys
    press(day, "undo")
    assert (day.logic.keys, day.parameters.keys) == ((), ())
    assert not day.ui.keyTable.isVisible()
    assert day.ui.estimateLabel.text == "Outline the object on one axial slice and use it as key."
    press(day, "redo")
    assert day.logic.keys == (key,)
    assert day.ui.keyTable.isVisible()


def test_undo_of_a_part_of_an_outline_leaves_the_key_and_its_area_follows(day):
    paint(day, slice(6, 10))
    paint(day, slice(10, 12))
    day.press("addKeyButton")
    before = day.logic.keys[0].areaMm2
    press(day, "undo")
    assert day.logic.keys[0].areaMm2 == pytest.approx(before * 4 / 6)


def test_what_is_locked_stays_locked_whatever_is_undone(day):
    paint(day, slice(6, 12))
    day.press("lockSliceButton")
    day.look(2)
    day.press("lockSliceButton")  # empty
    press(day, "undo")
    assert [(key.sliceIndex, key.areaMm2, key.confirmed) for key in day.logic.keys] == [(2, 0, True), (SLICE, 0, True)]
    press(day, "redo")
    assert [bool(key.areaMm2) for key in day.logic.keys] == [False, True]


def test_an_outline_that_is_erased_and_drawn_anew_is_the_key_again(day):
    paint(day, slice(6, 12))
    day.press("addKeyButton")
    day.draw(np.zeros_like(day.mask()))
    assert day.logic.keys == ()
    paint(day, slice(4, 8))
    assert numbers(day) == [SLICE]


def test_a_key_that_she_has_removed_does_not_come_back(day):
    paint(day, slice(6, 12))
    day.press("addKeyButton")
    day.logic.removeKey(day.logic.keys[0])
    press(day, "undo", "redo")
    assert day.logic.keys == ()


def test_propagate_goes_on_from_the_keys_that_are_left_and_what_it_fills_is_no_key(bench):
    bench.draw(bench.segment, 8)
    mask = bench.get()
    mask[8] = False
    bench.set(bench.segment, mask)
    bench.run()
    bench.logic.accept()
    assert bench.get()[8].any()
    assert bench.logic.followKeys()
    assert numbers(bench) == [5]


def test_a_key_that_is_erased_in_review_comes_back_with_its_outline(bench):
    outlined = bench.get()
    outlined[8, 0:3, 0:3] = True  # nothing that a model would find
    bench.set(bench.segment, outlined)
    bench.logic.addKey(bench.segment, 8)
    bench.run()
    erased = outlined.copy()
    erased[8] = False
    bench.set(bench.segment, erased)
    assert takeStrokes(bench)
    assert numbers(bench) == [5]
    bench.set(bench.segment, outlined)
    assert takeStrokes(bench)
    assert numbers(bench) == [5, 8]
    bench.logic.accept()
    assert np.array_equal(bench.get()[8], outlined[8])


def takeStrokes(bench):
    isStale = bench.logic.takeStrokes()
    bench.until(lambda: bench.logic.state not in State.BUSY)
    return isStale


def test_many_keys_are_read_a_piece_at_a_time(bench):
    for index in (6, 7, 8):
        bench.draw(bench.segment, index)
    bench.set(bench.segment, np.zeros_like(bench.truth))
    pieces = 1
    while not bench.logic.followKeys(0.0):
        pieces += 1
    assert bench.logic.keys == ()
    assert pieces > 3
