"""The second look at labels of which the first one is unsure: its start, and when its answer is taken."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_bodies import body, placed, save_case, whole

from SegmentPropagateLib.prompting.atlas.deformation import Deformed, deform
from SegmentPropagateLib.prompting.atlas.fusion import Start, carry, outline_of
from SegmentPropagateLib.prompting.atlas.grid import body_of
from SegmentPropagateLib.prompting.atlas.placement import Place
from SegmentPropagateLib.prompting.atlas.sampling import warped
from SegmentPropagateLib.prompting.atlas.second_look import Pin, compared, pinned
from SegmentPropagateLib.prompting.atlas.source import Atlas
from SegmentPropagateLib.prompting.finished import read_finished
from SegmentPropagateLib.prompting.source import Support
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.volume import Volume

LIVER, UNSURE = 14, 9


@pytest.fixture(scope="module")
def laid():
    """A body on its lattice, and what the labels of the same body bring to it from a place 2 points too high."""
    values, labels = body(0)
    geometry = placed(values)
    mine = body_of(Volume(values, geometry))
    points = Place(0.0, (1.0, 1.0, 1.0), (2.0, 0.0, 0.0)).points(mine.gray.shape)
    start = Start(mine, Deformed(points, np.full_like(mine.gray, 0.01)))
    outlines = [outline_of(labels == label, geometry, mine.lattice) for label in (LIVER, 4)]
    return mine, start, outlines


def mask_of(outline, shape):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, a + n) for a, n in zip(outline.start, outline.share.shape, strict=True))] = outline.share > 0.5
    return mask


def test_channels_bend_a_template_where_gray_values_tell_nothing(laid):
    mine, _start, (outline, _) = laid
    flat = replace(mine, gray=np.full_like(mine.gray, 0.5))
    there = mask_of(outline, mine.gray.shape).astype(np.float32)
    points = Place(0.0, (1.0, 1.0, 1.0), (0.0, 3.0, 0.0)).points(mine.gray.shape)
    before, after = (
        dice(warped(there, deform(flat, flat, points, more=more).points) > 0.5, there > 0.5)
        for more in ((), [(there, there)])
    )
    assert before < 0.85
    assert after > 0.95


def test_a_pinned_start_begins_where_the_pins_are_and_not_where_the_first_one_was(laid):
    mine, start, outlines = laid
    pins = []
    for outline in outlines:
        carried = carry([outline], [start], mine.gray)
        pins.append((Pin(mask_of(outline, mine.gray.shape), carried), outline))
    second = pinned(mine, [start], pins)
    own = Place(0.0, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)).points(mine.gray.shape)
    inside = np.logical_or.reduce([pin.mask for pin, _ in pins])
    assert np.abs(start.deformed.points - own)[0][inside].mean() == pytest.approx(2)
    assert np.abs(second.deformed.points - own)[:, inside].mean() < 0.5


def test_starts_that_carry_no_pin_to_its_place_give_no_second_one(laid):
    mine, start, (outline, _) = laid
    carried = carry([outline], [start], mine.gray)
    assert pinned(mine, [start], [(Pin(np.zeros(mine.gray.shape, dtype=bool), carried), outline)]) is None


def test_passes_agree_as_far_as_their_masks_overlap(laid):
    mine, start, outlines = laid
    one, other = (carry([outline], [start], mine.gray) for outline in outlines)
    same = compared(one, one, mine.gray.shape, 0)
    assert same.overall == pytest.approx(1)
    assert same.along.max() == pytest.approx(1)
    assert compared(one, other, mine.gray.shape, 0).overall < 0.1


class Doubting:
    """At the first look unsure of one label; at the second it notes what it is asked, and answers with a status."""

    def __init__(self, status="found"):
        self.status = status
        self.asked = []

    def first(self, draft, carried, body, volume, plane):
        return replace(draft, status="unsure", reason="It is dim.") if draft.label == UNSURE else draft

    def again(self, draft, carried, body, volume, plane):
        self.asked.append(draft.label)
        return replace(draft, status=self.status, reason="")

    def propose(self, folder, values, labels):
        support = Support(cases=read_finished(folder).cases)
        volume = Volume(values, placed(values), "image.nrrd")
        return Atlas(self.first, self.again).propose(volume, labels, support, Plane.AXIAL)


@pytest.fixture(scope="module")
def noisy(template):
    _folder, values, _labels = template
    return values + np.random.default_rng(0).normal(0, 40, values.shape).astype(np.float32)


def test_what_is_unsure_at_first_is_found_at_the_second_look_whichever_labels_are_asked_for(template, noisy):
    folder, _values, labels = template
    doubting = Doubting()
    (alone,) = doubting.propose(folder, noisy, [UNSURE])
    _, beside = doubting.propose(folder, noisy, [LIVER, UNSURE])
    assert doubting.asked == [UNSURE, UNSURE]
    assert (alone.status, beside.status) == ("found", "found")
    assert np.array_equal(whole(alone, labels.shape), whole(beside, labels.shape))
    assert (alone.key_slice, alone.confidence) == (beside.key_slice, beside.confidence)
    assert dice(whole(alone, labels.shape), labels == UNSURE) > 0.8
    assert max(result.predicted_iou for result in alone.slices.values()) > 0.9


def test_what_the_second_look_doubts_too_stays_as_it_was(template, noisy):
    folder = template[0]
    (once,) = Doubting("unsure").propose(folder, noisy, [UNSURE])
    assert (once.status, once.reason) == ("unsure", "It is dim.")


def test_a_single_label_that_is_found_pins_nothing(template, noisy, tmp_path):
    _folder, values, labels = template
    save_case(tmp_path, "anna", values, np.where(np.isin(labels, (LIVER, UNSURE)), labels, 0), placed(values))
    doubting = Doubting()
    liver, other = doubting.propose(tmp_path, noisy, [LIVER, UNSURE])
    assert (liver.status, other.status) == ("found", "unsure")
    assert doubting.asked == []
