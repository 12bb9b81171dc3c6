"""The source `atlas` on drawn bodies: what must come out exactly, and what must not come out at all."""

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_bodies import MM, body, placed, save_case, whole
from scipy import ndimage

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.prompting.atlas import source
from SegmentPropagateLib.prompting.atlas.deformation import deform
from SegmentPropagateLib.prompting.atlas.descriptors import blurred
from SegmentPropagateLib.prompting.finished import read_finished
from SegmentPropagateLib.prompting.source import Support, find_source
from SegmentPropagateLib.reports.metrics import dice
from SegmentPropagateLib.volumes.geometry import Plane
from SegmentPropagateLib.volumes.volume import Volume

ORGANS = (4, 9, 14)


def propose(folder, values, geometry, labels=ORGANS, plane=Plane.AXIAL, **options):
    support = Support(cases=read_finished(folder).cases)
    volume = Volume(values, geometry, "image.nrrd")
    return find_source("atlas").propose(volume, labels, support, plane, **options)


@pytest.fixture(scope="module")
def again(template):
    """Drafts for the template itself."""
    folder, values, _labels = template
    return propose(folder, values, placed(values))


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 4, 9), (2, 1, 1)], ids=str)
def test_means_over_neighbors_are_those_of_scipy(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    expected = ndimage.uniform_filter(image.astype(np.float64), 3, mode="nearest")
    blurred(image)
    assert np.allclose(image, expected, atol=1e-6)


def test_a_template_gets_its_own_masks_and_ranges(template, again):
    _folder, _values, labels = template
    for draft in again:
        truth = labels == draft.label
        present = np.flatnonzero(truth.any(axis=(1, 2)))
        assert draft.status == "found"
        assert np.array_equal(draft.mask, truth[draft.key_slice])
        assert np.array_equal(whole(draft, truth.shape), truth)
        ends = [None if end in (0, len(truth) - 1) else end for end in (present[0], present[-1])]
        assert [draft.first, draft.last] == ends


def test_the_box_of_a_draft_lies_around_its_voxels_in_the_world(template, again):
    _folder, values, labels = template
    k, j, i = np.nonzero(labels == again[0].label)
    corners = np.array(
        [[-i.max() - 0.5, -j.max() - 0.5, k.min() - 0.5], [-i.min() + 0.5, -j.min() + 0.5, k.max() + 0.5]]
    )
    assert np.allclose(again[0].box_mm, corners * MM)
    del values


def test_a_shift_by_whole_voxels_is_recovered(template):
    folder, values, labels = template
    shift = 4  # voxels: the body enters later and leaves the field of view at its end
    moved, drawn = np.roll(values, shift, axis=2), np.roll(labels, shift, axis=2)
    for draft in propose(folder, moved, placed(moved)):
        assert draft.status == "found"
        assert dice(whole(draft, drawn.shape), drawn == draft.label) > 0.97


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)], ids=str)
def test_flipped_storage_gives_the_same_result_in_the_world(template, again, axes):
    folder, values, labels = template
    matrix, start = np.diag([-MM, -MM, MM]), np.zeros(3)
    for axis in axes:
        column = matrix[:, 2 - axis].copy()
        start = start + column * (values.shape[axis] - 1)
        matrix[:, 2 - axis] = -column
    stored = np.flip(values, axes)
    for draft, before in zip(propose(folder, stored, placed(values, start, matrix)), again, strict=True):
        assert draft.box_mm == pytest.approx(np.array(before.box_mm))
        assert np.array_equal(np.flip(whole(draft, labels.shape), axes), whole(before, labels.shape))


def test_storage_in_other_planes_gives_the_same_result_in_the_world(template, again):
    folder, values, labels = template
    order = (2, 0, 1)
    matrix = np.diag([-MM, -MM, MM])[:, [2 - axis for axis in order][::-1]]
    stored = np.ascontiguousarray(values.transpose(order))
    for draft, before in zip(propose(folder, stored, placed(stored, matrix=matrix)), again, strict=True):
        assert draft.key_slice == before.key_slice
        assert np.allclose(draft.box_mm, before.box_mm)
        mask = draft.mask if draft.mask.shape == before.mask.shape else draft.mask.T
        assert np.array_equal(mask, before.mask)
    del labels


def test_oblique_storage_gives_nearly_the_same_result_in_the_world(template, again):
    folder, values, _labels = template
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((MM, MM, MM))
    turn = np.radians(8)
    direction = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    oblique = sitk.Resample(
        image,
        (76, 62, 24),
        sitk.Transform(),
        sitk.sitkLinear,
        (10.0, -15.0, 0.0),
        (MM,) * 3,
        direction.ravel().tolist(),
        -1000.0,
    )
    matrix = np.diag([-1.0, -1.0, 1.0]) @ direction * MM
    stored = sitk.GetArrayFromImage(oblique)
    for draft, before in zip(propose(folder, stored, placed(stored, (-10.0, 15.0, 0.0), matrix)), again, strict=True):
        assert draft.status == "found"
        # The box of a turned grid is larger; its middle is where it was.
        assert np.allclose(np.mean(draft.box_mm, axis=0), np.mean(before.box_mm, axis=0), atol=MM)


def test_a_label_gets_the_same_alone_and_with_others_and_a_second_time(template):
    folder, _values, _labels = template
    values, _ = body(1)
    together = propose(folder, values, placed(values))
    alone = [draft for label in ORGANS for draft in propose(folder, values, placed(values), [label])]
    for one, other in zip(together, alone, strict=True):
        assert (one.status, one.key_slice, one.first, one.last) == (
            other.status,
            other.key_slice,
            other.first,
            other.last,
        )
        assert one.confidence == other.confidence
        assert np.array_equal(one.mask, other.mask)


def test_what_is_near_any_drawn_label_is_laid_over_the_image_and_no_more(tmp_path, monkeypatch):
    values, labels = body(0, slice(26, None))
    drawn = np.where(np.isin(labels, (1, 2)), labels, 0)
    save_case(tmp_path, "anna", values, drawn, placed(values))
    laid = []

    def noting(volume, template, points):
        laid.append(template)
        return deform(volume, template, points)

    monkeypatch.setattr(source, "deform", noting)
    (draft,) = propose(tmp_path, values, placed(values), (2,))
    assert np.array_equal(whole(draft, labels.shape), labels == 2)
    near = laid[0].lattice
    slices, columns = (np.flatnonzero(drawn.any(axis=other)) for other in ((1, 2), (0, 1)))
    assert near.origin_mm[0] / MM == pytest.approx(slices[0] - source.NEAR, abs=3)
    assert near.origin_mm[0] > 0
    # Toward the right it is label 1 that reaches farther, and it was not asked for.
    assert near.origin_mm[2] / MM + near.shape[2] - 1 == pytest.approx(source.NEAR - columns[0], abs=3)


def test_an_organ_beyond_the_field_of_view_is_not_here(template):
    folder, _values, _labels = template
    values, labels = body(2, slice(14, 34))
    assert not (labels == 9).any()
    (draft,) = propose(folder, values, placed(values), [9])
    assert draft.status == "not here"


def test_a_label_that_ends_with_its_template_is_left_open_there(tmp_path):
    values, labels = body(0)
    label = 14
    present = np.flatnonzero((labels == label).any(axis=(1, 2)))
    stop = int(present.mean()) + 1
    save_case(tmp_path, "short", values[:stop], labels[:stop], placed(values[:stop]))
    (draft,) = propose(tmp_path, values, placed(values), [label])
    assert draft.status == "found"
    assert draft.last is None
    assert draft.first == present[0]


REFUSALS = {
    "all air": (lambda values: np.full_like(values, -1000), "no body"),
    "constant": (lambda values: np.zeros_like(values), "no body"),
    "another modality": (lambda values: (np.abs(values) % 300 + 5).astype(np.int16), "modality"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_no_template_can_lie_on_holds_nothing(template, kind):
    folder, values, _labels = template
    spoil, why = REFUSALS[kind]
    drafts = propose(folder, spoil(values), placed(values))
    assert {draft.status for draft in drafts} == {"not here"}
    assert all(why in draft.reason for draft in drafts)


def test_a_template_of_air_is_passed_over_and_the_next_one_taken(template, tmp_path):
    _folder, values, labels = template
    save_case(tmp_path, "air", np.full_like(values, -1000), labels, placed(values))
    (draft,) = propose(tmp_path, values, placed(values), [9])
    assert "'air' shows no body" in draft.reason
    save_case(tmp_path, "anna", values, labels, placed(values))
    (draft,) = propose(tmp_path, values, placed(values), [9])
    assert draft.status == "found"
    assert np.array_equal(whole(draft, labels.shape), labels == 9)


def test_a_label_that_no_case_has_is_not_here_and_no_cases_are_refused(template):
    folder, values, _labels = template
    (draft,) = propose(folder, values, placed(values), [99])
    assert (draft.status, draft.reason) == ("not here", "No finished case has label 99.")
    with pytest.raises(InputError, match="needs finished cases"):
        find_source("atlas").propose(Volume(values, placed(values)), [1], Support(), Plane.AXIAL)


class Stop(Exception):
    pass


def test_a_tick_that_raises_ends_the_work_and_leaves_nothing(template, again):
    folder, values, _labels = template
    told = []

    def tick(done, total):
        told.append((done, total))
        if len(told) == 2:
            raise Stop

    before = values.copy()
    with pytest.raises(Stop):
        propose(folder, values, placed(values), tick=tick)
    assert np.array_equal(values, before)
    told.clear()
    for draft, first in zip(
        propose(folder, values, placed(values), tick=lambda *it: told.append(it)), again, strict=True
    ):
        assert np.array_equal(draft.mask, first.mask)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1]
