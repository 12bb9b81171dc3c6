"""The source `atlas` on images as they come: other units, padded, cut, thin, oblique, and with a wrong header."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_bodies import body, placed, save_case, whole
from test_atlas import propose

from SegmentPropagateLib.prompting.atlas.deformation import deform
from SegmentPropagateLib.prompting.atlas.grid import body_of
from SegmentPropagateLib.prompting.atlas.orientation import exchanged
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.volume import Volume


def seen(values):
    found = body_of(Volume(values, placed(values)))
    assert found is not None
    return found


def padded(values, value):
    """The same with a round field of view."""
    rows, columns = (np.linspace(-1, 1, size) for size in values.shape[1:])
    return np.where(rows[:, None] ** 2 + columns**2 > 1, value, values).astype(values.dtype)


STORED = {
    "without the header's intercept": lambda values: (values.astype(np.int32) + 1024).clip(0).astype(np.uint16),
    "so and padded": lambda values: (padded(values, -2000) + 1024).astype(np.int16),
    "between a window's ends": lambda values: values.clip(-160, 240),
}


@pytest.mark.parametrize("kind", STORED)
def test_ct_is_known_whatever_a_program_has_made_of_its_values(template, kind):
    folder, values, labels = template
    for draft in propose(folder, STORED[kind](values), placed(values)):
        assert draft.status == "found"
        assert dice(whole(draft, labels.shape), labels == draft.label) > 0.9


def test_a_body_that_lies_the_wrong_way_round_is_told_and_nothing_is_sure(template):
    folder, values, _labels = template
    for draft in propose(folder, np.ascontiguousarray(values[:, :, ::-1]), placed(values)):
        assert draft.status != "found"
        assert "'anna' fits better with left and right exchanged" in draft.reason


@pytest.mark.parametrize(("axes", "ends"), [((1,), "front and back"), ((1, 2), "front and back, left and right")])
def test_the_ends_that_are_exchanged_are_named(axes, ends):
    values, _ = body(0, slice(20, 60))
    other, _ = body(1, slice(20, 60))
    assert exchanged(seen(other), seen(values)) == ""
    assert exchanged(seen(other), seen(np.flip(values, axes))) == ends


def test_a_case_that_lies_the_wrong_way_round_is_left_out_where_there_is_another(template, tmp_path):
    _folder, values, labels = template
    save_case(tmp_path, "mirrored", values[:, :, ::-1], labels[:, :, ::-1], placed(values))
    save_case(tmp_path, "anna", values, labels, placed(values))
    for draft in propose(tmp_path, values, placed(values)):
        assert draft.status == "found"
        assert np.array_equal(whole(draft, labels.shape), labels == draft.label)


@pytest.mark.parametrize("count", [2, 4])
def test_a_few_slices_are_a_body_too(template, count):
    folder, values, labels = template
    cut = slice(11, 11 + count)
    shown = [int(label) for label in (4, 9, 14) if (labels[cut] == label).sum() > 100]
    assert shown
    for draft in propose(folder, values[cut], placed(values[cut], (0.0, 0.0, 33.0)), shown):
        assert draft.status != "not here"
        assert dice(whole(draft, labels[cut].shape), labels[cut] == draft.label) > 0.9


def test_an_image_with_less_than_a_body_says_so(template):
    folder, values, _labels = template
    part = values[10:13, 20:23, 20:23]
    (draft,) = propose(folder, part, placed(part), [9])
    assert draft.reason == "'image.nrrd' shows no body: it is empty, all air, or smaller than 5 ml."


@pytest.mark.parametrize("cut", ["volume", "template"])
def test_what_lies_beyond_an_oblique_field_of_view_pulls_on_nothing(cut):
    values, _ = body(0, slice(20, 60))
    whole_one = seen(values)
    inside = whole_one.inside.copy()
    inside[:, :, inside.shape[2] // 2 :] = False
    repeated = np.roll(whole_one.gray, 6, axis=1)  # says as little as a border that was repeated
    gray = np.where(inside, whole_one.gray, repeated)
    blind = replace(whole_one, gray=gray, inside=inside)
    points = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32) for size in gray.shape], indexing="ij"))
    volume, template = (blind, whole_one) if cut == "volume" else (whole_one, blind)
    moved = np.abs(deform(volume, template, points).points - points).max(axis=0)
    assert moved[inside].mean() < 0.15  # grid points; .24 and .40 where what lies beyond counts
